// Kibana's saved objects: data views, and dashboards of Lens panels. A panel says its title, what it
// shows, when that is bad and what to do then, and its query. `w` of 48 is the whole width.

/** Without these, Kibana takes an object for one of an early version and migrates it. */
const versions = { coreMigrationVersion: '8.8.0' };

export const signals = ['traces', 'metrics', 'logs'];
export const indexPattern = (signal) => `${signal}-*.otel-*`;
export const dataViewId = (signal) => `colophon-${signal}`;

const reference = (name, id, type = 'index-pattern') => ({ type, id, name });

export function dataView(id, name, title, formats = {}) {
  return {
    id,
    type: 'index-pattern',
    attributes: {
      name,
      title,
      timeFieldName: '@timestamp',
      fieldFormatMap: JSON.stringify(formats),
      fields: '[]',
      // It may be looked at before the first telemetry has come.
      allowNoIndex: true,
    },
    references: [],
    ...versions,
    typeMigrationVersion: '8.0.0',
  };
}

/** How numbers are shown. */
export const units = {
  count: { id: 'number', params: { decimals: 0 } },
  number: { id: 'number', params: { decimals: 2 } },
  percent: { id: 'percent', params: { decimals: 2 } },
  bytes: { id: 'bytes', params: { decimals: 1 } },
  seconds: {
    id: 'duration',
    params: { fromUnit: 'seconds', toUnit: 'asMilliseconds', decimals: 1, compact: true },
  },
  longSeconds: {
    id: 'duration',
    params: { fromUnit: 'seconds', toUnit: 'humanizePrecise', decimals: 1, compact: true },
  },
};

const types = { date: ['date', 'date'], text: ['string', 'keyword'] };

/** A column of an ES|QL query's answer. `shown` is a unit, `date` or `text`. */
function column(name, shown) {
  const [type, esType] = types[shown] ?? ['number', 'double'];
  return {
    columnId: name,
    fieldName: name,
    label: name,
    customLabel: true,
    meta: { type, esType },
    ...(units[shown] && { inMetricDimension: true, params: { format: units[shown] } }),
  };
}

const layerId = 'layer';

/** What a panel of an ES|QL query and one of a data view have in common. */
function lens({ title, shows, bad, then, w, h }, { visualizationType, visualization, references = [], ...state }) {
  const description = `${shows} Bad: ${bad} Then: ${then}`;
  return {
    w,
    h,
    references,
    embeddableConfig: {
      title,
      description,
      attributes: {
        title,
        description,
        type: 'lens',
        version: 2,
        visualizationType,
        references,
        state: {
          adHocDataViews: {},
          internalReferences: [],
          filters: [],
          visualization: { layerId, layerType: 'data', ...visualization },
          ...state,
        },
      },
    },
  };
}

function esql(panel, visualizationType, visualization) {
  const signal = signals.find((name) => panel.query.startsWith(`FROM ${name}-`));
  const query = { esql: panel.query };
  // Kibana makes a data view of its own for each source of a query.
  const index = `colophon-esql-${signal}`;
  const view = { id: index, title: indexPattern(signal), name: indexPattern(signal), timeFieldName: '@timestamp' };
  return {
    ...lens(panel, {
      visualizationType,
      visualization,
      query,
      adHocDataViews: { [index]: { ...view, type: 'esql', allowNoIndex: false, allowHidden: false, fieldFormats: {}, runtimeFieldMap: {}, sourceFilters: [] } },
      datasourceStates: {
        textBased: {
          indexPatternRefs: [{ id: index, title: view.title, timeField: '@timestamp' }],
          layers: {
            [layerId]: {
              index,
              query,
              timeField: '@timestamp',
              columns: Object.entries(panel.columns).map(([name, shown]) => column(name, shown)),
            },
          },
        },
      },
    }),
    esql: panel.query,
  };
}

/** One number. */
export const number = (panel) =>
  esql({ w: 12, h: 6, ...panel }, 'lnsMetric', { metricAccessor: Object.keys(panel.columns)[0] });

/** Its columns: the time, what is drawn, and, as the only text, what to draw it for. */
export function chart(panel) {
  const names = (wanted) =>
    Object.entries(panel.columns).filter(([, shown]) => wanted(shown)).map(([name]) => name);
  const split = names((shown) => shown === 'text');
  return esql({ w: 24, h: 12, ...panel }, 'lnsXY', {
    preferredSeriesType: panel.series,
    legend: { isVisible: true, position: 'bottom' },
    valueLabels: 'hide',
    fittingFunction: 'Linear',
    axisTitlesVisibilitySettings: { x: false, yLeft: false, yRight: false },
    layers: [
      {
        layerId,
        layerType: 'data',
        seriesType: panel.series,
        xAccessor: names((shown) => shown === 'date')[0],
        accessors: names((shown) => units[shown]),
        ...(split.length && { splitAccessors: split }),
      },
    ],
  });
}

export const table = (panel) =>
  esql({ w: 48, h: 12, ...panel }, 'lnsDatatable', {
    columns: Object.keys(panel.columns).map((columnId) => ({ columnId })),
    paging: { enabled: true, size: 20 },
  });

/**
 * A table of traces, or of what else has a trace id, with a link in each row. ES|QL's answers know
 * nothing of a data view's links, hence Lens's own query. `worst` is the number to sort by.
 */
export function traces(panel) {
  const { signal, filter, worst, last } = panel;
  const view = dataViewId(signal);
  const plain = { isBucketed: false, customLabel: true };
  const columns = {
    trace: {
      ...plain,
      isBucketed: true,
      label: 'trace',
      dataType: 'string',
      operationType: 'terms',
      scale: 'ordinal',
      sourceField: 'trace_id',
      params: {
        size: 50,
        orderBy: { type: 'column', columnId: 'worst' },
        orderDirection: 'desc',
        otherBucket: false,
        missingBucket: false,
        parentFormat: { id: 'terms' },
      },
    },
    worst: {
      ...plain,
      label: worst.label,
      dataType: worst.date ? 'date' : 'number',
      operationType: 'max',
      scale: 'ratio',
      sourceField: worst.field,
      params: { emptyAsNull: true, ...(worst.unit && { format: units[worst.unit] }) },
    },
    ...Object.fromEntries(
      Object.entries(last).map(([label, field], index) => [
        `last${index}`,
        {
          ...plain,
          label,
          dataType: 'string',
          operationType: 'last_value',
          scale: 'ordinal',
          sourceField: field,
          filter: { language: 'kuery', query: `${field}: *` },
          params: { sortField: '@timestamp', showArrayValues: false },
        },
      ]),
    ),
  };
  const columnOrder = Object.keys(columns);
  return {
    ...lens({ w: 48, h: 14, ...panel }, {
      visualizationType: 'lnsDatatable',
      visualization: {
        columns: columnOrder.map((columnId) => ({ columnId })),
        sorting: { columnId: 'worst', direction: 'desc' },
        paging: { enabled: true, size: 10 },
      },
      query: { language: 'kuery', query: filter },
      datasourceStates: { formBased: { layers: { [layerId]: { columns, columnOrder, incompleteColumns: {}, sampling: 1 } } } },
      references: [reference(`indexpattern-datasource-layer-${layerId}`, view)],
    }),
    form: { signal, fields: ['@timestamp', 'trace_id', worst.field, ...Object.values(last)], filter },
  };
}

/** From left to right, and down where there is no more room. */
function placed(panels) {
  let x = 0;
  let y = 0;
  let tallest = 0;
  return panels.map((panel, index) => {
    if (x + panel.w > 48) {
      x = 0;
      y += tallest;
      tallest = 0;
    }
    const i = `panel-${index + 1}`;
    const gridData = { i, x, y, w: panel.w, h: panel.h };
    x += panel.w;
    tallest = Math.max(tallest, panel.h);
    return { ...panel, panelIndex: i, gridData };
  });
}

/** Filters above a dashboard, by title. They hold for all its panels. */
const choices = {
  Service: { signal: 'metrics', field: 'resource.attributes.service.name' },
  'Root field': { signal: 'metrics', field: 'attributes.graphql.root_field' },
};

function controls(titles) {
  const panels = titles.map((title, order) => {
    const { field } = choices[title];
    const id = `control-${order + 1}`;
    const explicitInput = {
      id,
      title,
      fieldName: field,
      selectedOptions: [],
      searchTechnique: 'prefix',
      sort: { by: '_key', direction: 'asc' },
    };
    return [id, { type: 'optionsListControl', order, grow: false, width: 'medium', explicitInput }];
  });
  return {
    input: {
      chainingSystem: 'HIERARCHICAL',
      controlStyle: 'oneLine',
      showApplySelections: false,
      ignoreParentSettingsJSON: JSON.stringify({
        ignoreFilters: false, ignoreQuery: false, ignoreTimerange: false, ignoreValidations: false,
      }),
      panelsJSON: JSON.stringify(Object.fromEntries(panels)),
    },
    references: titles.map((title, order) =>
      reference(`controlGroup_control-${order + 1}:optionsListDataView`, dataViewId(choices[title].signal))),
    fields: titles.map((title) => choices[title].field),
  };
}

/** `panels`, as made above; `filters`: titles of choices. */
export function dashboard({ id, title, description, filters, panels }) {
  const arranged = placed(panels);
  const { input, references, fields } = controls(filters);
  return {
    object: {
      id,
      type: 'dashboard',
      attributes: {
        title,
        description,
        timeRestore: true,
        timeFrom: 'now-1h',
        timeTo: 'now',
        refreshInterval: { pause: false, value: 30000 },
        optionsJSON: JSON.stringify({
          useMargins: true, syncColors: true, syncCursor: true, syncTooltips: false, hidePanelTitles: false,
        }),
        kibanaSavedObjectMeta: {
          searchSourceJSON: JSON.stringify({ filter: [], query: { language: 'kuery', query: '' } }),
        },
        controlGroupInput: input,
        panelsJSON: JSON.stringify(
          arranged.map(({ panelIndex, gridData, embeddableConfig }) =>
            ({ type: 'lens', panelIndex, gridData, embeddableConfig })),
        ),
      },
      references: [
        ...arranged.flatMap(({ panelIndex, references: own }) =>
          own.map((one) => ({ ...one, name: `${panelIndex}:${one.name}` }))),
        ...references,
      ],
      ...versions,
      typeMigrationVersion: '10.3.0',
    },
    panels: arranged,
    filters: fields,
  };
}
