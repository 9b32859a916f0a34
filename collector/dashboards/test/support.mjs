import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';

const collector = new URL('../../', import.meta.url);
const read = (path) => readFileSync(new URL(path, collector), 'utf8');

/** The committed dashboards. */
export const dashboards = readdirSync(new URL('grafana/dashboards/', collector))
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(read(`grafana/dashboards/${name}`)));

export const dataSources = parse(read('grafana/provisioning/datasources/datasources.yaml')).datasources;

/** Panels with where they are, rows left out. */
export const panels = dashboards.flatMap((dashboard) =>
  dashboard.panels
    .filter(({ type }) => type !== 'row')
    .map((panel) => ({ place: `${dashboard.uid}, ${panel.title}`, dashboard, panel })));

/** All links of a panel: its own, those of its series, and those of columns. */
export const linksOf = (panel) => [
  ...(panel.links ?? []),
  ...(panel.fieldConfig.defaults.links ?? []),
  ...panel.fieldConfig.overrides.flatMap(({ properties }) =>
    properties.filter(({ id }) => id === 'links').flatMap(({ value }) => value)),
];

/** The queries of panels, and those that links bring to Explore. */
export const queries = panels.flatMap(({ place, dashboard, panel }) => [
  ...panel.targets.map((query) => ({ place: `${place}, ${query.refId}`, dashboard, query })),
  ...linksOf(panel).flatMap(({ title, url }) => {
    const panes = new URL(url, 'http://grafana').searchParams.get('panes');
    return Object.values(JSON.parse(panes ?? '{}')).flatMap((pane) =>
      pane.queries.map((query) => ({ place: `${place}, link “${title}”`, dashboard, query })));
  }),
]);
