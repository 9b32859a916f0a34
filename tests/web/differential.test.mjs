// The service beside graphql-js, the reference implementation: the same verdict on documents, and the same
// answers to them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { parse, validate } from 'graphql-reference';
import { corpus } from './differential/corpus.mjs';
import { query, random, rewritten } from './differential/generate.mjs';
import { reference, schemaOf } from './differential/reference.mjs';
import { program, start } from './service.mjs';

/** Documents on which graphql-js 17.1 is not what the specification, September 2025, says. */
const EXCEPTIONS = {
  '{}': 'A selection set has at least one selection (2.5); the next edition allows none.',
  '{ }': 'As above.',
  '{ book(id: 1) {} }': 'As above.',
  'mutation ($v: ID) { createBook(input: { title: "x", authors: [{ id: $v }] }) { id } }':
    'A field of a OneOf input object is a non-null position (5.8.5); graphql-js does not see it inside a list.',
};

describe('beside graphql-js', () => {
  const schema = schemaOf(execFileSync(program, ['schema']).toString());
  // Generated documents may be larger than what clients send.
  const limits = ['--max-aliases', '10000', '--max-root-fields', '1000', '--max-depth', '30', '--max-directives', '10000', '--max-complexity', '10000000', '--max-nesting', '64', '--max-tokens', '1000000', '--max-selections', '1000000', '--max-body', '4000000', '--max-errors', '100000', '--max-operations', '1000', '--queue-wait', '10s'];
  let service;
  before(async () => { service = await start({ further: limits }); });
  after(async () => { assert.equal(await service.stop(), 0); });

  const ask = async (body) => {
    const headers = { 'content-type': 'application/json', accept: 'application/graphql-response+json' };
    const response = await fetch(`${service.url}/graphql`, { method: 'POST', headers, body: JSON.stringify(body) });
    const text = await response.text();
    return { text, ...JSON.parse(text) };
  };
  const codes = (answer) => (answer.errors ?? []).map((error) => error.extensions.code);

  /** What graphql-js says: '' or why the document is not valid. */
  const judged = (text) => {
    try {
      return validate(schema, parse(text)).map((error) => error.message).join('; ');
    } catch (error) {
      return `syntax: ${error.message}`;
    }
  };

  test('documents are valid or not, as graphql-js finds them', async () => {
    const documents = corpus(schema);
    let [valid, invalid, unparsable] = [0, 0, 0];
    const differences = [];
    for (const { rule, text } of documents) {
      const problem = judged(text);
      // A valid document has no operation of this name, and so nothing is executed.
      const answer = await ask({ query: text || ' ', operationName: 'NoSuchOperation' });
      const expected = problem.startsWith('syntax') ? 'GRAPHQL_PARSE_FAILED' : problem ? 'GRAPHQL_VALIDATION_FAILED' : 'OPERATION_RESOLUTION_FAILURE';
      if (expected === 'OPERATION_RESOLUTION_FAILURE') valid += 1;
      else if (expected === 'GRAPHQL_PARSE_FAILED') unparsable += 1;
      else invalid += 1;
      if ((codes(answer)[0] !== expected) !== (text in EXCEPTIONS)) differences.push(`${rule}: ${text}\n    graphql-js: ${problem || 'valid'}\n    service: ${answer.text}`);
    }
    console.log(`# ${documents.length} documents: ${valid} valid, ${invalid} invalid, ${unparsable} not GraphQL; ${differences.length} differences`);
    assert.ok(valid >= 150 && invalid >= 150 && unparsable >= 30, `${valid} ${invalid} ${unparsable}`);
    assert.deepEqual(differences, []);
  });

  test('queries are answered as graphql-js answers them, however their selections are written', async () => {
    const answers = reference(schema, ask);
    const seed = Number(process.env.COLOPHON_TEST_SEED ?? 20260929);
    const variables = { yes: true };
    let failed = 0;
    const compare = async (text) => {
      assert.equal(judged(text), '', text);
      const expected = JSON.parse(JSON.stringify(await answers(parse(text), variables)));
      const answer = await ask({ query: text, variables });
      assert.notEqual(answer.data, undefined, `${text} ${answer.text}`);
      // As text, since the order of fields is part of the answer.
      assert.equal(JSON.stringify(answer.data), JSON.stringify(expected.data), text);
      // Below a null, graphql-js reports the first error, and the service may report others too.
      const errors = (of) => (of.errors ?? []).map((error) => `${error.path.join('.')} ${error.extensions?.code}`);
      const found = new Set(errors(answer));
      assert.deepEqual(errors(expected).filter((error) => !found.has(error)), [], text);
      assert.equal(found.size > 0, Boolean(expected.errors), text);
      failed += expected.errors ? 1 : 0;
      return answer;
    };
    const sorted = (value) => (value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
      : Array.isArray(value) ? value.map(sorted) : value);
    const count = 120;
    for (let number = 0; number < count; number++) {
      const next = random(seed + number);
      const text = query(schema, next);
      const answer = await compare(text);
      const same = await compare(rewritten(schema, text, next));
      assert.deepEqual(sorted(same.data), sorted(answer.data), text);
    }
    console.log(`# ${2 * count} queries from seed ${seed}, of which ${failed} have errors beside data`);
    assert.ok(failed > 20, 'errors must be among them');
  });
});
