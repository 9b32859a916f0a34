// What Kibana would import, without a Kibana: whether it is whole, and asks for what there is.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { dashboards, fieldsUsed, files, queries } from '../kibana/index.mjs';
import { fields } from '../kibana/fields.mjs';

const [[, ndjson]] = files();
const objects = ndjson.trimEnd().split('\n').map((line) => JSON.parse(line));
const identity = ({ type, id }) => `${type} ${id}`;

test('what is committed is what is generated', () => {
  for (const [path, content] of files()) {
    assert.equal(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8'), content, path);
  }
});

test('ids are unique and references lead somewhere', () => {
  const ids = new Set(objects.map(identity));
  assert.equal(ids.size, objects.length);
  for (const { id, references } of objects) {
    assert.equal(new Set(references.map(({ name }) => name)).size, references.length, id);
    for (const reference of references) {
      assert.ok(ids.has(identity(reference)), `${id}: ${reference.name}`);
    }
  }
});

test('panels lie beside each other', () => {
  for (const { object } of dashboards) {
    const grid = JSON.parse(object.attributes.panelsJSON).map((panel) => panel.gridData);
    assert.equal(new Set(grid.map(({ i }) => i)).size, grid.length);
    for (const [index, a] of grid.entries()) {
      assert.ok(a.x >= 0 && a.x + a.w <= 48, `${object.id} ${a.i}`);
      for (const b of grid.slice(0, index)) {
        const apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
        assert.ok(apart, `${object.id}: ${a.i} and ${b.i}`);
      }
    }
  }
});

test('every panel says what it shows, when that is bad, and what to do then', () => {
  for (const { object } of dashboards) {
    for (const { embeddableConfig } of JSON.parse(object.attributes.panelsJSON)) {
      assert.ok(embeddableConfig.title);
      assert.match(embeddableConfig.description, /^[^]+ Bad: [^]+ Then: [^]+$/);
      assert.doesNotMatch(embeddableConfig.description, /undefined/);
    }
  }
});

test('panels show columns that their queries give, and reference the layers they have', () => {
  for (const { object } of dashboards) {
    for (const { panelIndex, embeddableConfig } of JSON.parse(object.attributes.panelsJSON)) {
      const { datasourceStates, visualization, query } = embeddableConfig.attributes.state;
      const where = `${object.id}: ${embeddableConfig.title}`;
      const [[kind, { layers }]] = Object.entries(datasourceStates);
      const layer = layers[visualization.layerId];
      const columns = kind === 'textBased' ? layer.columns.map((one) => one.columnId) : layer.columnOrder;
      const shown = [
        visualization.metricAccessor,
        ...(visualization.columns ?? []).map((one) => one.columnId),
        ...(visualization.layers ?? []).flatMap((one) => [one.xAccessor, ...one.accessors, ...(one.splitAccessors ?? [])]),
      ].filter(Boolean);
      assert.deepEqual([...shown].sort(), [...columns].sort(), where);

      if (kind === 'textBased') {
        // In quotes where a name is no word, and after `BY` or before `=`.
        for (const name of columns) {
          assert.match(query.esql, new RegExp(`(\`${name}\`|\\b${name}\\b)`), `${where}: ${name}`);
        }
      } else {
        const name = `${panelIndex}:indexpattern-datasource-layer-${visualization.layerId}`;
        assert.ok(object.references.some((reference) => reference.name === name), where);
      }
    }
  }
});

test('all fields are known, and those known are used', () => {
  const used = Object.values(fieldsUsed());
  for (const [name, type] of used.flatMap((ofPattern) => Object.entries(ofPattern))) {
    assert.ok(type, `${name} is not in fields.mjs`);
  }
  assert.deepEqual(used.map((one) => Object.keys(one)), Object.values(fields).map((one) => Object.keys(one).sort()));
});

// Its own grammar, which tests/elastic-node has beside the server.
test('ES|QL is parsed by Elasticsearch', () => {
  const folder = fileURLToPath(new URL('../../../target/elastic-node/', import.meta.url));
  assert.ok(existsSync(folder), 'run `mvn -q -f tests/elastic-node package`');
  const places = ['elastic-node.jar', 'esql/*', 'elasticsearch/lib/*'].map((place) => folder + place);
  const { status, stdout, stderr } = spawnSync('java', ['-cp', places.join(':'), 'Esql'], {
    input: queries.join('\0'),
    encoding: 'utf8',
  });
  assert.equal(status, 0, stdout + stderr);
});
