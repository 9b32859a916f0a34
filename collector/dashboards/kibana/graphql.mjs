import { added, histogram, histogramOverTime, rows } from './queries.mjs';
import { chart, dashboard, table } from './saved-objects.mjs';

const field = 'attributes.graphql.selection.field.coordinate';
const rootField = 'attributes.graphql.root_field';
const loader = 'attributes.graphql.dataloader.name';
const statements = 'graphql.server.request.db.statements';

export const graphql = dashboard({
  id: 'colophon-graphql',
  title: 'Colophon: GraphQL',
  description: 'Which fields take the time, and whether lists are loaded in batches or one by one.',
  filters: ['Service'],
  panels: [
    table({
      title: 'Fields by time',
      shows: 'Fields whose resolvers do I/O: their calls, the time of all of them, and of a slow one.',
      bad: 'a field with most of the time, or far more calls than operations.',
      then: 'with many calls, see whether its DataLoader has batches; with slow ones, look at Database.',
      query: histogram('graphql.server.field.duration', {
        stats: 'calls = COUNT(h), `time` = SUM(h), p50 = PERCENTILE(h, 50), p95 = PERCENTILE(h, 95)',
        by: { field },
        then: ['SORT `time` DESC'],
      }),
      columns: { field: 'text', calls: 'count', time: 'longSeconds', p50: 'seconds', p95: 'seconds' },
      w: 24,
    }),
    chart({
      title: 'Time by field',
      shows: 'The time of all calls of a field, in each bar.',
      bad: 'a field that grows faster than the operations.',
      then: 'see its calls and p95 in the table.',
      series: 'bar_stacked',
      query: histogramOverTime('graphql.server.field.duration', { stats: 'spent = SUM(h)', by: { field } }),
      columns: { time: 'date', spent: 'longSeconds', field: 'text' },
    }),
    chart({
      title: 'SQL statements of an operation',
      shows: 'How many statements the operations of a root field need, of 20 the one with most.',
      bad: 'a number that grows with the length of a list: N+1. Batches keep it at a few.',
      then: 'open a trace of that root field: the same statement again and again lacks a DataLoader.',
      series: 'line',
      query: histogramOverTime(statements, { stats: 'statements = PERCENTILE(h, 95)', by: { 'root field': rootField } }),
      columns: { time: 'date', statements: 'number', 'root field': 'text' },
    }),
    table({
      title: 'SQL statements by root field',
      shows: 'Statements of an operation: on average, at the 95th percentile and at most.',
      bad: 'a maximum far above the average, which depends on the data.',
      then: 'see which of its fields is loaded one by one.',
      query: histogram(statements, {
        stats: 'operations = COUNT(h), average = AVG(h), p95 = PERCENTILE(h, 95), `at most` = MAX(h)',
        by: { 'root field': rootField },
        then: ['SORT `at most` DESC'],
      }),
      columns: { 'root field': 'text', operations: 'count', average: 'number', p95: 'number', 'at most': 'number' },
      w: 24,
    }),
    chart({
      title: 'Keys in a DataLoader batch',
      shows: 'How many keys a batch has, by DataLoader: the median.',
      bad: '1 under load: then nothing is batched.',
      then: 'see in a trace when the batches are sent; keys that come one after another do not meet.',
      series: 'line',
      query: histogramOverTime('graphql.dataloader.batch.size', { stats: 'keys = PERCENTILE(h, 50)', by: { loader } }),
      columns: { time: 'date', keys: 'number', loader: 'text' },
    }),
    table({
      title: 'DataLoaders',
      shows: 'Batches of each DataLoader, and the keys in them.',
      bad: 'many batches of few keys.',
      then: 'open a trace of a query with a list: one batch for a field is right.',
      query: histogram('graphql.dataloader.batch.size', {
        stats: 'batches = COUNT(h), keys = SUM(h), average = AVG(h), p95 = PERCENTILE(h, 95)',
        by: { loader },
        then: ['SORT batches DESC'],
      }),
      columns: { loader: 'text', batches: 'count', keys: 'count', average: 'number', p95: 'number' },
      w: 24,
    }),
    table({
      title: 'Fields in traces',
      shows: 'Field spans of the traces that were kept: the calls that one span stands for, the longest call, and failed ones.',
      bad: 'hundreds of calls whose longest is slow, or failed calls.',
      then: 'find such a trace in the Overview, or in Discover by the name of the span.',
      query: rows('traces', {
        stats:
          'spans = COUNT(*), `calls of a span` = AVG(attributes.graphql.field.calls), ' +
          '`calls at most` = MAX(attributes.graphql.field.calls), ' +
          '`longest call` = MAX(attributes.graphql.field.duration.max), ' +
          'failed = SUM(attributes.graphql.field.errors)',
        by: { field },
        then: ['SORT `calls at most` DESC'],
      }),
      columns: {
        field: 'text', spans: 'count', 'calls of a span': 'number', 'calls at most': 'count',
        'longest call': 'seconds', failed: 'count',
      },
      w: 24,
    }),
    chart({
      title: 'Lag of events',
      shows: 'From a change to the delivery of its event to a subscription: the 99th percentile.',
      bad: 'more than a second.',
      then: 'find a long trace named GraphQL Subscription Event; its links lead to the mutation.',
      series: 'line',
      query: histogramOverTime('graphql.server.subscription.lag', { stats: 'p99 = PERCENTILE(h, 99)', by: { 'root field': rootField } }),
      columns: { time: 'date', p99: 'seconds', 'root field': 'text' },
    }),
    chart({
      title: 'Events that subscriptions missed',
      shows: 'Events that were dropped in each bar; clients are told to read again what they show.',
      bad: 'any for longer than an import takes.',
      then: 'see the lag beside: where it is short, it is clients that do not keep up.',
      series: 'bar_stacked',
      query: added('graphql.server.subscription.dropped', { as: 'missed', by: { 'root field': rootField } }),
      columns: { time: 'date', missed: 'count', 'root field': 'text' },
    }),
    chart({
      title: 'Phases of an operation',
      shows: 'The 95th percentile of parsing, validation and execution. Known documents spare the first two.',
      bad: 'parsing or validation of more than a few milliseconds.',
      then: 'see whether clients send a new document each time, with literals in place of variables.',
      series: 'line',
      query: histogramOverTime('graphql.server.processing.duration', {
        stats: 'p95 = PERCENTILE(h, 95)',
        by: { phase: 'attributes.graphql.processing.type' },
      }),
      columns: { time: 'date', p95: 'seconds', phase: 'text' },
    }),
  ],
});
