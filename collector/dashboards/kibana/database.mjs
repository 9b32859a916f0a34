import { added, histogram, histogramOverTime, level } from './queries.mjs';
import { chart, dashboard, table, traces } from './saved-objects.mjs';

const duration = 'db.client.operation.duration';
const statement = 'attributes.db.query.summary';
const code = 'attributes.error.type';

export const database = dashboard({
  id: 'colophon-database',
  title: 'Colophon: database',
  description: 'Which statements take the time, which fail, and whether operations wait for a connection.',
  filters: ['Service'],
  panels: [
    table({
      title: 'Statements by time',
      shows: 'All kinds of statements: how often, the time of all of them, of a usual and of a slow one, and failures.',
      bad: 'one with most of the time, or failures.',
      then: 'often and fast: select less, or load in batches. Seldom and slow: look at its plan.',
      query: histogram(duration, {
        stats:
          'statements = COUNT(h), `time` = SUM(h), p50 = PERCENTILE(h, 50), p95 = PERCENTILE(h, 95), ' +
          `failed = COUNT(h) WHERE ${code} IS NOT NULL`,
        by: { statement },
        then: ['SORT `time` DESC'],
      }),
      columns: {
        statement: 'text', statements: 'count', time: 'longSeconds', p50: 'seconds', p95: 'seconds', failed: 'count',
      },
    }),
    chart({
      title: 'Statements',
      shows: 'Statements by kind, in each bar.',
      bad: 'more of them, with as many operations as before.',
      then: 'look at SQL statements of an operation in GraphQL.',
      series: 'bar_stacked',
      query: histogramOverTime(duration, { stats: 'statements = COUNT(h)', by: { statement } }),
      columns: { time: 'date', statements: 'count', statement: 'text' },
    }),
    chart({
      title: 'p95 by statement',
      shows: 'What the slowest 5 % of each kind of statement exceed, without waiting for a connection.',
      bad: 'one that rises, or all of them at once.',
      then: 'one: look at its plan and its table\'s size. All: look at the database server itself.',
      series: 'line',
      query: histogramOverTime(duration, { stats: 'p95 = PERCENTILE(h, 95)', by: { statement } }),
      columns: { time: 'date', p95: 'seconds', statement: 'text' },
    }),
    chart({
      title: 'Time by statement',
      shows: 'The time of all statements of a kind, in each bar: the load on the database.',
      bad: 'seconds of a bar near its length times the connections.',
      then: 'begin with the widest colour: that is what to make faster or fewer.',
      series: 'bar_stacked',
      query: histogramOverTime(duration, { stats: 'spent = SUM(h)', by: { statement } }),
      columns: { time: 'date', spent: 'longSeconds', statement: 'text' },
    }),
    chart({
      title: 'Failed statements',
      shows: 'Statements that failed, by their SQLSTATE or what else ended them, in each bar.',
      bad: 'any but `cancelled`, which is a client that went or an operation that ran out of time.',
      then: 'open a failed trace in the Overview: its log line names the table and the constraint.',
      series: 'bar_stacked',
      query: histogramOverTime(duration, { stats: 'failed = COUNT(h)', by: { 'error type': code } }),
      columns: { time: 'date', failed: 'count', 'error type': 'text' },
    }),
    chart({
      title: 'Connections',
      shows: 'Connections of the pools of all instances, used and idle: the most of each bar.',
      bad: 'no idle ones for long.',
      then: 'see who waits, beside; then shorten what holds a connection, or allow more of them.',
      series: 'area_stacked',
      query: level('db.client.connection.count', {
        as: 'connections',
        by: { state: 'attributes.db.client.connection.state' },
      }),
      columns: { time: 'date', connections: 'count', state: 'text' },
    }),
    chart({
      title: 'Waiting for a connection',
      shows: 'Requests that wait for a connection: the most of each bar.',
      bad: 'above 0 for more than a moment.',
      then: 'look for `db.pool.acquire` in slow traces, and what holds the connections meanwhile.',
      series: 'line',
      query: level('db.client.connection.pending_requests', { as: 'waiting' }),
      columns: { time: 'date', waiting: 'count' },
    }),
    chart({
      title: 'Time-outs of the pool',
      shows: 'Requests that got no connection in time, in each bar. They fail with DATABASE_UNAVAILABLE.',
      bad: 'any.',
      then: 'is the database reachable? If so, the pool is too small, or connections are in use for too long.',
      series: 'bar_stacked',
      query: added('db.client.connection.timeouts', { as: 'time-outs' }),
      columns: { time: 'date', 'time-outs': 'count' },
    }),
    chart({
      title: 'Time to get a connection',
      shows: 'How long requests waited for a connection, at the 95th and 99th percentile.',
      bad: 'more than a millisecond.',
      then: 'compare with the time connections are in use.',
      series: 'line',
      query: histogramOverTime('db.client.connection.wait_time', {
        stats: 'p95 = PERCENTILE(h, 95), p99 = PERCENTILE(h, 99)',
      }),
      columns: { time: 'date', p95: 'seconds', p99: 'seconds' },
    }),
    chart({
      title: 'Time a connection is in use',
      shows: 'The time connections are in use, at the 95th and 99th percentile.',
      bad: 'much longer than statements take: then something else goes on meanwhile.',
      then: 'look in a trace for what is between the statements of a transaction.',
      series: 'line',
      query: histogramOverTime('db.client.connection.use_time', {
        stats: 'p95 = PERCENTILE(h, 95), p99 = PERCENTILE(h, 99)',
      }),
      columns: { time: 'date', p95: 'seconds', p99: 'seconds' },
    }),
    traces({
      title: 'Traces with the slowest statements',
      shows: 'The slowest statements of the traces that were kept.',
      bad: 'the same statement again and again.',
      then: 'follow the trace id to the operation that asked for it.',
      signal: 'traces',
      filter: 'kind: "Client" and attributes.db.query.summary: *',
      worst: { label: 'duration', field: 'duration' },
      last: { statement },
    }),
  ],
});
