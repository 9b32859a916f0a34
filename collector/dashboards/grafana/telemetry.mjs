import { dashboard, graph, stat } from './common.mjs';
import { dashboardLink, lines, logs, orNone, orZero, rate, spans, sum, total, traces } from './queries.mjs';

const SIGNALS = { spans: 'spans', 'log records': 'log_records', 'metric points': 'metric_points' };
const COLLECTOR = '{job="collector"}';
const collector = (metric) => `rate(otelcol_${metric}${COLLECTOR}[$__rate_interval])`;
const telemetryLog = logs(lines('|~ `telemetry|exporter`'), 'Log lines about telemetry');
const overview = dashboardLink('colophon-overview', 'Overview');

/** What became of the items: those without an error_type went well. */
const counted = (title, metrics, then) =>
  graph({
    title, unit: 'cps', width: 8,
    shows: 'Items a second. “Processed” went into the queue, “exported” to the collector; the others were lost, with the reason.',
    bad: 'any that were lost: queue_full is too many, export_failed is a collector that does not take them.', then,
    queries: Object.fromEntries(Object.entries(metrics).flatMap(([what, metric]) => [
      [what, orZero(sum(rate(metric, 'error_type=""')))],
      [`not ${what}: {{error_type}}`, orNone(sum(rate(metric, 'error_type!=""'), 'error_type'), 'error_type')],
    ])),
    links: [telemetryLog],
  });

/** Of the collector, for all signals at once. Its counters of failures begin with the first. */
const bySignal = (metric, by) =>
  Object.fromEntries(Object.entries(SIGNALS).map(([what, suffix]) =>
    [`${what} {{${by}}}`, orNone(sum(collector(`${metric}_${suffix}`), by), by)]));

/** All together. A regular expression for the names would not do: `increase` drops them. */
const together = (expressions) => expressions.map((expression) => `(${orZero(sum(expression))})`).join(' + ');

const SERVICE = ['processor_span_processed', 'exporter_span_exported', 'processor_log_processed', 'exporter_log_exported', 'exporter_metric_data_point_exported'];
const lostByService = SERVICE.map((metric) => total(`otel_sdk_${metric}_total`, 'error_type!=""'));
const lostByCollector = ['receiver_refused', 'exporter_send_failed', 'exporter_enqueue_failed'].flatMap((metric) =>
  Object.values(SIGNALS).map((suffix) => `increase(otelcol_${metric}_${suffix}${COLLECTOR}[$__range])`));

export default dashboard({
  uid: 'colophon-telemetry',
  title: 'Telemetry health',
  description: 'Can what the other dashboards say be trusted: is anything lost between the service and them.',
  rows: {
    'The service': [
      stat({
        title: 'Lost by the service', unit: 'short', width: 6, height: 8, decimals: 0,
        shows: 'Spans, log records and points of this time that did not reach the collector.', bad: 'any.',
        then: 'the graphs beside say which and why; runbook, “ColophonTelemetryLost”.',
        queries: { lost: together(lostByService) }, levels: { green: null, red: 1 }, links: [telemetryLog],
      }),
      stat({
        title: 'Lost by the collector', unit: 'short', width: 6, height: 8, decimals: 0,
        shows: 'Items that the collector rejected or could not send.', bad: 'any.',
        then: 'see its queues below; runbook, “ColophonCollectorLosesTelemetry”.',
        queries: { lost: together(lostByCollector) },
        levels: { green: null, red: 1 }, links: [overview],
      }),
      graph({
        title: 'Spans seen by the collector', unit: 'cps', width: 12, stacked: true,
        shows: 'Spans a second by kind and status, counted before sampling.', bad: 'a fall while operations go on.',
        then: 'see whether the service exports them, and the sampler of OTEL_TRACES_SAMPLER.',
        queries: { '{{span_kind}} {{status_code}}': 'sum by (span_kind, status_code) (rate(traces_span_metrics_calls_total{service_name="$job"}[$__rate_interval]))' },
        links: [traces(spans())],
      }),
      counted('Spans', { processed: 'otel_sdk_processor_span_processed_total', exported: 'otel_sdk_exporter_span_exported_total' },
        'queue_full: raise OTEL_BSP_MAX_QUEUE_SIZE or sample. export_failed: see the collector below.'),
      counted('Log records', { processed: 'otel_sdk_processor_log_processed_total', exported: 'otel_sdk_exporter_log_exported_total' },
        'queue_full: see what is logged so often. export_failed: see the collector below.'),
      counted('Metric points', { exported: 'otel_sdk_exporter_metric_data_point_exported_total' },
        'see the collector below; what Prometheus has is scraped, and not concerned.'),
    ],
    'The collector': [
      graph({
        title: 'Accepted', unit: 'cps', shows: 'Items a second that the collector took, by receiver.', bad: 'a fall while operations go on.',
        then: 'see what the service exports, above.', queries: bySignal('receiver_accepted', 'receiver'), links: [telemetryLog],
      }),
      graph({
        title: 'Refused', unit: 'cps', shows: 'Items a second that the collector did not take, by receiver.', bad: 'any: it has no memory left.',
        then: 'see its memory below, and which exporter’s queue is full.', queries: bySignal('receiver_refused', 'receiver'),
        levels: { green: null, red: 0.001 }, links: [telemetryLog],
      }),
      graph({
        title: 'Sent', unit: 'cps', shows: 'Items a second that backends took, by exporter.', bad: 'a fall to 0 while its queue grows.',
        then: 'the backend is away: runbook, “ColophonBackendUnreachable”.', queries: bySignal('exporter_sent', 'exporter'), links: [overview],
      }),
      graph({
        title: 'Failed to send', unit: 'cps', shows: 'Items a second that a backend rejected, by exporter.', bad: 'any.',
        then: 'the collector’s own log has the backend’s answer.', queries: bySignal('exporter_send_failed', 'exporter'),
        levels: { green: null, red: 0.001 }, links: [overview],
      }),
      graph({
        title: 'Failed to queue', unit: 'cps', shows: 'Items a second that a full queue rejected, by exporter.', bad: 'any: they are lost.',
        then: 'the backend is away for too long, or too slow.', queries: bySignal('exporter_enqueue_failed', 'exporter'),
        levels: { green: null, red: 0.001 }, links: [overview],
      }),
      graph({
        title: 'Queues, of their capacity', unit: 'percentunit', max: 1, shows: 'How full an exporter’s queue is.', bad: 'above 80 %.',
        then: 'runbook, “ColophonCollectorQueueFull”; see whether its backend responds.',
        queries: { '{{exporter}} {{data_type}}': `otelcol_exporter_queue_size${COLLECTOR} / (otelcol_exporter_queue_capacity${COLLECTOR} > 0)` },
        levels: { green: null, yellow: 0.5, red: 0.8 }, links: [overview],
      }),
      graph({
        title: 'Sampling of traces', unit: 'cps', shows: 'Decisions a second by policy: true is to keep. A trace is kept if any policy says so.',
        bad: 'errors or slow kept more than usual; nothing kept at all.', then: 'see Overview; the policies stand in collector/config.yaml.',
        queries: { '{{policy}} {{sampled}}': orNone(sum(collector('processor_tail_sampling_count_traces_sampled'), 'policy, sampled'), 'policy') },
        links: [traces(spans('kind = server')), overview],
      }),
      graph({
        title: 'Dropped before the decision', unit: 'cps', shows: 'Traces a second that the sampler had no room for. Failed ones may be among them.', bad: 'any.',
        then: 'raise num_traces; runbook, “ColophonTracesDroppedEarly”.',
        queries: { dropped: orZero(sum(collector('processor_tail_sampling_sampling_trace_dropped_too_early'))) },
        levels: { green: null, red: 0.001 }, links: [overview],
      }),
      graph({
        title: 'Memory of the collector', unit: 'bytes', shows: 'Its resident memory. From COLLECTOR_MEMORY_MIB (512) on it refuses.', bad: 'near that.',
        then: 'see the queues, and the traces that wait for their decision.', queries: { '{{instance}}': `otelcol_process_memory_rss${COLLECTOR}` },
        levels: { green: null, yellow: 402653184, red: 536870912 }, links: [overview],
      }),
      graph({
        title: 'Uptime of the collector', unit: 's', width: 24, height: 6, shows: 'Time since it started.', bad: 'a saw: it restarts.',
        then: 'see its memory before each restart, and its own log.', queries: { '{{instance}}': `otelcol_process_uptime${COLLECTOR}` }, links: [overview],
      }),
    ],
    'Scrapes and series': [
      graph({
        title: 'Targets up', unit: 'short', max: 1, shows: '1: the target responds. The service is scraped by the collector, all others by Prometheus.', bad: '0.',
        then: 'runbook, “ColophonGone” and “ColophonCollectorGone”.', queries: { '{{job}} {{instance}}': 'min by (job, instance) (up)' },
        links: [logs()],
      }),
      graph({
        title: 'Duration of scrapes', unit: 's', shows: 'How long a scrape takes.', bad: 'above some seconds: near its time-out.',
        then: 'see the samples beside; a blocked runtime does not delay /metrics, which has a thread of its own.',
        queries: { '{{job}} {{instance}}': 'max by (job, instance) (scrape_duration_seconds)' }, levels: { green: null, yellow: 1, red: 5 }, links: [logs()],
      }),
      graph({
        title: 'Samples of a scrape', unit: 'short', shows: 'How many series a target has.', bad: 'a steady rise: a label has values without bound.',
        then: 'find it: topk(10, count by (__name__) ({job="$job"})).', queries: { '{{job}} {{instance}}': 'max by (job, instance) (scrape_samples_scraped)' }, links: [logs()],
      }),
      graph({
        title: 'Series by job', unit: 'short', width: 12, shows: 'Series that Prometheus has now, by job.', bad: 'a steady rise of one.',
        then: 'count its series by name, as beside.', queries: { '{{job}}': 'count by (job) ({job!=""})' }, links: [overview],
      }),
      graph({
        title: 'Series in memory', unit: 'short', width: 12, shows: 'Series in Prometheus’ head, those that ended lately included.', bad: 'a steady rise: instances or labels that always are new.',
        then: 'see beside which job.', queries: { series: 'prometheus_tsdb_head_series{job="prometheus"}' }, links: [overview],
      }),
    ],
  },
});
