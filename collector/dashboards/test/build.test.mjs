import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const collector = fileURLToPath(new URL('../../', import.meta.url));
const check = (folder) => spawnSync('node', [join(folder, 'dashboards/build.mjs'), '--check'], { encoding: 'utf8' });

test('the committed dashboards are those that the code builds', () => {
  const { status, stderr } = check(collector);
  assert.equal(status, 0, stderr);
});

test('a stale dashboard is named', () => {
  const copy = mkdtempSync(join(tmpdir(), 'dashboards-'));
  try {
    const modules = join(collector, 'dashboards/node_modules');
    cpSync(collector, copy, { recursive: true, filter: (path) => !path.startsWith(modules) });
    symlinkSync(modules, join(copy, 'dashboards/node_modules'));
    const path = join(copy, 'grafana/dashboards/overview.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace('Firing alerts', 'Alarms'));
    const { status, stderr } = check(copy);
    assert.equal(status, 1);
    assert.match(stderr, /collector\/grafana\/dashboards\/overview\.json is stale/);
  } finally {
    rmSync(copy, { recursive: true });
  }
});
