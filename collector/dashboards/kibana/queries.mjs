// What panels ask, in ES|QL. Counters come as what was added since the last time, and histograms too:
// they are summed up. `BUCKET` divides the chosen time into bars of a round length.

const from = (signal) => `FROM ${signal}-*.otel-*`;
const lines = (...parts) => parts.filter(Boolean).join('\n| ');

/** Errors that are the service's fault; all other codes are the client's mistakes. */
export const serverFaults = '("INTERNAL_SERVER_ERROR", "DATABASE_UNAVAILABLE", "TIMEOUT", "OVERLOADED")';

/** The seconds of the chosen time. */
export const seconds = 'DATE_DIFF("second", TO_DATETIME(?_tstart), TO_DATETIME(?_tend))';

const bar = 'time = BUCKET(@timestamp, 60, ?_tstart, ?_tend)';

const ask = (signal, { where, stats, by = [], then = [] }) =>
  lines(
    from(signal),
    where && `WHERE ${where}`,
    `STATS ${stats}${by.length ? ` BY ${by.join(', ')}` : ''}`,
    ...then,
    // Without this, ES|QL gives 1,000 rows.
    by.length && 'LIMIT 10000',
  );

/** `by`: names of columns and what they are. */
const groups = (by = {}) => Object.entries(by).map(([name, field]) => `\`${name}\` = ${field}`);

const filled = (by = {}) => Object.values(by).map((field) => `${field} IS NOT NULL`);

/** Documents in groups. */
export const rows = (signal, { stats, by, where, then }) =>
  ask(signal, { where: [where, ...filled(by)].filter(Boolean).join(' AND '), stats, by: groups(by), then });

/** The same, over time. */
export const overTime = (signal, { stats, by, where, then = [] }) =>
  ask(signal, {
    where: [where, ...filled(by)].filter(Boolean).join(' AND '),
    stats,
    by: [bar, ...groups(by)],
    then: [...then, 'SORT time'],
  });

/**
 * Histograms, which `stats` calls `h`. Elasticsearch before 9.4 stored them as another type, hence the
 * conversion.
 */
const ofHistogram = (metric, { stats, by, where, then = [], time }) =>
  lines(
    from('metrics'),
    `EVAL h = metrics.${metric}::exponential_histogram`,
    `WHERE ${['h IS NOT NULL', where, ...filled(by)].filter(Boolean).join(' AND ')}`,
    `STATS ${stats}${time || by ? ' BY ' : ''}${[time && bar, ...groups(by)].filter(Boolean).join(', ')}`,
    ...then,
    time && 'SORT time',
    (time || by) && 'LIMIT 10000',
  );

export const histogram = (metric, query) => ofHistogram(metric, query);
export const histogramOverTime = (metric, query) => ofHistogram(metric, { ...query, time: true });

/** A counter over time. */
export const added = (metric, { as, by, where }) =>
  overTime('metrics', {
    where: [`metrics.${metric} IS NOT NULL`, where].filter(Boolean).join(' AND '),
    stats: `\`${as}\` = SUM(metrics.${metric})`,
    by,
  });

/** A number of things over time: each instance's highest in a bar, added up over the instances. */
export const level = (metric, { as, by }) =>
  lines(
    from('metrics'),
    `WHERE ${[`metrics.${metric} IS NOT NULL`, ...filled(by)].join(' AND ')}`,
    `STATS one = MAX(metrics.${metric}) BY ` +
      [bar, 'instance = resource.attributes.service.instance.id', ...groups(by)].join(', '),
    `STATS \`${as}\` = SUM(one) BY ${['time', ...Object.keys(by ?? {}).map((name) => `\`${name}\``)].join(', ')}`,
    'SORT time',
    'LIMIT 10000',
  );
