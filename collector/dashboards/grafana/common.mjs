// Panels and dashboards, on Grafana's builders. A panel says its title, what it shows, when that is
// bad and what to do then, its queries, its unit, and where to look next.

import {
  DashboardBuilder, DashboardCursorSync, DashboardLinkBuilder, DatasourceVariableBuilder,
  QueryVariableBuilder, RowBuilder, ThresholdsConfigBuilder, ThresholdsMode, VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import {
  GraphThresholdsStyleConfigBuilder, GraphThresholdsStyleMode, LegendDisplayMode, LegendPlacement,
  ReduceDataOptionsBuilder, SortOrder, StackingConfigBuilder, StackingMode, TooltipDisplayMode,
  VizLegendOptionsBuilder, VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import * as heatmaps from '@grafana/grafana-foundation-sdk/heatmap';
import * as logPanels from '@grafana/grafana-foundation-sdk/logs';
import * as loki from '@grafana/grafana-foundation-sdk/loki';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as stats from '@grafana/grafana-foundation-sdk/stat';
import * as tables from '@grafana/grafana-foundation-sdk/table';
import * as tempo from '@grafana/grafana-foundation-sdk/tempo';
import * as graphs from '@grafana/grafana-foundation-sdk/timeseries';

const source = (type) => ({ type, uid: `\${${type}}` });
const refId = (index) => String.fromCharCode('A'.charCodeAt(0) + index);

/** What all panels have. A link that names a label is one of a series, all others are the panel's. */
function common(builder, { title, shows, bad, then, unit, min, max, decimals, noValue, links, width, height }) {
  builder.title(title).span(width).height(height);
  builder.description(`${shows}\n\n**Bad:** ${bad}\n\n**Then:** ${then}`);
  if (unit) builder.unit(unit);
  if (min !== undefined) builder.min(min);
  if (max !== undefined) builder.max(max);
  if (decimals !== undefined) builder.decimals(decimals);
  builder.noValue(noValue ?? 'none in this time');
  const ofSeries = (link) => /\$\{__(field|value|data)/.test(link.url);
  builder.dataLinks(links.filter(ofSeries).map(built));
  builder.links(links.filter((link) => !ofSeries(link)).map(panelLink));
  return builder;
}

const built = (value) => ({ build: () => value });

const panelLink = ({ title, url, targetBlank = false }) =>
  new DashboardLinkBuilder(title).type('link').url(url).targetBlank(targetBlank);

/** `{ green: null, yellow: 1, red: 5 }`: green at first, yellow from 1 on, red from 5 on. */
const thresholds = (levels) =>
  new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(Object.entries(levels).map(([color, value]) => ({ color, value })));

/** `queries`: expressions by legend, or `{ expr, exemplars }` by legend. */
function withQueries(builder, queries, adjust) {
  builder.datasource(source('prometheus'));
  Object.entries(queries).forEach(([legend, query], index) => {
    const { expr, exemplars } = typeof query === 'string' ? { expr: query } : query;
    const target = new prometheus.DataqueryBuilder()
      .datasource(source('prometheus')).expr(expr).legendFormat(legend).refId(refId(index));
    if (exemplars) target.exemplar(true);
    builder.withTarget(adjust(target));
  });
  return builder;
}

/** Lines over time. `stacked`: areas on each other. */
export function graph({ queries, levels, stacked, width = 8, height = 8, ...rest }) {
  const builder = common(new graphs.PanelBuilder(), { min: 0, width, height, ...rest })
    .legend(new VizLegendOptionsBuilder().showLegend(true).displayMode(LegendDisplayMode.List)
      .placement(LegendPlacement.Bottom))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .fillOpacity(stacked ? 40 : 8)
    .lineWidth(1);
  if (stacked) builder.stacking(new StackingConfigBuilder().mode(StackingMode.Normal));
  if (levels) {
    builder.thresholds(thresholds(levels))
      .thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  }
  return withQueries(builder, queries, (target) => target.range());
}

/** One number, of the end of the time range; the expression covers the range itself if it is to. */
export function stat({ queries, levels, width = 4, height = 5, ...rest }) {
  // Without thresholds of its own a number above 80 would be red.
  const builder = common(new stats.PanelBuilder(), { width, height, ...rest })
    .thresholds(thresholds(levels ?? { text: null }))
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']));
  return withQueries(builder, queries, (target) => target.instant());
}

/** A distribution over time. */
export function heatmap({ buckets, unit, width = 12, height = 8, ...rest }) {
  const builder = common(new heatmaps.PanelBuilder(), { width, height, ...rest })
    .yAxis(new heatmaps.YAxisConfigBuilder().unit(unit))
    .cellValues(new heatmaps.CellValuesBuilder().unit('short'))
    .tooltip(new heatmaps.HeatmapTooltipBuilder().mode(TooltipDisplayMode.Single).yHistogram(true));
  return withQueries(builder, { '{{le}}': buckets }, (target) =>
    target.range().format(prometheus.PromQueryFormat.Heatmap));
}

/** The unit of a column, its thresholds, and the links of its cells. */
const properties = ({ unit, levels, links }) => [
  ...(unit ? [{ id: 'unit', value: unit }] : []),
  ...(levels ? [
    { id: 'thresholds', value: thresholds(levels).build() },
    { id: 'custom.cellOptions', value: { type: 'color-text' } },
  ] : []),
  ...(links ? [{ id: 'links', value: links }] : []),
];

/**
 * A row for each value of some labels. `keys` are the labels with the columns' titles; `columns` are
 * `{ expr, unit, levels }` by title. Links are those of the first key.
 */
export function table({ keys, columns, sortBy, links, width = 24, height = 9, ...rest }) {
  const titles = Object.keys(columns);
  const builder = common(new tables.PanelBuilder(), { links: [], width, height, ...rest })
    .transformations([
      { id: 'merge', options: {} },
      {
        id: 'organize',
        options: {
          excludeByName: { Time: true },
          indexByName: {},
          renameByName: {
            ...keys,
            ...Object.fromEntries(titles.map((title, index) => [valueColumn(titles, index), title])),
          },
        },
      },
    ])
    .overrideByName(Object.values(keys)[0], properties({ links }));
  for (const [title, column] of Object.entries(columns)) builder.overrideByName(title, properties(column));
  if (sortBy) builder.sortBy([built({ displayName: sortBy, desc: true })]);
  const queries = Object.fromEntries(Object.entries(columns).map(([title, { expr }]) => [title, expr]));
  return withQueries(builder, queries, (target) =>
    target.instant().format(prometheus.PromQueryFormat.Table));
}

/** With one query its letter is left out. */
const valueColumn = (titles, index) => (titles.length > 1 ? `Value #${refId(index)}` : 'Value');

/** Spans that Tempo finds. */
export function traceTable({ query, limit = 20, width = 24, height = 9, ...rest }) {
  return common(new tables.PanelBuilder(), { width, height, ...rest })
    .datasource(source('tempo'))
    .withTarget(new tempo.DataqueryBuilder()
      .datasource(source('tempo')).queryType(tempo.TempoQueryType.Traceql)
      .query(query).tableType(tempo.SearchTableType.Spans).limit(limit).refId('A'));
}

/** Lines that Loki finds. */
export function logTable({ query, width = 24, height = 9, ...rest }) {
  return common(new logPanels.PanelBuilder(), { width, height, ...rest })
    .datasource(source('loki'))
    .showTime(true).wrapLogMessage(true).enableLogDetails(true)
    .withTarget(new loki.DataqueryBuilder()
      .datasource(source('loki')).expr(query).queryType('range').maxLines(200).refId('A'));
}

const sourceVariable = (type, label) =>
  new DatasourceVariableBuilder(type).label(label).type(type).current({ text: label, value: type });

function choice(name, label, query) {
  return new QueryVariableBuilder(name).label(label)
    .datasource(source('prometheus')).query({ query, refId: name })
    .sort(VariableSort.AlphabeticalAsc).refresh(VariableRefresh.OnTimeRangeChanged);
}

/** Several may be chosen, and at first all are. */
const choices = (name, label, query) =>
  choice(name, label, query).multi(true).includeAll(true).allValue('.*')
    .current({ text: ['All'], value: ['$__all'] });

const rootField = choices('root_field', 'Root field',
  'label_values(graphql_server_request_duration_seconds_count{job="$job"}, graphql_root_field)');

/** `rows`: panels by the title of their row. `byRootField`: with a choice of root fields. */
export function dashboard({ uid, title, description, rows, byRootField }) {
  const builder = new DashboardBuilder(`Colophon: ${title}`)
    .uid(uid).description(description).tags(['colophon'])
    .time({ from: 'now-1h', to: 'now' }).refresh('30s').timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .link(new DashboardLinkBuilder('Colophon').type('dashboards').icon('external link')
      .tags(['colophon']).includeVars(true).keepTime(true))
    .variables([
      sourceVariable('prometheus', 'Prometheus'),
      sourceVariable('tempo', 'Tempo'),
      sourceVariable('loki', 'Loki'),
      choice('job', 'Job', 'label_values(process_uptime_seconds, job)'),
      choices('instance', 'Instance', 'label_values(process_uptime_seconds{job="$job"}, instance)'),
      ...(byRootField ? [rootField] : []),
    ]);
  let id = 0;
  for (const [heading, panels] of Object.entries(rows)) {
    builder.withRow(new RowBuilder(heading).id((id += 1)));
    for (const panel of panels) builder.withPanel(panel.id((id += 1)));
  }
  return withoutStrangers(JSON.parse(JSON.stringify(builder.build())));
}

/** What the builders add, and Grafana's own schema does not know, or not as a default. */
function withoutStrangers(model) {
  for (const variable of model.templating.list) {
    delete variable.auto;
    delete variable.auto_min;
    delete variable.auto_count;
  }
  for (const link of [model, ...model.panels].flatMap(({ links = [] }) => links)) delete link.placement;
  for (const panel of model.panels) delete panel.options?.footer;
  return model;
}
