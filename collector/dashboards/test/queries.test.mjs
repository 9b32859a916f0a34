import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parser as logql } from '@grafana/lezer-logql';
import { parser as traceql } from '@grafana/lezer-traceql';
import { parser as promql } from '@prometheus-io/lezer-promql';
import { queries } from './support.mjs';

/** Grafana's variables as Grafana replaces them. */
const replaced = (text) =>
  text
    .replace(/\$__(rate_interval|range)/g, '5m')
    .replace(/\$\{__field\.labels\.http_response_status_code\}/g, '200')
    .replace(/\$(\{[^}]+\}|\w+)/g, 'value');

/** Where the text is not of the language. */
function errors(parser, text) {
  const found = [];
  parser.parse(text).iterate({
    enter: ({ type, from }) => { if (type.isError) found.push(text.slice(0, from)); },
  });
  return found;
}

const languages = {
  prometheus: { parser: promql, text: ({ expr }) => expr, broken: 'sum by (job (up)' },
  tempo: { parser: traceql, text: ({ query }) => query, broken: '{ status = }' },
  loki: { parser: logql, text: ({ expr }) => expr, broken: '{job="x"} | severity_text=~' },
};

for (const [type, { parser, text, broken }] of Object.entries(languages)) {
  const asked = queries.filter(({ query }) => query.datasource.type === type);

  test(`all ${asked.length} queries for ${type} can be parsed`, () => {
    assert.ok(asked.length > 0);
    for (const { place, query } of asked) {
      assert.deepEqual(errors(parser, replaced(text(query))), [], `${place}: ${text(query)}`);
    }
  });

  test(`what ${type} cannot parse is refused`, () => assert.notDeepEqual(errors(parser, broken), []));
}

test('what is asked of the service is asked of the chosen job and instances', () => {
  for (const { place, query } of queries.filter(({ query: { datasource } }) => datasource.type === 'prometheus')) {
    for (const [selector, labels] of selectors(replaced(query.expr))) {
      if (/^(http|graphql|db|tokio|process|books|otel_sdk)_/.test(selector)) {
        assert.match(labels, /job="value", instance=~"value"/, `${place}: ${query.expr}`);
      }
    }
  }
});

/** The metrics that an expression selects, each with its matchers. */
function selectors(text) {
  const found = [];
  promql.parse(text).iterate({
    enter: ({ name, node }) => {
      if (name !== 'VectorSelector') return;
      const identifier = node.getChild('Identifier');
      const matchers = node.getChild('LabelMatchers');
      found.push([identifier ? text.slice(identifier.from, identifier.to) : '', matchers ? text.slice(matchers.from, matchers.to) : '']);
    },
  });
  return found;
}
