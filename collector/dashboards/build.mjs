// Writes the dashboards, or with --check says which of the committed ones are stale.

import { readFileSync, writeFileSync } from 'node:fs';
import * as grafana from './grafana/index.mjs';
import * as kibana from './kibana/index.mjs';

/** Each has `files()`: pairs of a path below collector/ and its content. */
const outputs = [grafana, kibana];

const files = outputs.flatMap((output) => output.files());
const location = (path) => new URL(`../${path}`, import.meta.url);

function read(path) {
  try {
    return readFileSync(location(path), 'utf8');
  } catch {
    return undefined;
  }
}

if (process.argv.includes('--check')) {
  const stale = files.filter(([path, content]) => read(path) !== content).map(([path]) => path);
  for (const path of stale) console.error(`collector/${path} is stale: run \`npm run build\` in collector/dashboards`);
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  for (const [path, content] of files) writeFileSync(location(path), content);
}
