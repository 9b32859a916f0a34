import database from './database.mjs';
import graphql from './graphql.mjs';
import overview from './overview.mjs';
import runtime from './runtime.mjs';
import telemetry from './telemetry.mjs';

const dashboards = { database, graphql, overview, runtime, telemetry };

/** Grafana's dashboards: `[path below collector/, content]`. */
export const files = () =>
  Object.entries(dashboards).map(([name, model]) =>
    [`grafana/dashboards/${name}.json`, `${JSON.stringify(model, null, 2)}\n`]);
