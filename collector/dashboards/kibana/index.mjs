// Kibana's data views and dashboards, for its import.

import { dataViews } from './data-views.mjs';
import { database } from './database.mjs';
import { fields } from './fields.mjs';
import { graphql } from './graphql.mjs';
import { overview } from './overview.mjs';
import { runtime } from './runtime.mjs';
import { indexPattern, signals } from './saved-objects.mjs';
import { telemetry } from './telemetry.mjs';

export const dashboards = [overview, graphql, database, runtime, telemetry];

/** The ES|QL of all panels. */
export const queries = dashboards.flatMap(({ panels }) => panels.map(({ esql }) => esql).filter(Boolean));

const signalOf = (esql) => signals.find((signal) => esql.startsWith(`FROM ${signal}-`));

/** All names in a query that are not its own columns: those with dots, and those that we know. */
function named(query, signal) {
  const code = query.replace(/^FROM \S+/, '').replace(/"[^"]*"|`[^`]*`/g, '');
  const words = code.match(/@?[a-z_]+(\.[a-z_]+)*/g) ?? [];
  return words.filter((word) => word.includes('.') || word in fields[signal]);
}

/** The fields that panels and filters use, by index pattern, with their types. */
export function fieldsUsed() {
  const used = Object.fromEntries(signals.map((signal) => [signal, new Set(['@timestamp'])]));
  for (const { panels, filters } of dashboards) {
    for (const { esql, form } of panels) {
      const signal = form?.signal ?? signalOf(esql);
      const names = form ? [...form.fields, ...named(form.filter, signal)] : named(esql, signal);
      [...names, ...filters].forEach((name) => used[signal].add(name));
    }
  }
  return Object.fromEntries(
    signals.map((signal) => [
      indexPattern(signal),
      Object.fromEntries([...used[signal]].sort().map((name) => [name, fields[signal][name]])),
    ]),
  );
}

export function files() {
  const objects = [...dataViews, ...dashboards.map((dashboard) => dashboard.object)];
  return [
    ['kibana/colophon.ndjson', objects.map((object) => `${JSON.stringify(object)}\n`).join('')],
    ['kibana/fields.json', `${JSON.stringify(fieldsUsed(), null, 2)}\n`],
  ];
}
