import { dashboard, graph, heatmap, table } from './common.mjs';
import {
  buckets, dashboardLink, gauge, lines, logs, mean, ofRootFields, operations, orZero, quantile, quotient,
  rate, rootFields, serverFaults, spans, sum, total, traces,
} from './queries.mjs';

const OPERATIONS = 'graphql_server_request_duration_seconds';
const FIELDS = 'graphql_server_field_duration_seconds';
const STATEMENTS = 'graphql_server_request_db_statements';
const BATCHES = 'graphql_dataloader_batch_size';
const EVENTS = 'graphql_server_subscription_event_duration_seconds';
const LAG = 'graphql_server_subscription_lag_seconds';
const PHASES = 'graphql_server_processing_duration_seconds';

const byField = 'graphql_selection_field_coordinate';
const byRoot = 'graphql_root_field';
const ofSeries = 'span.graphql.root_field = "${__field.labels.graphql_root_field}"';
const batchTraces = traces(spans('span.graphql.dataloader.name = "${__field.labels.graphql_dataloader_name}"'));
const phaseTraces = traces(spans('span.graphql.processing.type = "${__field.labels.graphql_processing_type}"'));
const eventTraces = traces(spans('name = "GraphQL Subscription Event"'), 'Events');
const lifeTraces = traces(spans('name = "subscription"'), 'Subscriptions that ended');
const database = dashboardLink('colophon-database', 'Database');
const ofFaults = `${rootFields}, error_type=~"${serverFaults}"`;

export default dashboard({
  uid: 'colophon-graphql',
  title: 'GraphQL',
  description: 'Which operations and fields take time, which query the database too often, and which are rejected.',
  byRootField: true,
  rows: {
    'Root fields and fields': [
      table({
        title: 'Root fields', unit: 'short',
        shows: 'The operations of this time by root field; _MULTIPLE has more than one, _OTHER was rejected before execution.',
        bad: 'a p95 above 250 ms, or failures.', then: 'click the root field for its traces.',
        keys: { graphql_root_field: 'Root field' },
        columns: {
          Operations: { expr: sum(total(`${OPERATIONS}_count`, rootFields), byRoot), unit: 'short' },
          'Server faults': {
            expr: `${sum(total(`${OPERATIONS}_count`, ofFaults), byRoot)} or 0 * ${sum(total(`${OPERATIONS}_count`, rootFields), byRoot)}`,
            unit: 'short', levels: { text: null, red: 0.5 },
          },
          Mean: { expr: mean(OPERATIONS, { by: byRoot, labels: rootFields, of: total }), unit: 's' },
          p95: {
            expr: quantile(0.95, OPERATIONS, { by: byRoot, labels: rootFields, of: total }),
            unit: 's', levels: { text: null, red: 0.25 },
          },
          'Statements each': {
            expr: mean(STATEMENTS, { by: byRoot, labels: rootFields, of: total }), unit: 'short', levels: { text: null, yellow: 10, red: 50 },
          },
        },
        sortBy: 'Operations',
        links: [traces(operations('span.graphql.root_field = "${__value.raw}"'))],
      }),
      table({
        title: 'Fields that do I/O', unit: 'short',
        shows: 'The calls of this time. Total is over all calls, which may run at once.', bad: 'a total that stands out; calls far above the operations.',
        then: 'click the field for its spans: graphql.field.calls and .duration.max tell many calls from slow ones.',
        keys: { graphql_selection_field_coordinate: 'Field' },
        columns: {
          Total: { expr: sum(total(`${FIELDS}_sum`), byField), unit: 's' },
          Calls: { expr: sum(total(`${FIELDS}_count`), byField), unit: 'short' },
          Mean: { expr: mean(FIELDS, { by: byField, of: total }), unit: 's' },
          p95: { expr: quantile(0.95, FIELDS, { by: byField, of: total }), unit: 's' },
        },
        sortBy: 'Total',
        links: [traces(spans('span.graphql.selection.field.coordinate = "${__value.raw}"'))],
      }),
      graph({
        title: 'Time in fields', unit: 's', width: 12, stacked: true,
        shows: 'Seconds spent in the calls of a field, in each second; the ten with most.', bad: 'one that grows faster than the operations.',
        then: 'see beside whether it is called more often, or each call is slower.',
        queries: { [`{{${byField}}}`]: `topk(10, ${sum(rate(`${FIELDS}_sum`), byField)})` },
        links: [traces(spans('span.graphql.selection.field.coordinate = "${__field.labels.graphql_selection_field_coordinate}"'))],
      }),
      graph({
        title: 'Calls of fields', unit: 'cps', width: 12,
        shows: 'Calls of a field’s resolver, a second; the ten with most.', bad: 'hundreds of calls for each operation.',
        then: 'it is a field of a list: see whether a DataLoader loads it, below.',
        queries: { [`{{${byField}}}`]: `topk(10, ${sum(rate(`${FIELDS}_count`), byField)})` },
        links: [traces(spans('span.graphql.selection.field.coordinate = "${__field.labels.graphql_selection_field_coordinate}"'))],
      }),
    ],
    'N+1: statements of an operation': [
      graph({
        title: 'Mean by root field', unit: 'short',
        shows: 'SQL statements that an operation makes, on average.', bad: 'above 10: a statement for each item of a list.',
        then: 'open its traces and look for the same statement many times; a DataLoader reads them at once.',
        queries: { '{{graphql_root_field}}': mean(STATEMENTS, { by: byRoot, labels: rootFields }) },
        levels: { green: null, yellow: 10, red: 50 }, links: [traces(operations(ofSeries)), database],
      }),
      graph({
        title: 'p95 by root field', unit: 'short',
        shows: 'SQL statements that 95 % of the operations make at most.', bad: 'far above the mean: some queries fan out.',
        then: 'open the traces of the root field, longest first.',
        queries: { '{{graphql_root_field}}': quantile(0.95, STATEMENTS, { by: byRoot, labels: rootFields }) },
        levels: { green: null, yellow: 10, red: 50 }, links: [traces(operations(ofSeries)), database],
      }),
      heatmap({
        title: 'Statements of an operation', unit: 'short', width: 8,
        shows: 'How many operations made how many statements.', bad: 'a band that moves up as the data grow.',
        then: 'choose root fields above until the band is alone.',
        buckets: buckets(STATEMENTS, rootFields), links: [traces(operations(ofRootFields)), database],
      }),
    ],
    DataLoaders: [
      graph({
        title: 'Mean batch', unit: 'short',
        shows: 'Keys of a batch, on average.', bad: 'near 1 while there are many batches: nothing is gathered.',
        then: 'see in a trace what asks for the keys one after the other.',
        queries: { '{{graphql_dataloader_name}}': mean(BATCHES, { by: 'graphql_dataloader_name' }) }, links: [batchTraces],
      }),
      graph({
        title: 'p95 batch', unit: 'short',
        shows: 'Keys that 95 % of the batches have at most.', bad: 'thousands: one statement with as many parameters.',
        then: 'see who asks for such long lists, and the limits of pages.',
        queries: { '{{graphql_dataloader_name}}': quantile(0.95, BATCHES, { by: 'graphql_dataloader_name' }) }, links: [batchTraces],
      }),
      graph({
        title: 'Batches', unit: 'cps',
        shows: 'Batches a second.', bad: 'a rise without more operations.', then: 'compare with the mean batch: smaller ones are more.',
        queries: { '{{graphql_dataloader_name}}': sum(rate(`${BATCHES}_count`), 'graphql_dataloader_name') }, links: [batchTraces],
      }),
    ],
    Phases: [
      graph({
        title: 'p95 by phase', unit: 's',
        shows: 'How long 95 % of the parsings, validations and executions took at most.', bad: 'parsing or validation above 10 ms.',
        then: 'someone sends large documents: see the sizes of requests, and the refusals.',
        queries: { '{{graphql_processing_type}}': quantile(0.95, PHASES, { by: 'graphql_processing_type' }) }, links: [phaseTraces],
      }),
      graph({
        title: 'Time in phases', unit: 's', stacked: true,
        shows: 'Seconds spent in each phase, in each second.', bad: 'parsing and validation more than a small part.',
        then: 'see whether documents are known already, beside.',
        queries: { '{{graphql_processing_type}}': sum(rate(`${PHASES}_sum`), 'graphql_processing_type') }, links: [phaseTraces],
      }),
      graph({
        title: 'Parsed anew, of all operations', unit: 'percentunit', max: 1,
        shows: 'The share of the operations whose document was not known from before.', bad: 'near 100 %: clients write values into the document.',
        then: 'have the client use variables.',
        queries: {
          'parsed anew': quotient(
            `(${orZero(sum(rate(`${PHASES}_count`, 'graphql_processing_type="parse"')))})`, sum(rate(`${OPERATIONS}_count`))),
        },
        links: [traces(spans('name = "GraphQL Document Parsing"'))],
      }),
    ],
    Subscriptions: [
      graph({
        title: 'Open subscriptions', unit: 'short',
        shows: 'Subscriptions that are open, by root field.', bad: 'a sudden fall, or as many as COLOPHON_MAX_SUBSCRIPTIONS.',
        then: 'see beside why they ended.',
        queries: { '{{graphql_root_field}}': sum(gauge('graphql_server_subscription_active', rootFields), byRoot) },
        links: [lifeTraces],
      }),
      graph({
        title: 'Subscriptions opened and ended', unit: 'cps',
        shows: 'Subscriptions that were opened, a second, and that ended, by the reason.', bad: 'slow_client, or many that end as soon as they are opened.',
        then: 'open the subscriptions that ended: graphql.subscription.events says what each had.',
        queries: {
          opened: sum(rate('graphql_server_subscription_started_total', rootFields)),
          '{{graphql_subscription_end_reason}}': sum(rate('graphql_server_subscription_ended_total', rootFields), 'graphql_subscription_end_reason'),
        },
        links: [lifeTraces],
      }),
      graph({
        title: 'Events delivered and dropped', unit: 'cps',
        shows: 'Events that subscriptions were sent, a second, and that they missed and were told to have missed.',
        bad: 'dropped for longer than an import takes: clients do not keep up, or the service does not.',
        then: 'see the events that wait: none means that the service is late, many that clients are.',
        queries: {
          delivered: sum(rate('graphql_server_subscription_event_count_total', rootFields)),
          dropped: sum(rate('graphql_server_subscription_dropped_total', rootFields)),
        },
        links: [eventTraces],
      }),
      graph({
        title: 'Lag of events', unit: 's',
        shows: 'From the change to the delivery of its event: half, and 99 %, take at most so long.', bad: 'above a second.',
        then: 'compare with the execution of events beside; what is left is waiting for a permit, the queue or the notification.',
        queries: Object.fromEntries([0.5, 0.99].map((q) => [`p${q * 100}`, quantile(q, LAG, { labels: rootFields })])),
        links: [eventTraces],
      }),
      graph({
        title: 'Execution of events', unit: 's',
        shows: 'How long the execution of an event takes, once for all subscriptions that are alike: half, and 95 %.',
        bad: 'above 250 ms.', then: 'open the events, longest first: fields and SQL are below each.',
        queries: Object.fromEntries([0.5, 0.95].map((q) => [`p${q * 100}`, quantile(q, EVENTS, { labels: rootFields })])),
        links: [eventTraces, database],
      }),
      graph({
        title: 'Events that wait to be sent', unit: 'short',
        shows: 'Responses to events that wait for their clients, of all subscriptions.', bad: 'many for long: clients take them too slowly.',
        then: 'each may have COLOPHON_MAX_SUBSCRIPTION_QUEUE; then it is told that it missed some.',
        queries: { waiting: sum(gauge('graphql_server_subscription_queue')) },
        links: [lifeTraces],
      }),
    ],
    'Refusals and sizes': [
      graph({
        title: 'Refusals by code', unit: 'cps',
        shows: 'The client’s mistakes, a second. LIMIT_EXCEEDED: a document over a limit. GRAPHQL_VALIDATION_FAILED: it does not fit the schema.',
        bad: 'a rise after a release of a client or of the schema.', then: 'open the traces of the code; graphql.operation.name says which query.',
        queries: { '{{error_type}}': sum(rate('graphql_server_errors_total', `error_type!~"${serverFaults}"`), 'error_type') },
        links: [traces(operations('span.error.type = "${__field.labels.error_type}"'))],
      }),
      graph({
        title: 'Limits hit', unit: 'cps',
        shows: 'Operations ended by a limit, a second: of the document, of time, of the service’s capacity.', bad: 'OVERLOADED or TIMEOUT: well-behaved clients are rejected.',
        then: 'OVERLOADED: more instances. TIMEOUT: see Async runtime and Database. LIMIT_EXCEEDED: see who sends it.',
        queries: { '{{error_type}}': sum(rate('graphql_server_errors_total', 'error_type=~"LIMIT_EXCEEDED|TIMEOUT|REQUEST_TIMEOUT|OVERLOADED"'), 'error_type') },
        links: [traces(spans('span.error.type = "${__field.labels.error_type}"'))],
      }),
      graph({
        title: 'Refused before execution', unit: 'ops',
        shows: 'Operations a second that were never executed.', bad: 'a large part of all operations.',
        then: 'see the code beside, and the log for the addresses.',
        queries: { refused: orZero(sum(rate(`${OPERATIONS}_count`, 'graphql_root_field="_OTHER"'))) },
        links: [traces(operations('span.error.type != nil')), logs(lines('| severity_text=~"WARN|ERROR"'), 'Warnings and errors')],
      }),
      graph({
        title: 'In flight by type', unit: 'short',
        shows: 'Operations that are being executed.', bad: 'a rise without more operations a second.',
        then: 'see what they wait for: Async runtime, then /debug/tasks of the instance.',
        queries: { '{{graphql_operation_type}}': sum(gauge('graphql_server_active_requests'), 'graphql_operation_type') },
        links: [traces(operations('name = "${__field.labels.graphql_operation_type}"')), dashboardLink('colophon-runtime', 'Async runtime')],
      }),
      graph({
        title: 'Bodies of requests', unit: 'bytes',
        shows: 'Half, and 95 %, of the requests that announce their size have at most so much.', bad: 'a p95 near COLOPHON_MAX_BODY.',
        then: 'see who sends such documents: the traces have the user agent.',
        queries: Object.fromEntries([0.5, 0.95].map((q) => [`p${q * 100}`, quantile(q, 'http_server_request_body_size_bytes')])),
        links: [traces(spans('kind = server'))],
      }),
      graph({
        title: 'Response bodies', unit: 'bytes',
        shows: 'The median and the 95th percentile of the size of responses.', bad: 'megabytes: whole lists are fetched.',
        then: 'see the root fields with most time, and whether their clients page.',
        queries: Object.fromEntries([0.5, 0.95].map((q) => [`p${q * 100}`, quantile(q, 'http_server_response_body_size_bytes')])),
        links: [traces(spans('kind = server', 'duration > 250ms'))],
      }),
    ],
  },
});
