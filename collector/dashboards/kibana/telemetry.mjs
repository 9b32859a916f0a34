import { added, overTime, rows } from './queries.mjs';
import { chart, dashboard, number, table } from './saved-objects.mjs';

/** What became of spans, log records or data points. Without an `error.type`, all went well. */
const outcomes = (metric, well) => ({
  series: 'bar_stacked',
  query: added(metric, {
    as: 'number',
    by: { outcome: `COALESCE(attributes.error.type, "${well}")` },
    where: `metrics.${metric} > 0`,
  }),
  columns: { time: 'date', number: 'count', outcome: 'text' },
  w: 16,
});

const arrived = (signal, title) =>
  chart({
    title,
    shows: 'Documents that came to Elasticsearch, by instance, in each bar.',
    bad: 'none of an instance that runs. Of spans, the collector drops the most by intention.',
    then: 'compare with what the service exported, above; then look at the collector\'s own metrics and log.',
    series: 'bar_stacked',
    query: overTime(signal, {
      stats: 'documents = COUNT(*)',
      by: { instance: 'resource.attributes.service.instance.id' },
    }),
    columns: { time: 'date', documents: 'count', instance: 'text' },
    w: 16,
  });

const share = (title, metric, what) =>
  number({
    title,
    shows: `The share of ${what} that the service had to drop or could not export, over the whole time chosen.`,
    bad: 'above 0: what is shown elsewhere is not all there was.',
    then: 'see below whether its queue was full (queue_full) or the collector not reached (export_failed).',
    query: rows('metrics', {
      where: `metrics.${metric} IS NOT NULL`,
      stats: `gone = SUM(metrics.${metric}) WHERE attributes.error.type IS NOT NULL, total = SUM(metrics.${metric})`,
      then: ['EVAL lost = CASE(total > 0, COALESCE(TO_DOUBLE(gone), 0.0) / total, 0.0)', 'KEEP lost'],
    }),
    columns: { lost: 'percent' },
    w: 12,
  });

export const telemetry = dashboard({
  id: 'colophon-telemetry',
  title: 'Colophon: telemetry health',
  description: 'Can the other dashboards be believed? What the service exported, dropped and failed to export, and what arrived.',
  filters: ['Service'],
  panels: [
    share('Spans dropped by the service', 'otel.sdk.processor.span.processed', 'spans'),
    share('Spans not exported', 'otel.sdk.exporter.span.exported', 'spans'),
    share('Log records dropped by the service', 'otel.sdk.processor.log.processed', 'log records'),
    share('Log records not exported', 'otel.sdk.exporter.log.exported', 'log records'),
    chart({
      title: 'Spans exported',
      shows: 'Spans the service exported to the collector, or failed to, in each bar.',
      bad: 'export_failed.',
      then: 'is the collector there, and not refusing for want of memory?',
      ...outcomes('otel.sdk.exporter.span.exported', 'exported'),
    }),
    chart({
      title: 'Log records exported',
      shows: 'Log records the service exported to the collector, or failed to, in each bar.',
      bad: 'export_failed.',
      then: 'the lines are on the service\'s standard output in any case.',
      ...outcomes('otel.sdk.exporter.log.exported', 'exported'),
    }),
    chart({
      title: 'Data points exported',
      shows: 'Data points of metrics the service exported to the collector, or failed to, in each bar.',
      bad: 'export_failed: the graphs of that time have holes.',
      then: 'is the collector there, and not refusing for want of memory?',
      ...outcomes('otel.sdk.exporter.metric_data_point.exported', 'exported'),
    }),
    arrived('traces', 'Spans that arrived'),
    arrived('logs', 'Log lines that arrived'),
    arrived('metrics', 'Documents of metrics that arrived'),
    chart({
      title: 'Log lines by level',
      shows: 'Log lines by their level, in each bar.',
      bad: 'errors: each is a failure that was logged once.',
      then: 'open Discover with the data view of log lines, and follow the trace id.',
      series: 'bar_stacked',
      query: overTime('logs', { stats: 'lines = COUNT(*)', by: { level: 'severity_text' } }),
      columns: { time: 'date', lines: 'count', level: 'text' },
    }),
    table({
      title: 'Instances',
      shows: 'Each instance of the service: when it was last heard of, how long it has run, and its memory.',
      bad: 'one that should run and was last heard of long ago, or a short uptime: it was restarted.',
      then: 'look at its log lines before the restart.',
      query: rows('metrics', {
        stats:
          '`last heard of` = MAX(@timestamp), uptime = MAX(metrics.process.uptime), ' +
          'memory = MAX(metrics.process.memory.usage)',
        by: {
          service: 'resource.attributes.service.name',
          instance: 'resource.attributes.service.instance.id',
        },
        then: ['SORT `last heard of` DESC'],
      }),
      columns: { service: 'text', instance: 'text', 'last heard of': 'date', uptime: 'longSeconds', memory: 'bytes' },
      w: 24,
    }),
  ],
});
