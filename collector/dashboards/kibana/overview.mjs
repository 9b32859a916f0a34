import { histogram, histogramOverTime, seconds, serverFaults } from './queries.mjs';
import { chart, dashboard, number, table, traces } from './saved-objects.mjs';

const duration = 'graphql.server.request.duration';
const rootField = 'attributes.graphql.root_field';
const code = 'attributes.error.type';

export const overview = dashboard({
  id: 'colophon-overview',
  title: 'Colophon: overview',
  description: 'Is the service well? How much is asked, what fails, how long it takes, and for which root field.',
  filters: ['Service', 'Root field'],
  panels: [
    number({
      title: 'Operations per second',
      shows: 'GraphQL operations per second, over the whole time chosen.',
      bad: 'none, while clients are there.',
      then: 'look at Telemetry health, whether anything arrives at all.',
      query: histogram(duration, { stats: `\`operations/s\` = COUNT(h) / TO_DOUBLE(${seconds})` }),
      columns: { 'operations/s': 'number' },
    }),
    number({
      title: 'Server faults',
      shows: 'The share of operations that failed through a fault of the service.',
      bad: 'above 0.1 %, which is what the objective of 99.9 % leaves.',
      then: 'see below for which code and root field, and open one of the failed traces.',
      query: histogram(duration, {
        stats: `faults = COUNT(h) WHERE ${code} IN ${serverFaults}, operations = COUNT(h)`,
        then: ['EVAL `server faults` = TO_DOUBLE(faults) / operations', 'KEEP `server faults`'],
      }),
      columns: { 'server faults': 'percent' },
    }),
    number({
      title: 'p99 of the duration',
      shows: 'Of 100 operations, 99 took less than this.',
      bad: 'above 250 ms, the objective.',
      then: 'see which root field it is, and open one of its slowest traces.',
      query: histogram(duration, { stats: 'p99 = PERCENTILE(h, 99)' }),
      columns: { p99: 'seconds' },
    }),
    number({
      title: 'p50 of the duration',
      shows: 'Half of the operations took less than this.',
      bad: 'higher than usual: then everything is slow, not just a few.',
      then: 'look at Async runtime and Database, for what all operations share.',
      query: histogram(duration, { stats: 'p50 = PERCENTILE(h, 50)' }),
      columns: { p50: 'seconds' },
    }),
    chart({
      title: 'Operations',
      shows: 'GraphQL operations by root field, in each bar.',
      bad: 'a sudden fall, or a root field that grows far beyond its usual.',
      then: 'compare with the errors and durations of that root field.',
      series: 'bar_stacked',
      query: histogramOverTime(duration, { stats: 'operations = COUNT(h)', by: { 'root field': rootField } }),
      columns: { time: 'date', operations: 'count', 'root field': 'text' },
    }),
    chart({
      title: 'Failed operations by code',
      shows: 'Operations that ended with an error, by the code of the first, in each bar.',
      bad: 'any INTERNAL_SERVER_ERROR, DATABASE_UNAVAILABLE, TIMEOUT or OVERLOADED. The others are mistakes of clients.',
      then: 'open a failed trace below; for DATABASE_UNAVAILABLE, look at the pool in Database.',
      series: 'bar_stacked',
      query: histogramOverTime(duration, { stats: 'failed = COUNT(h)', by: { code } }),
      columns: { time: 'date', failed: 'count', code: 'text' },
    }),
    chart({
      title: 'Duration of operations',
      shows: 'How long operations take: the median, and what the slowest 5 % and 1 % exceed.',
      bad: 'p99 above 250 ms. p50 rising too means that all are slower.',
      then: 'find the root field in the table, and its slowest trace.',
      series: 'line',
      query: histogramOverTime(duration, {
        stats: 'p50 = PERCENTILE(h, 50), p95 = PERCENTILE(h, 95), p99 = PERCENTILE(h, 99)',
      }),
      columns: { time: 'date', p50: 'seconds', p95: 'seconds', p99: 'seconds' },
    }),
    chart({
      title: 'p95 by root field',
      shows: 'What the slowest 5 % of a root field\'s operations exceed.',
      bad: 'one root field far above the others, or above its usual.',
      then: 'choose it above, and open its slowest trace.',
      series: 'line',
      query: histogramOverTime(duration, { stats: 'p95 = PERCENTILE(h, 95)', by: { 'root field': rootField } }),
      columns: { time: 'date', p95: 'seconds', 'root field': 'text' },
    }),
    table({
      title: 'Root fields',
      shows: 'All root fields with their operations, failures and durations, the most used first.',
      bad: 'server faults, or a p99 above 250 ms.',
      then: 'choose the root field above, then open one of its traces.',
      query: histogram(duration, {
        stats:
          `operations = COUNT(h), \`server faults\` = COUNT(h) WHERE ${code} IN ${serverFaults}, ` +
          `failed = COUNT(h) WHERE ${code} IS NOT NULL, ` +
          'p50 = PERCENTILE(h, 50), p95 = PERCENTILE(h, 95), p99 = PERCENTILE(h, 99)',
        by: { 'root field': rootField },
        then: ['SORT operations DESC'],
      }),
      columns: {
        'root field': 'text', operations: 'count', 'server faults': 'count', failed: 'count',
        p50: 'seconds', p95: 'seconds', p99: 'seconds',
      },
    }),
    traces({
      title: 'Slowest traces',
      shows: 'The slowest operations. Of fast ones without errors the collector keeps a share only.',
      bad: 'the same root field again and again.',
      then: 'follow the trace id: Discover shows the spans and log lines of the trace.',
      signal: 'traces',
      filter: `attributes.graphql.operation.type: *`,
      worst: { label: 'duration', field: 'duration' },
      last: { 'root field': rootField, operation: 'attributes.graphql.operation.type' },
    }),
    traces({
      title: 'Failed traces',
      shows: 'Operations with a fault of the service, the latest first. All of them are kept.',
      bad: 'any.',
      then: 'follow the trace id: the log line of the exception says what failed.',
      signal: 'traces',
      filter: `attributes.graphql.operation.type: * and status.code: "Error"`,
      worst: { label: 'when', field: '@timestamp', date: true },
      last: { 'root field': rootField, code },
    }),
  ],
});
