import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dashboards, dataSources, linksOf, panels, queries } from './support.mjs';

const unique = (values, what) => assert.equal(new Set(values).size, values.length, `${what} are not unique: ${values}`);

test('there are the five dashboards, each with a uid of its own', () => {
  assert.equal(dashboards.length, 5);
  unique(dashboards.map(({ uid }) => uid), 'uids');
});

for (const { uid, panels: all, templating, links, tags } of dashboards) {
  test(`${uid}: panels have ids and places of their own`, () => {
    unique(all.map(({ id }) => id), 'ids');
    const taken = new Map();
    for (const { title, gridPos: { x, y, w, h } } of all) {
      assert.ok(x + w <= 24, `“${title}” goes over the edge`);
      for (let column = x; column < x + w; column += 1) {
        for (let line = y; line < y + h; line += 1) {
          const other = taken.get(`${column},${line}`);
          assert.equal(other, undefined, `“${title}” lies on “${other}”`);
          taken.set(`${column},${line}`, title);
        }
      }
    }
  });

  test(`${uid}: leads to the others, with time and variables`, () => {
    assert.deepEqual(tags, ['colophon']);
    const [link] = links;
    assert.deepEqual([link.type, link.tags, link.keepTime, link.includeVars], ['dashboards', ['colophon'], true, true]);
  });

  test(`${uid}: data sources are variables, each of a provisioned type and uid`, () => {
    const provisioned = dataSources.map(({ type, uid: of }) => `${type} ${of}`);
    const sources = templating.list.filter(({ type }) => type === 'datasource');
    for (const { query, current } of sources) assert.ok(provisioned.includes(`${query} ${current.value}`), query);
    const types = new Map(sources.map(({ name, query }) => [`\${${name}}`, query]));
    const references = queries.filter(({ dashboard }) => dashboard.uid === uid)
      .map(({ place, query }) => [place, query.datasource])
      .concat(panels.filter(({ dashboard }) => dashboard.uid === uid).map(({ place, panel }) => [place, panel.datasource]))
      .concat(templating.list.filter(({ type }) => type === 'query').map(({ name, datasource }) => [name, datasource]));
    for (const [place, source] of references) assert.equal(types.get(source?.uid), source?.type, place);
  });
}

/** Grafana's own variables that we use. */
const BUILT_IN = ['__all', '__rate_interval', '__range', '__from', '__to', '__url_time_range', '__all_variables', '__field', '__value', '__data'];
const VARIABLE = /\$(?:\{(\w+)[^}]*\}|(\w+))/g;

test('each variable is declared, or one of Grafana’s', () => {
  for (const { uid, panels: all, templating, links } of dashboards) {
    const known = [...BUILT_IN, ...templating.list.map(({ name }) => name)];
    const text = JSON.stringify({ all, templating, links });
    for (const [found, braced, bare] of text.matchAll(VARIABLE)) {
      assert.ok(known.includes(braced ?? bare), `${uid}: ${found}`);
    }
  }
});

test('a link names its variables with braces, or Grafana would not find their ends', () => {
  for (const { place, panel } of panels) {
    for (const { url } of linksOf(panel)) {
      assert.doesNotMatch(url.replace(VARIABLE, (found) => (found.startsWith('${') ? '' : found)), /\$|%24/, place);
    }
  }
});

test('each panel says what it shows, when that is bad and what to do then, and leads on', () => {
  for (const { place, panel } of panels) {
    assert.match(panel.description, /^.+\n\n\*\*Bad:\*\* .+\n\n\*\*Then:\*\* .+\.$/, place);
    assert.ok(linksOf(panel).length > 0, `${place} has no link`);
    if (panel.type !== 'logs') assert.ok(panel.fieldConfig.defaults.unit ?? panel.options.yAxis?.unit, `${place} has no unit`);
  }
});

test('links to dashboards lead to one that exists', () => {
  for (const { place, panel } of panels) {
    for (const { url } of linksOf(panel).filter((link) => link.url.startsWith('/d/'))) {
      assert.ok(dashboards.some(({ uid }) => url.startsWith(`/d/${uid}?`)), `${place}: ${url}`);
    }
  }
});
