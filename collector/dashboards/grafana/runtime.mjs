import { dashboard, graph, heatmap, logTable, table } from './common.mjs';
import {
  buckets, gauge, lines, logs, mean, ofRootFields, operations, quantile, quotient, rate, rootFields, sum,
  total, traces,
} from './queries.mjs';

const TASKS = 'tokio_task_time_seconds';
const STATES = ['busy', 'scheduled', 'idle'];
const byRoot = 'graphql_root_field';
const byWorker = 'instance, tokio_worker';
const workerLegend = '{{instance}} worker {{tokio_worker}}';

const inState = (state) => `${rootFields}, tokio_task_state="${state}"`;
const slowPolls = traces(operations('span.tokio.task.slow_polls > 0'), 'Operations with slow polls');
const waited = traces(operations('span.tokio.task.scheduled > 0.01'), 'Operations that waited for a worker');
const slowPollLines = lines('|= `slow poll: worker blocked`');
const slowPollLog = logs(slowPollLines, 'Slow polls in the log');

/** Of the scheduler's own counters there are many, and all are reported alike. */
const perWorker = (title, metric, shows, bad, then) =>
  graph({
    title, unit: 'cps', width: 6, height: 7, shows, bad, then,
    queries: { [workerLegend]: sum(rate(metric), byWorker) }, links: [waited],
  });
const perInstance = (title, metric, shows, bad, then) =>
  graph({
    title, unit: 'cps', width: 6, height: 7, shows, bad, then,
    queries: { '{{instance}}': sum(rate(metric), 'instance') }, links: [waited],
  });

export default dashboard({
  uid: 'colophon-runtime',
  title: 'Async runtime',
  description: 'Do operations work, wait for a worker, or wait for I/O; and who holds the workers.',
  byRootField: true,
  rows: {
    'Where the time of operations goes': [
      graph({
        title: 'Busy, scheduled, idle', unit: 's', stacked: true, width: 12,
        shows: 'Seconds of operations, in each second: busy is in a poll, scheduled is woken and waiting for a worker, idle is waiting for I/O.',
        bad: 'scheduled more than a small part: the workers are busy with other tasks.',
        then: 'scheduled: see slow polls and worker time below. busy: take a CPU profile. idle: see Database.',
        queries: Object.fromEntries(STATES.map((state) => [state, sum(rate(`${TASKS}_sum`, inState(state)))])),
        links: [traces(operations(ofRootFields)), waited],
      }),
      graph({
        title: 'By root field', unit: 's', stacked: true, width: 12,
        shows: 'The same, by root field.', bad: 'a root field that takes most, or is mostly scheduled.',
        then: 'open its traces: the operation’s span has the three for itself.',
        queries: { '{{graphql_root_field}} {{tokio_task_state}}': sum(rate(`${TASKS}_sum`, rootFields), `${byRoot}, tokio_task_state`) },
        links: [traces(operations('span.graphql.root_field = "${__field.labels.graphql_root_field}"'))],
      }),
      table({
        title: 'An operation’s time', unit: 's', height: 8,
        shows: 'What an operation of a root field spends in this time, on average.', bad: 'busy above 10 ms: code that holds a worker. scheduled above some milliseconds.',
        then: 'click the root field for its traces; docs/runtime-profiling.md shows what each kind of trouble looks like.',
        keys: { graphql_root_field: 'Root field' },
        columns: {
          ...Object.fromEntries(STATES.map((state) => [
            state,
            {
              expr: mean(TASKS, { by: byRoot, labels: inState(state), of: total }), unit: 's',
              levels: state === 'idle' ? { text: null } : { text: null, yellow: 0.01, red: 0.1 },
            },
          ])),
          'Slow polls': { expr: sum(total('tokio_slow_polls_total', rootFields), byRoot), unit: 'short', levels: { text: null, red: 0.5 } },
        },
        sortBy: 'busy',
        links: [traces(operations('span.graphql.root_field = "${__value.raw}"'))],
      }),
    ],
    'What holds workers': [
      graph({
        title: 'Worker time', unit: 'percentunit', max: 1,
        shows: 'The share of its time that a worker was not parked.', bad: 'above 90 %: there is no room; one worker at 100 %: something blocks it.',
        then: 'slow polls beside name the root field; without any, there is too much to do: more instances.',
        queries: { [workerLegend]: sum(rate('tokio_worker_busy_time_seconds_total'), byWorker) },
        levels: { green: null, yellow: 0.7, red: 0.9 }, links: [slowPolls, slowPollLog],
      }),
      graph({
        title: 'Slow polls', unit: 'cps',
        shows: 'Polls a second that blocked a worker for longer than COLOPHON_SLOW_POLL (10 ms). _RUNTIME is work for no operation.', bad: 'any that repeat.',
        then: 'open their traces, or the log, which has the field: move the blocking call to spawn_blocking.',
        queries: { '{{graphql_root_field}}': sum(rate('tokio_slow_polls_total', `${byRoot}=~"$root_field|_RUNTIME"`), byRoot) },
        levels: { green: null, yellow: 0.05, red: 0.2 },
        links: [traces(operations('span.graphql.root_field = "${__field.labels.graphql_root_field}"', 'span.tokio.task.slow_polls > 0')), slowPollLog],
      }),
      graph({
        title: 'Mean poll', unit: 's',
        shows: 'How long a poll of a worker takes, on average.', bad: 'above 1 ms.', then: 'see slow polls, and the heat map of polls.',
        queries: { [workerLegend]: sum(gauge('tokio_worker_poll_mean_seconds'), byWorker) },
        levels: { green: null, yellow: 0.001, red: 0.01 }, links: [slowPolls, slowPollLog],
      }),
      heatmap({
        title: 'Polls', unit: 's',
        shows: 'How many polls took how long.', bad: 'anything above 10 ms: all other tasks of the worker waited as long.',
        then: 'see slow polls for whose they are.', buckets: buckets('tokio_poll_time_seconds'), links: [slowPolls, slowPollLog],
      }),
      heatmap({
        title: 'Waits for a worker', unit: 's',
        shows: 'How long tasks that were woken waited for a worker.', bad: 'above some milliseconds.',
        then: 'with slow polls beside, those are why; without, too many tasks want to compute.',
        buckets: buckets('tokio_schedule_latency_seconds'), links: [waited],
      }),
      graph({
        title: 'p99 of polls and waits', unit: 's',
        shows: 'How long 99 % of the polls, and of the waits for a worker, took at most.', bad: 'waits above 10 ms: every operation is late.',
        then: 'runbook, “ColophonTasksWait”.',
        queries: {
          poll: quantile(0.99, 'tokio_poll_time_seconds'),
          'wait for a worker': quantile(0.99, 'tokio_schedule_latency_seconds'),
        },
        levels: { green: null, yellow: 0.01, red: 0.067 }, links: [waited, slowPolls],
      }),
      graph({
        title: 'Waits over 67 ms', unit: 'percentunit',
        shows: 'The share of the wakings after which a task waited for a worker for longer than 67 ms.', bad: 'above 1 %: that pages.',
        then: 'runbook, “ColophonTasksWait”; /debug/tasks says who runs now.',
        queries: {
          '{{instance}}': `1 - ${quotient(
            sum(rate('tokio_schedule_latency_seconds_bucket', 'le="0.067108864"'), 'instance'),
            sum(rate('tokio_schedule_latency_seconds_count'), 'instance'))}`,
        },
        levels: { green: null, red: 0.01 }, links: [waited],
      }),
      graph({
        title: 'Queues', unit: 'short',
        shows: 'Tasks that wait in the global queue, in those of the workers, and for a thread that may block.', bad: 'longer than a moment above 0.',
        then: 'global and local: the workers are busy. blocking: too much blocking work at once.',
        queries: { '{{tokio_queue}}': sum(gauge('tokio_queue_depth'), 'tokio_queue') },
        levels: { green: null, yellow: 10, red: 100 }, links: [waited],
      }),
    ],
    Tasks: [
      graph({
        title: 'Tasks alive', unit: 'short',
        shows: 'Tasks that have not ended. Unexplained are those without an operation or a socket.', bad: 'unexplained ones that only grow: a leak.',
        then: '/debug/tasks of the instance has them by name, with the line where each is parked.',
        queries: {
          '{{instance}} all': sum(gauge('tokio_tasks_alive'), 'instance'),
          '{{instance}} unexplained':
            `${sum(gauge('tokio_tasks_alive'), 'instance')} - ${sum(gauge('tokio_io_file_descriptors'), 'instance')} - ${sum(gauge('graphql_server_active_requests'), 'instance')}`,
        },
        // The three are not read at one instant, so that there may be fewer than none.
        min: undefined, links: [logs()],
      }),
      graph({
        title: 'Tasks spawned', unit: 'cps',
        shows: 'Tasks that begin, a second: one for each connection, operation and batch.', bad: 'a rise without more operations.',
        then: '/debug/tasks says what is spawned.', queries: { '{{instance}}': sum(rate('tokio_tasks_spawned_total'), 'instance') },
        links: [traces(operations())],
      }),
      graph({
        title: 'Threads', unit: 'short',
        shows: 'Worker threads, and those for work that blocks, with how many of these are idle.', bad: 'blocking threads that only grow, none idle.',
        then: 'see the blocking queue, and what is given to spawn_blocking.',
        queries: {
          workers: sum(gauge('tokio_workers')),
          blocking: sum(gauge('tokio_blocking_threads')),
          'blocking, idle': sum(gauge('tokio_blocking_idle_threads')),
        },
        links: [logs()],
      }),
    ],
    'The scheduler': [
      perWorker('Polls', 'tokio_worker_polls_total', 'Polls of tasks, a second.', '0 while operations are in flight: the worker is blocked.', '/livez says where; runbook, “ColophonRuntimeBlocked”.'),
      perWorker('Parks', 'tokio_worker_parks_total', 'How often a worker ran out of work, a second.', 'near 0: it is never idle.', 'see worker time.'),
      perWorker('Wakings for nothing', 'tokio_worker_noops_total', 'How often a worker woke and found nothing to do, a second.', 'as many as parks, at high CPU.', 'fewer workers may do.'),
      perWorker('Tasks stolen', 'tokio_worker_steals_total', 'Tasks that a worker took from others, a second.', 'a large part of the polls: work comes to one worker.', 'see which worker has all local schedules.'),
      perWorker('Thefts', 'tokio_worker_steal_operations_total', 'How often a worker took tasks from another, a second.', 'a large part of the polls.', 'see tasks stolen: few each time is contention.'),
      perWorker('Woken on a worker', 'tokio_worker_local_schedules_total', 'Tasks put into a worker’s own queue, a second.', 'one worker has far more than the others.', 'see whether it is stolen from.'),
      perWorker('Overflows', 'tokio_worker_overflows_total', 'How often a worker’s own queue was full, a second.', 'any that repeat: a task spawns or wakes hundreds at once.', 'see tasks spawned, and /debug/tasks.'),
      perInstance('Woken from outside', 'tokio_remote_schedules_total', 'Tasks woken by a thread that is no worker, a second: SQLite’s, timers, blocking ones.', 'far above the statements.', 'see the threads above.'),
      perInstance('Made to yield', 'tokio_budget_forced_yields_total', 'How often a task was made to yield, having used up its budget, a second.', 'many: a task has endless work ready.', 'take a CPU profile by root field.'),
      perInstance('Sockets ready', 'tokio_io_ready_events_total', 'Sockets that became ready, a second.', 'a fall while requests come: the driver is not polled.', 'see worker time and /livez.'),
      graph({
        title: 'Sockets', unit: 'short', width: 12, height: 7,
        shows: 'Sockets that the runtime waits for: about one for each connection of a client, and of PostgreSQL.', bad: 'near the limit of file descriptors.',
        then: 'see whether clients keep connections without using them.',
        queries: { '{{instance}}': sum(gauge('tokio_io_file_descriptors'), 'instance') }, links: [logs()],
      }),
    ],
    'Slow polls': [
      logTable({
        title: 'Slow polls in the log',
        shows: 'Ten a second at most, with task, field, duration and trace; tokio.poll.suppressed says how many were not.', bad: 'any that repeat.',
        then: 'open the trace: the field’s coordinate names the resolver.', query: slowPollLines, links: [slowPollLog],
      }),
    ],
  },
});
