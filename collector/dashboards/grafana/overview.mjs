import { dashboard, graph, logTable, stat, table, traceTable } from './common.mjs';
import {
  dashboardLink, gauge, lines, logs, ofRootFields, operationSeries, operations, orNone, orZero,
  quantile, quotient, rate, rootFields, serverFaults, spanQuantile, spans, sum, total, traces,
} from './queries.mjs';

const OPERATIONS = 'graphql_server_request_duration_seconds';
const failed = operations('status = error');
const slow = operations('duration > 250ms');
const failedOrSlow = operations('(status = error || duration > 500ms)');
const runtime = dashboardLink('colophon-runtime', 'Async runtime');

const all = sum(total(`${OPERATIONS}_count`, rootFields));
const inTime = sum(total(`${OPERATIONS}_bucket`, `le="0.25", ${rootFields}`));
const faults = orZero(sum(total(`${OPERATIONS}_count`, `${rootFields}, error_type=~"${serverFaults}"`)));
const alerts = 'alertname=~"Colophon.*"';
const rules = { title: 'Alert rules', url: '/alerting/list?search=Colophon' };

export default dashboard({
  uid: 'colophon-overview',
  title: 'Overview',
  description: 'Is the service well, for whom is it not, and where to look next.',
  byRootField: true,
  rows: {
    Objectives: [
      stat({
        title: 'Without a server fault', unit: 'percentunit', decimals: 3, noValue: 'no operations',
        shows: 'The share of the operations of this time that did not fail through the service. The objective is 99.9 % in 30 days.',
        bad: 'below 99.9 %.', then: 'see the errors by code below, then the traces of the commonest.',
        queries: { met: `1 - ${quotient(`(${faults})`, all)}` }, levels: { red: null, yellow: 0.99, green: 0.999 },
        links: [traces(failed, 'Failed operations')],
      }),
      stat({
        title: 'Within 250 ms', unit: 'percentunit', decimals: 2, noValue: 'no operations',
        shows: 'The share of the operations of this time that took at most 250 ms. The objective is 99 % in 30 days.',
        bad: 'below 99 %.', then: 'find the slow root field below, then where its time goes: Async runtime.',
        queries: { met: quotient(inTime, all) }, levels: { red: null, yellow: 0.95, green: 0.99 },
        links: [traces(slow, 'Slow operations'), runtime],
      }),
      stat({
        title: 'Error budget left', unit: 'percentunit', decimals: 1, noValue: 'no operations',
        shows: 'What is left of the failures that the objective allows in 30 days. Below zero it is missed.',
        bad: 'under a quarter.', then: 'put reliability before features; the burn rate says how fast it goes.',
        queries: { left: 'job:graphql_server_failures:budget_left30d{job="$job"}' },
        levels: { red: null, yellow: 0, green: 0.25 }, links: [traces(failed, 'Failed operations')],
      }),
      stat({
        title: 'Latency budget left', unit: 'percentunit', decimals: 1, noValue: 'no operations',
        shows: 'What is left of the operations over 250 ms that the objective allows in 30 days.',
        bad: 'under a quarter.', then: 'look for the root field that is slow, and for a release that made it so.',
        queries: { left: 'job:graphql_server_slow_requests:budget_left30d{job="$job"}' },
        levels: { red: null, yellow: 0, green: 0.25 }, links: [traces(slow, 'Slow operations')],
      }),
      stat({
        title: 'Firing alerts', unit: 'short',
        shows: 'How many alerts fire.', bad: 'any.',
        then: 'docs/runbook.md has a section for each of those in the table below.',
        queries: { firing: orZero(`count(ALERTS{alertstate="firing", ${alerts}})`) },
        levels: { green: null, red: 1 }, links: [rules, logs()],
      }),
      stat({
        title: 'Instances up', unit: 'short',
        shows: 'How many instances answer the collector.', bad: 'fewer than were started.',
        then: 'see whether they restart (uptime below), and their last lines of log.',
        queries: { up: orZero(sum(`up and on (instance) ${gauge('process_uptime_seconds')}`)) }, levels: { red: null, green: 1 }, links: [logs()],
      }),
      graph({
        title: 'Burn rate', unit: 'short', width: 12,
        shows: 'How many times faster than allowed the budgets are used up: at 1 they last for the 30 days.',
        bad: 'above 6 in six hours, or 14.4 in an hour: that pages.',
        then: 'see which code or root field it is, below; runbook, “ColophonErrorBudgetBurn” and “ColophonLatencyBudgetBurn”.',
        queries: {
          'errors, 1 h': 'job:graphql_server_failures:ratio_rate1h{job="$job"} / 0.001',
          'errors, 6 h': 'job:graphql_server_failures:ratio_rate6h{job="$job"} / 0.001',
          'latency, 1 h': 'job:graphql_server_slow_requests:ratio_rate1h{job="$job"} / 0.01',
          'latency, 6 h': 'job:graphql_server_slow_requests:ratio_rate6h{job="$job"} / 0.01',
        },
        levels: { green: null, yellow: 6, red: 14.4 }, links: [traces(failedOrSlow)],
      }),
      table({
        title: 'Alerts', unit: 'short', width: 12, height: 8,
        shows: 'The alerts that fire, and those that are about to.', bad: 'any that fires.',
        then: 'open its section of docs/runbook.md, which has its name.',
        keys: { alertname: 'Alert', alertstate: 'State', severity: 'Severity' },
        columns: {
          Number: {
            expr: orNone(`count by (alertname, alertstate, severity) (ALERTS{${alerts}})`, 'alertname'),
          },
        },
        links: [rules],
      }),
    ],
    'Operations and errors': [
      graph({
        title: 'Operations', unit: 'ops', stacked: true,
        shows: 'GraphQL operations a second, by type.', bad: 'a sudden fall, or a rise that nobody expects.',
        then: 'after a fall see the HTTP statuses and the instances; after a rise see GraphQL, which field is asked for.',
        queries: { '{{graphql_operation_type}}': sum(rate(`${OPERATIONS}_count`, rootFields), 'graphql_operation_type') },
        links: [traces(operations('name = "${__field.labels.graphql_operation_type}"', ofRootFields))],
      }),
      graph({
        title: 'Server faults, of all operations', unit: 'percentunit',
        shows: 'The share of the operations that failed through the service. The line is the objective.',
        bad: 'above 0.1 %.', then: 'see the codes beside; DATABASE_UNAVAILABLE leads to Database, TIMEOUT to Async runtime.',
        queries: {
          'server faults': quotient(
            `(${orZero(sum(rate(`${OPERATIONS}_count`, `${rootFields}, error_type=~"${serverFaults}"`)))})`,
            sum(rate(`${OPERATIONS}_count`, rootFields))),
        },
        levels: { green: null, red: 0.001 }, links: [traces(operations('status = error', ofRootFields))],
      }),
      graph({
        title: 'Errors by code', unit: 'cps',
        shows: `Errors in responses, a second. The service's faults are ${serverFaults.replaceAll('|', ', ')}; the others are the client's mistakes.`,
        bad: 'any fault of the service; a rise of the others after a release of a client, or of the schema.',
        then: 'open the traces of the code: the red span has the exception.',
        queries: { '{{error_type}}': sum(rate('graphql_server_errors_total'), 'error_type') },
        links: [traces(spans('span.error.type = "${__field.labels.error_type}"')), logs(lines('| severity_text=~"WARN|ERROR"'), 'Warnings and errors')],
      }),
    ],
    Durations: [
      graph({
        title: 'Duration of operations', unit: 's',
        shows: 'Half, 95 % and 99 % of the operations took at most so long. The dots are single traces; of those that nobody kept only the dot is left.',
        bad: '99 % above 250 ms.', then: 'click a dot high up, and read tokio.task.busy, scheduled and idle of its operation.',
        queries: {
          p50: quantile(0.5, OPERATIONS, { labels: rootFields }),
          p95: quantile(0.95, OPERATIONS, { labels: rootFields }),
          p99: quantile(0.99, OPERATIONS, { labels: rootFields }),
          'p95 by traces, all instances': { expr: spanQuantile(0.95, `${operationSeries}, ${rootFields}`), exemplars: true },
        },
        levels: { green: null, red: 0.25 }, links: [traces(operations('duration > 250ms', ofRootFields)), runtime],
      }),
      graph({
        title: 'p95 by root field', unit: 's',
        shows: 'How long 95 % of the operations of a root field took at most.', bad: 'above 250 ms, or far above last week.',
        then: 'open its slow traces; if many statements are in them see GraphQL, N+1.',
        queries: {
          '{{graphql_root_field}}': quantile(0.95, OPERATIONS, { by: 'graphql_root_field', labels: rootFields }),
          'by traces, all instances': { expr: spanQuantile(0.95, `${operationSeries}, ${rootFields}`), exemplars: true },
        },
        levels: { green: null, red: 0.25 },
        links: [
          traces(operations('span.graphql.root_field = "${__field.labels.graphql_root_field}"', 'duration > 250ms')),
          dashboardLink('colophon-graphql', 'GraphQL'),
        ],
      }),
      graph({
        title: 'Within 250 ms, by root field', unit: 'percentunit', max: 1,
        shows: 'The share of a root field’s operations that took at most 250 ms. The line is the objective.',
        bad: 'below 99 %.', then: 'open its slow traces; Async runtime tells whether it works, waits for a worker or for I/O.',
        queries: {
          '{{graphql_root_field}}': quotient(
            sum(rate(`${OPERATIONS}_bucket`, `le="0.25", ${rootFields}`), 'graphql_root_field'),
            sum(rate(`${OPERATIONS}_count`, rootFields), 'graphql_root_field')),
        },
        levels: { red: null, green: 0.99 },
        links: [traces(operations('span.graphql.root_field = "${__field.labels.graphql_root_field}"', 'duration > 250ms')), runtime],
      }),
    ],
    HTTP: [
      graph({
        title: 'In flight', unit: 'short',
        shows: 'HTTP requests and GraphQL operations in progress.', bad: 'a rise without more operations a second.',
        then: 'something holds them: see pending connections in Database, and queues in Async runtime.',
        queries: {
          'HTTP requests': sum(gauge('http_server_active_requests')),
          'GraphQL operations': sum(gauge('graphql_server_active_requests')),
        },
        links: [traces(spans('kind = server')), runtime],
      }),
      graph({
        title: 'Answers by status', unit: 'reqps', stacked: true,
        shows: 'HTTP responses a second. GraphQL errors come with 200 as a rule.', bad: '5xx: the service failed before or beside GraphQL.',
        then: 'open the traces of the status; 503 is an overload or a shutdown, see the log.',
        queries: { '{{http_response_status_code}}': sum(rate('http_server_request_duration_seconds_count'), 'http_response_status_code') },
        links: [traces(spans('kind = server', 'span.http.response.status_code = ${__field.labels.http_response_status_code}'))],
      }),
      graph({
        title: 'p95 by route', unit: 's',
        shows: 'How long 95 % of the HTTP requests of a route took at most, with the reading and writing of bodies.',
        bad: 'far above the operations’ own: the rest is HTTP.', then: 'see the sizes of bodies in GraphQL, and slow clients in the traces.',
        queries: {
          '{{http_route}}': quantile(0.95, 'http_server_request_duration_seconds', { by: 'http_route' }),
          'by traces, all instances': { expr: spanQuantile(0.95, 'span_kind="SPAN_KIND_SERVER"'), exemplars: true },
        },
        links: [traces(spans('kind = server', 'duration > 250ms'))],
      }),
      graph({
        title: 'Connections', unit: 'short',
        shows: 'Open connections of clients.', bad: 'as many as COLOPHON_MAX_CONNECTIONS, or as the limit of open files leaves: those that wait for a request give way to new ones.',
        then: 'see beside why connections are closed; peer addresses are in the traces, network.peer.address.',
        queries: { '{{instance}}': sum(gauge('http_server_connections_active'), 'instance') },
        links: [traces(spans('kind = server')), logs()],
      }),
      graph({
        title: 'Connections cut', unit: 'cps', stacked: true,
        shows: 'Connections that did not end as they should, a second. evicted were closed for new ones; peer_limit were too many of one address; head_timeout and idle_timeout asked nothing in time; answer_timeout took no answer in time; backlog were the slowest to take theirs when all together kept more than COLOPHON_MAX_BACKLOG; broken were broken off.',
        bad: 'evicted, or a rise of peer_limit or of the timeouts but for idle_timeout: a client keeps connections open, or a proxy is not in the settings.',
        then: 'list a proxy in COLOPHON_TRUSTED_PROXIES; else find the addresses in the traces and shut them out before the service.',
        queries: { '{{error_type}}': sum(rate('http_server_connections_closed_total', 'error_type!=""'), 'error_type') },
        links: [traces(spans('kind = server')), logs(lines('| severity_text=~"WARN|ERROR"'), 'Warnings and errors')],
      }),
      graph({
        title: 'Waiting for a place', unit: 's',
        shows: 'Operations wait when COLOPHON_MAX_OPERATIONS are running: the median and the 99th percentile of the wait. After COLOPHON_QUEUE_WAIT they are rejected as OVERLOADED.',
        bad: 'more than some milliseconds for long: the service is at its capacity.',
        then: 'see CPU and the pool in Database; then more instances, or fewer of the costliest operations in GraphQL.',
        queries: {
          p50: quantile(0.5, 'graphql_server_queue_wait_seconds'),
          p99: quantile(0.99, 'graphql_server_queue_wait_seconds'),
        },
        links: [traces(spans('kind = server', 'span.http.response.status_code = 503')), runtime],
      }),
      graph({
        title: 'WebSockets', unit: 'short', width: 12,
        shows: 'Open sockets of an instance. An operation on a socket is among the operations, and no HTTP request.',
        bad: 'a sudden fall, or as many as there may be connections.',
        then: 'see beside why they were closed; COLOPHON_MAX_CONNECTIONS is the limit, COLOPHON_SOCKET_IDLE_TIMEOUT frees those that nobody uses.',
        queries: { '{{instance}}': sum(gauge('websocket_server_active_connections'), 'instance') },
        links: [traces(operations('span.network.protocol.name = "websocket"'), 'Operations on sockets')],
      }),
      graph({
        title: 'WebSockets closed', unit: 'cps', width: 12,
        shows: 'Sockets that were closed, a second, by the reason: client and idle are usual, going_away comes with a shutdown.',
        bad: 'bad_message or id_taken after a release of a client; many slow or dead; unauthorized, forbidden and too_large by the thousand.',
        then: 'docs/limits.md says what each reason means and which setting it goes by.',
        queries: { '{{websocket_close_reason}}': sum(rate('websocket_server_closed_connections_total'), 'websocket_close_reason') },
        links: [logs(lines('| websocket_close_reason != ""'), 'Closed sockets')],
      }),
    ],
    'Process and catalog': [
      graph({
        title: 'CPU', unit: 'suffix: cores', stacked: true,
        shows: 'Cores that an instance keeps busy, in its own code and in the system’s.', bad: 'as many as it has.',
        then: 'take a profile: /debug/pprof/flamegraph?seconds=30 of the instance’s admin listener names the root field.',
        queries: { '{{instance}} {{cpu_mode}}': sum(rate('process_cpu_time_seconds_total'), 'instance, cpu_mode') },
        links: [runtime, logs()],
      }),
      graph({
        title: 'Memory', unit: 'bytes',
        shows: 'Resident memory of an instance.', bad: 'a rise that does not end.',
        then: 'see whether tasks pile up in Async runtime, and what they wait for: /debug/tasks.',
        queries: { '{{instance}}': sum(gauge('process_memory_usage_bytes'), 'instance') },
        links: [runtime, logs()],
      }),
      graph({
        title: 'Uptime', unit: 's',
        shows: 'Time since an instance started. A saw is a service that restarts.', bad: 'a fall that nobody made.',
        then: 'read the last lines of log before it; the exit code says whether it was killed for its memory.',
        queries: { '{{instance}}': sum(gauge('process_uptime_seconds'), 'instance') },
        links: [logs(lines('| severity_text=~"WARN|ERROR"'), 'Warnings and errors')],
      }),
      graph({
        title: 'Threads', unit: 'short',
        shows: 'Threads of the process: workers, those for blocking work, and those of the telemetry.', bad: 'a rise that does not end.',
        then: 'see the blocking threads in Async runtime.',
        queries: { '{{instance}}': sum(gauge('process_thread_count'), 'instance') },
        links: [runtime, logs()],
      }),
      graph({
        title: 'File descriptors', unit: 'short',
        shows: 'Open files and sockets of the process.', bad: 'near the limit of the process, or a rise that does not end.',
        then: 'compare with the sockets of Async runtime and the connections of Database.',
        queries: { '{{instance}}': sum(gauge('process_unix_file_descriptor_count'), 'instance') },
        links: [runtime, logs()],
      }),
      graph({
        title: 'Books', unit: 'cps',
        shows: 'Books created, changed and deleted, a second, by mutations and imports.', bad: 'deletions that nobody asked for.',
        then: 'open the traces of the mutations.',
        queries: Object.fromEntries(['created', 'updated', 'deleted'].map((what) =>
          [what, sum(rate(`books_${what}_total`))])),
        links: [traces(operations('name = "mutation"'))],
      }),
    ],
    'What failed or was slow': [
      traceTable({
        title: 'Operations that failed or took over 500 ms', unit: 's',
        shows: 'The newest of them, with where their time went. All of these are kept, of the others a share.',
        bad: 'many of one root field, or of one error.',
        then: 'open one: busy is code, scheduled is waiting for a worker, idle is waiting for what the spans below say.',
        query: `${failedOrSlow} | select(span.graphql.root_field, span.error.type, span.tokio.task.busy, span.tokio.task.scheduled, span.tokio.task.idle) with (most_recent=true)`,
        links: [traces(failedOrSlow, 'All of them')],
      }),
      logTable({
        title: 'Warnings and errors',
        shows: 'The service’s own lines of this time. A line with trace_id leads to its trace.', bad: 'any error; a warning that repeats.',
        then: 'open the line, then its trace.',
        query: lines('| severity_text=~"WARN|ERROR"'),
        links: [logs(lines('| severity_text=~"WARN|ERROR"'), 'Warnings and errors')],
      }),
    ],
  },
});
