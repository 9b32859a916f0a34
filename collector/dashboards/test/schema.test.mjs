// Against Grafana's own types, none of which allows a property that it does not know.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { createGenerator } from 'ts-json-schema-generator';
import { dashboards } from './support.mjs';

const file = (name) => fileURLToPath(new URL(`schema/${name}`, import.meta.url));
const generator = createGenerator({
  path: file('types.ts'), tsconfig: file('tsconfig.json'), functions: 'hide',
  // Two packages have types of the same name.
  expose: 'none', topRef: false,
});
const ajv = new Ajv({ allErrors: true, allowUnionTypes: true });
const compile = (type) => ajv.compile(generator.createSchema(type));

const ofDashboard = compile('Dashboard');
const ofPanel = {
  row: compile('Row'),
  timeseries: compile('TimeSeriesPanel'),
  stat: compile('StatPanel'),
  heatmap: compile('HeatmapPanel'),
  table: compile('TablePanel'),
  logs: compile('LogsPanel'),
};

/** What is wrong with a dashboard. */
function faults(dashboard) {
  const said = (validate, value, place) =>
    validate(value) ? [] : validate.errors.map(({ instancePath, message, params }) =>
      `${place}${instancePath} ${message} ${JSON.stringify(params)}`);
  return [
    ...said(ofDashboard, dashboard, dashboard.uid),
    ...dashboard.panels.flatMap((panel) =>
      ofPanel[panel.type]
        ? said(ofPanel[panel.type], panel, `${dashboard.uid}, ${panel.title}`)
        : [`${dashboard.uid}, ${panel.title} has the unknown type ${panel.type}`]),
  ];
}

for (const dashboard of dashboards) {
  test(`${dashboard.uid} is a dashboard of Grafana`, () => assert.deepEqual(faults(dashboard), []));
}

const overview = dashboards.find(({ uid }) => uid === 'colophon-overview');
const first = (dashboard, type) => dashboard.panels.find((panel) => panel.type === type);
const breakages = {
  'an unknown property of the dashboard': (it) => { it.colour = 'red'; },
  'an unknown property of a variable': (it) => { it.templating.list[0].auto = true; },
  'an unknown option of a panel': (it) => { first(it, 'stat').options.colourMode = 'value'; },
  'an unknown property of a field': (it) => { first(it, 'timeseries').fieldConfig.defaults.units = 's'; },
  'a value that an option does not have': (it) => { first(it, 'timeseries').options.tooltip.mode = 'all'; },
  'an option of another panel': (it) => { first(it, 'timeseries').fieldConfig.defaults.custom.align = 'left'; },
  'a missing expression': (it) => { delete first(it, 'stat').targets[0].expr; },
  'a width that is no number': (it) => { first(it, 'table').gridPos.w = '12'; },
  'a panel of an unknown type': (it) => { first(it, 'logs').type = 'log'; },
};
for (const [what, damage] of Object.entries(breakages)) {
  test(`${what} is refused`, () => {
    const broken = structuredClone(overview);
    damage(broken);
    assert.notDeepEqual(faults(broken), []);
  });
}
