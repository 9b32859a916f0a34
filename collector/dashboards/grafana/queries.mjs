// What panels ask, in PromQL, and the links that ask Tempo and Loki in Explore.

/** The series of the chosen instances of the service. */
const chosen = (labels = '') =>
  `{${['job="$job"', 'instance=~"$instance"', labels].filter(Boolean).join(', ')}}`;

/** The root fields chosen above the dashboard. */
export const rootFields = 'graphql_root_field=~"$root_field"';

/** Errors that are the service's fault; all other codes are the client's mistakes. */
export const serverFaults = 'INTERNAL_SERVER_ERROR|DATABASE_UNAVAILABLE|TIMEOUT|OVERLOADED';

export const gauge = (metric, labels) => metric + chosen(labels);
export const rate = (metric, labels) => `rate(${metric}${chosen(labels)}[$__rate_interval])`;
/** Over the whole time range, for tables and single numbers. */
export const total = (metric, labels) => `increase(${metric}${chosen(labels)}[$__range])`;

export const sum = (expression, by = '') => `sum${by && ` by (${by})`} (${expression})`;

/** Without a divisor there is no quotient: a gap, not NaN. */
export const quotient = (dividend, divisor) => `${dividend} / (${divisor} > 0)`;

/** Zero where there is nothing, such as a counter that begins with its first event. */
export const orZero = (expression) => `${expression} or vector(0)`;

/** The same for series with labels: one series, whose `label` says that there is none. */
export const orNone = (expression, label) =>
  `${expression} or on () label_replace(vector(0), "${label}", "none", "", "")`;

const list = (...labels) => labels.filter(Boolean).join(', ');

export const quantile = (q, metric, { by, labels, of = rate } = {}) =>
  `histogram_quantile(${q}, ${sum(of(`${metric}_bucket`, labels), list('le', by))})`;

export const mean = (metric, { by, labels, of = rate } = {}) =>
  quotient(sum(of(`${metric}_sum`, labels), by), sum(of(`${metric}_count`, labels), by));

export const buckets = (metric, labels) =>
  sum(`increase(${metric}_bucket${chosen(labels)}[$__rate_interval])`, 'le');

/**
 * Durations of spans, by the collector. Only these have exemplars, the dots that lead to a trace. They
 * are of all instances together.
 */
export const spanQuantile = (q, labels) =>
  `histogram_quantile(${q}, sum by (le) (rate(traces_span_metrics_duration_seconds_bucket{` +
  `service_name="$job", ${labels}}[$__rate_interval])))`;

/** The spans of GraphQL operations; the last name is of those refused before their type was known. */
const operationNames = 'query|mutation|GraphQL Operation';
export const operationSeries = `span_name=~"${operationNames}"`;

/** TraceQL: spans of the service. In links, variables are written with braces. */
export const spans = (...conditions) =>
  `{ ${['resource.service.name = "${job}"', ...conditions].join(' && ')} }`;
export const operations = (...conditions) => spans(`name =~ "${operationNames}"`, ...conditions);
/** A regular expression's backslashes would break the link, hence `pipe`. */
export const ofRootFields = 'span.graphql.root_field =~ "${root_field:pipe}"';

/** LogQL: the lines of the service. */
export const lines = (filter = '') => `{service_name="\${job}"}${filter && ` ${filter}`}`;

/** A link to Explore that asks `query` for the dashboard's time range. */
function explore(title, type, query) {
  const datasource = { type, uid: `\${${type}}` };
  const pane = {
    datasource: datasource.uid,
    queries: [{ refId: 'A', datasource, ...query }],
    range: { from: '${__from}', to: '${__to}' },
  };
  const encoded = encodeURIComponent(JSON.stringify({ pane }));
  // Grafana finds its variables in the URL only as they are.
  const panes = encoded.replace(/%24%7B.*?%7D/g, decodeURIComponent);
  return { title, url: `/explore?schemaVersion=1&panes=${panes}`, targetBlank: true };
}

export const traces = (query, title = 'Traces behind this') =>
  explore(title, 'tempo', { queryType: 'traceql', query, tableType: 'spans', limit: 50 });

export const logs = (query = lines(), title = 'Logs of this time') =>
  explore(title, 'loki', { expr: query, queryType: 'range' });

export const dashboardLink = (uid, title) => ({
  title,
  url: `/d/${uid}?\${__url_time_range}&\${__all_variables}`,
});
