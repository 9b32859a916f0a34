import { added, histogram, histogramOverTime, level, rows, seconds } from './queries.mjs';
import { chart, dashboard, table, traces } from './saved-objects.mjs';

const rootField = 'attributes.graphql.root_field';

export const runtime = dashboard({
  id: 'colophon-runtime',
  title: 'Colophon: async runtime',
  description:
    'Where the time of operations goes: busy (our code had a worker), scheduled (waiting for one), idle (waiting for I/O).',
  filters: ['Service'],
  panels: [
    chart({
      title: 'Where the time goes',
      shows: 'The time of all operations, by what it was spent on, in each bar.',
      bad: 'scheduled time: workers are wanted by too many. Busy time above the usual: code.',
      then: 'scheduled: see slow polls and queues. Busy: take a CPU profile. Idle: look at Database.',
      series: 'bar_stacked',
      query: histogramOverTime('tokio.task.time', {
        stats: 'spent = SUM(h)',
        by: { state: 'attributes.tokio.task.state' },
      }),
      columns: { time: 'date', spent: 'longSeconds', state: 'text' },
    }),
    table({
      title: 'Time by root field',
      shows: 'The time of all operations of a root field, by what it was spent on.',
      bad: 'a root field with busy or scheduled time of its own.',
      then: 'open one of its traces: its operation span has the same three numbers.',
      query: histogram('tokio.task.time', {
        stats: ['busy', 'scheduled', 'idle']
          .map((state) => `${state} = SUM(h) WHERE attributes.tokio.task.state == "${state}"`)
          .join(', '),
        by: { 'root field': rootField },
        then: ['SORT busy DESC'],
      }),
      columns: { 'root field': 'text', busy: 'longSeconds', scheduled: 'longSeconds', idle: 'longSeconds' },
      w: 24,
    }),
    table({
      title: 'One operation, by root field',
      shows: 'From the operation spans of the traces that were kept: on average, and the longest poll.',
      bad: 'a longest poll above 10 ms: it blocked a worker as long.',
      then: 'busy: code. Scheduled: others have the workers. Idle: see the spans below the operation.',
      query: rows('traces', {
        stats:
          'operations = COUNT(*), busy = AVG(attributes.tokio.task.busy), ' +
          'scheduled = AVG(attributes.tokio.task.scheduled), idle = AVG(attributes.tokio.task.idle), ' +
          '`longest poll` = MAX(attributes.tokio.task.longest_poll), ' +
          '`slow polls` = SUM(attributes.tokio.task.slow_polls)',
        by: { 'root field': rootField },
        then: ['SORT `longest poll` DESC'],
      }),
      columns: {
        'root field': 'text', operations: 'count', busy: 'seconds', scheduled: 'seconds', idle: 'seconds',
        'longest poll': 'seconds', 'slow polls': 'count',
      },
    }),
    chart({
      title: 'Slow polls',
      shows: 'Polls that blocked a worker for more than 10 ms, by root field, in each bar. _RUNTIME is work for no operation.',
      bad: 'any of a root field.',
      then: 'see the log lines below: they name the field. Blocking calls belong into spawn_blocking.',
      series: 'bar_stacked',
      query: added('tokio.slow_polls', { as: 'slow polls', by: { 'root field': rootField }, where: 'metrics.tokio.slow_polls > 0' }),
      columns: { time: 'date', 'slow polls': 'count', 'root field': 'text' },
    }),
    chart({
      title: 'From waking to poll',
      shows: 'How long a woken task waited for a worker.',
      bad: 'p99 of some milliseconds: all operations wait as long, at each of their steps.',
      then: 'see slow polls; without any, too many tasks compute: see workers and queues.',
      series: 'line',
      query: histogramOverTime('tokio.schedule.latency', {
        stats: 'p50 = PERCENTILE(h, 50), p95 = PERCENTILE(h, 95), p99 = PERCENTILE(h, 99)',
      }),
      columns: { time: 'date', p50: 'seconds', p95: 'seconds', p99: 'seconds' },
    }),
    chart({
      title: 'Duration of polls',
      shows: 'How long tasks hold a worker at a time.',
      bad: 'p99 above a millisecond.',
      then: 'find the code by a CPU profile, or by the log lines of slow polls.',
      series: 'line',
      query: histogramOverTime('tokio.poll.time', {
        stats: 'p50 = PERCENTILE(h, 50), p99 = PERCENTILE(h, 99), `at most` = MAX(h)',
      }),
      columns: { time: 'date', p50: 'seconds', p99: 'seconds', 'at most': 'seconds' },
    }),
    chart({
      title: 'Queues',
      shows: 'Tasks that wait in the runtime\'s queues: the most of each bar.',
      bad: 'global or local above the number of workers for long; blocking above 0.',
      then: 'blocking: too few threads for work that blocks. Others: the workers do not keep up.',
      series: 'line',
      query: level('tokio.queue.depth', { as: 'tasks', by: { queue: 'attributes.tokio.queue' } }),
      columns: { time: 'date', tasks: 'count', queue: 'text' },
    }),
    table({
      title: 'Workers',
      shows: 'The share of the chosen time in which a worker was not parked, by instance.',
      bad: 'all near 100 %: the instance needs more processors. One only: something blocks it.',
      then: 'ask that instance for /debug/tasks while it lasts.',
      query: rows('metrics', {
        where: 'metrics.tokio.worker.busy.time IS NOT NULL',
        stats: 'total = SUM(metrics.tokio.worker.busy.time)',
        by: { instance: 'resource.attributes.service.instance.id', worker: 'attributes.tokio.worker' },
        then: [`EVAL busy = total / ${seconds}`, 'KEEP instance, worker, busy', 'SORT busy DESC'],
      }),
      columns: { instance: 'text', worker: 'text', busy: 'percent' },
      w: 24,
    }),
    traces({
      title: 'Log lines of slow polls',
      shows: 'Traces in which a poll blocked a worker, with the field whose code it was. At most ten a second are logged.',
      bad: 'the same field again and again.',
      then: 'look at the code of that field; follow the trace id for who asked.',
      signal: 'logs',
      filter: 'event_name: "tokio.slow_poll"',
      worst: { label: 'blocked for', field: 'attributes.tokio.poll.duration', unit: 'seconds' },
      last: { operation: 'attributes.tokio.task.operation', field: 'attributes.graphql.selection.field.coordinate' },
    }),
  ],
});
