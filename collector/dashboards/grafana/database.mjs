import { dashboard, graph, heatmap, table } from './common.mjs';
import {
  buckets, dashboardLink, gauge, mean, orNone, orZero, quantile, quotient, rate, spanQuantile, spans, sum,
  total, traces,
} from './queries.mjs';

const STATEMENTS = 'db_client_operation_duration_seconds';
const ROWS = 'db_client_response_returned_rows';
const OPERATIONS = 'graphql_server_request_duration_seconds';
const WAITS = 'db_client_connection_wait_time_seconds';
const USES = 'db_client_connection_use_time_seconds';

const byStatement = 'db_query_summary';
const byPool = 'db_client_connection_pool_name';
const statementTraces = traces(spans('span.db.query.summary = "${__field.labels.db_query_summary}"'));
const waitTraces = traces(
  spans('name = "db.pool.acquire"', 'span.db.client.connection.pool.name = "${__field.labels.db_client_connection_pool_name}"'));
const runtime = dashboardLink('colophon-runtime', 'Async runtime');
const faults = 'error_type!=""';

export default dashboard({
  uid: 'colophon-database',
  title: 'Database',
  description: 'Which statements cost time, which fail, and whether operations wait for a connection.',
  rows: {
    Statements: [
      table({
        title: 'Statements', unit: 'short',
        shows: 'The statements of this time, by what they do to which tables. Waiting for a connection is not in their duration.',
        bad: 'a total that stands out; rows in the thousands; errors.',
        then: 'click the statement for its spans, which have its text; then EXPLAIN it.',
        keys: { db_query_summary: 'Statement' },
        columns: {
          Total: { expr: sum(total(`${STATEMENTS}_sum`), byStatement), unit: 's' },
          Calls: { expr: sum(total(`${STATEMENTS}_count`), byStatement), unit: 'short' },
          p50: { expr: quantile(0.5, STATEMENTS, { by: byStatement, of: total }), unit: 's' },
          p95: { expr: quantile(0.95, STATEMENTS, { by: byStatement, of: total }), unit: 's', levels: { text: null, yellow: 0.1, red: 0.5 } },
          'Rows each': { expr: mean(ROWS, { by: byStatement, of: total }), unit: 'short' },
          Errors: {
            expr: `${sum(total(`${STATEMENTS}_count`, faults), byStatement)} or 0 * ${sum(total(`${STATEMENTS}_count`), byStatement)}`,
            unit: 'short', levels: { text: null, red: 0.5 },
          },
        },
        sortBy: 'Total',
        links: [traces(spans('span.db.query.summary = "${__value.raw}"'))],
      }),
      graph({
        title: 'Time in statements', unit: 's', stacked: true,
        shows: 'Seconds spent in a statement, in each second; the ten with most.', bad: 'as many as there are connections: the pool is full.',
        then: 'see beside whether it comes more often, or takes longer.',
        queries: { [`{{${byStatement}}}`]: `topk(10, ${sum(rate(`${STATEMENTS}_sum`), byStatement)})` }, links: [statementTraces],
      }),
      graph({
        title: 'Statements a second', unit: 'ops',
        shows: 'Executions of each statement a second; the ten most frequent.', bad: 'a rise without more operations: N+1.',
        then: 'see GraphQL, statements of an operation.',
        queries: { [`{{${byStatement}}}`]: `topk(10, ${sum(rate(`${STATEMENTS}_count`), byStatement)})` },
        links: [statementTraces, dashboardLink('colophon-graphql', 'GraphQL')],
      }),
      graph({
        title: 'Errors by type', unit: 'cps',
        shows: 'Statements that failed, a second, by SQLSTATE or kind. A broken constraint is a client’s mistake.',
        bad: 'anything else, and cancelled: nobody waited for the end.', then: 'open the traces; the span has db.response.status_code and the exception.',
        queries: { '{{error_type}}': orNone(sum(rate(`${STATEMENTS}_count`, faults), 'error_type'), 'error_type') },
        links: [traces(spans('kind = client', 'span.error.type = "${__field.labels.error_type}"'))],
      }),
      graph({
        title: 'p50 by statement', unit: 's',
        shows: 'How long half of a statement’s runs took at most.', bad: 'a rise of all at once: the database as a whole is slow.',
        then: 'see its CPU, locks and disks; of one alone, its plan.',
        queries: { [`{{${byStatement}}}`]: quantile(0.5, STATEMENTS, { by: byStatement }) }, links: [statementTraces],
      }),
      graph({
        title: 'p95 by statement', unit: 's',
        shows: 'How long 95 % of a statement’s runs took at most. The dots are single traces.', bad: 'above 100 ms.',
        then: 'click a dot, and EXPLAIN the statement’s text with values as large.',
        queries: {
          [`{{${byStatement}}}`]: quantile(0.95, STATEMENTS, { by: byStatement }),
          'by traces, all instances': { expr: spanQuantile(0.95, 'db_query_summary!=""'), exemplars: true },
        },
        levels: { green: null, yellow: 0.1, red: 0.5 }, links: [statementTraces],
      }),
      heatmap({
        title: 'Durations', unit: 's', width: 8,
        shows: 'How many statements took how long.', bad: 'a second band far above the first.', then: 'find the statement of that band beside.',
        buckets: buckets(STATEMENTS), links: [traces(spans('kind = client', 'duration > 100ms'))],
      }),
      graph({
        title: 'Rows of a statement', unit: 'short', width: 12,
        shows: 'Rows that a statement returns, on average.', bad: 'more than a page has: a limit is missing.',
        then: 'open its traces; the field above it says what asked for so much.',
        queries: { [`{{${byStatement}}}`]: mean(ROWS, { by: byStatement }) }, links: [statementTraces],
      }),
      graph({
        title: 'Statements by kind', unit: 'ops', width: 12, stacked: true,
        shows: 'Statements a second by operation: SELECT, INSERT, BEGIN, COMMIT, …', bad: 'ROLLBACK in place of COMMIT.',
        then: 'see the errors by type.',
        queries: { '{{db_operation_name}}': sum(rate(`${STATEMENTS}_count`), 'db_operation_name') },
        links: [traces(spans('span.db.operation.name = "${__field.labels.db_operation_name}"'))],
      }),
    ],
    'Connection pools': [
      graph({
        title: 'Connections', unit: 'short',
        shows: 'Connections of each pool that are used, that are idle, and how many it may have.', bad: 'used at the maximum for longer than a moment.',
        then: 'see who holds them: the time of use, and the longest statements.',
        queries: {
          '{{db_client_connection_pool_name}} {{db_client_connection_state}}': sum(gauge('db_client_connection_count'), `${byPool}, db_client_connection_state`),
          '{{db_client_connection_pool_name}} max': sum(gauge('db_client_connection_max'), byPool),
        },
        links: [waitTraces],
      }),
      graph({
        title: 'Used, of the maximum', unit: 'percentunit', max: 1,
        shows: 'How much of a pool is in use. The writer of SQLite is a pool of one.', bad: 'at 90 % while requests are pending.',
        then: 'shorten what holds connections before making the pool larger (COLOPHON_POOL_SIZE).',
        queries: {
          '{{db_client_connection_pool_name}}': quotient(
            sum(gauge('db_client_connection_count', 'db_client_connection_state="used"'), byPool), sum(gauge('db_client_connection_max'), byPool)),
        },
        levels: { green: null, yellow: 0.75, red: 0.9 }, links: [waitTraces],
      }),
      graph({
        title: 'Pending requests', unit: 'short',
        shows: 'Requests that wait for a connection.', bad: 'above 0 for longer than a moment.',
        then: 'see time of use; runbook, “ColophonPoolSaturated”.',
        queries: { '{{db_client_connection_pool_name}}': sum(gauge('db_client_connection_pending_requests'), byPool) },
        levels: { green: null, yellow: 1, red: 10 }, links: [waitTraces],
      }),
      graph({
        title: 'p95 of waiting', unit: 's',
        shows: 'How long 95 % of the requests waited for a connection at most.', bad: 'above 10 ms; COLOPHON_POOL_WAIT ends it.',
        then: 'open the traces: db.pool.acquire is a span of its own when it takes over 1 ms.',
        queries: { '{{db_client_connection_pool_name}}': quantile(0.95, WAITS, { by: byPool }) },
        levels: { green: null, yellow: 0.01, red: 0.05 }, links: [waitTraces],
      }),
      graph({
        title: 'p95 of use', unit: 's',
        shows: 'The 95th percentile of the time a connection is in use.', bad: 'far above the statements: code keeps a connection while it does something else.',
        then: 'look in the traces for time between the statements of a transaction.',
        queries: { '{{db_client_connection_pool_name}}': quantile(0.95, USES, { by: byPool }) },
        links: [traces(spans('kind = client', 'duration > 100ms')), runtime],
      }),
      graph({
        title: 'Time-outs', unit: 'cps',
        shows: 'Requests that got no connection in time, a second. Their operations fail with DATABASE_UNAVAILABLE.', bad: 'any.',
        then: 'runbook, “ColophonPoolTimeouts”; the traces say what they waited behind.',
        queries: { '{{db_client_connection_pool_name}}': sum(rate('db_client_connection_timeouts_total'), byPool) },
        levels: { green: null, red: 0.001 }, links: [traces(spans('name = "db.pool.acquire"', 'status = error'))],
      }),
      graph({
        title: 'Database reachable', unit: 'short', max: 1,
        shows: 'Whether the database is reachable: 1 or 0. While it is not, operations are rejected at once.', bad: '0.',
        then: 'runbook, “ColophonDatabaseUnavailable”.',
        queries: { '{{instance}}': `min by (instance) (${gauge('db_client_server_reachable')})` },
        levels: { red: null, green: 1 }, links: [runtime],
      }),
      graph({
        title: 'Of an operation’s time', unit: 'percentunit', width: 16,
        shows: 'Time that statements, and waiting for a connection, take in proportion to the time of operations. Above 100 %: statements run at once.',
        bad: 'waiting above some percent; statements near 100 %: the database is what is slow.',
        then: 'waiting leads to the pools above, statements to the table; if both are low see Async runtime.',
        queries: Object.fromEntries(Object.entries({ statements: STATEMENTS, 'waiting for a connection': WAITS }).map(([what, metric]) =>
          [what, quotient(`(${orZero(sum(rate(`${metric}_sum`)))})`, sum(rate(`${OPERATIONS}_sum`)))])),
        links: [traces(spans('name = "db.pool.acquire"', 'duration > 10ms')), runtime],
      }),
    ],
  },
});
