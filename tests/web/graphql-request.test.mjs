// graphql-request, which has neither a cache nor retries.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ClientError, GraphQLClient, gql } from 'graphql-request';
import { start } from './service.mjs';
import { fragile, occupyPool, recorder } from './wire.mjs';

const CREATE = gql`mutation Create($input: CreateBookInput!) { createBook(input: $input) { id title version } }`;

describe('graphql-request', () => {
  let service;
  before(async () => { service = await start({ further: fragile }); });
  after(async () => { assert.equal(await service.stop(), 0); });

  // A client, and what it sends.
  function connect(options = {}) {
    const { fetch, requests } = recorder();
    return { client: new GraphQLClient(`${service.url}/graphql`, { fetch, ...options }), requests };
  }

  async function failure(promise) {
    const error = await promise.then(() => assert.fail('it succeeded'), (e) => e);
    assert.ok(error instanceof ClientError, String(error));
    return error.response;
  }

  test('asks a query with variables', async () => {
    const { client } = connect();
    const query = gql`query Find($q: String!) { search(query: $q) { totalCount nodes { title authors { name } } } }`;
    const { search } = await client.request(query, { q: 'wuthering' });
    assert.deepEqual(search, {
      totalCount: 1,
      nodes: [{ title: 'Wuthering Heights', authors: [{ name: 'Emily Brontë' }] }],
    });
  });

  test('sends a mutation, and finds what it made', async () => {
    const { client } = connect();
    const { createBook } = await client.request(CREATE, { input: { title: 'Requested' } });
    assert.equal(createBook.version, 1);
    const { node } = await client.request(gql`query($id: ID!) { node(id: $id) { id ... on Book { title } } }`, { id: createBook.id });
    assert.deepEqual(node, { id: createBook.id, title: 'Requested' });
  });

  test('follows cursors to the end of a list', async () => {
    const { client } = connect();
    const query = gql`query($after: String) { authors(first: 30, after: $after) { totalCount nodes { id } pageInfo { endCursor hasNextPage } } }`;
    const ids = [];
    let page = { pageInfo: { hasNextPage: true } };
    while (page.pageInfo.hasNextPage) {
      ({ authors: page } = await client.request(query, { after: page.pageInfo.endCursor }));
      ids.push(...page.nodes.map(({ id }) => id));
    }
    assert.equal(new Set(ids).size, page.totalCount);
    assert.equal(ids.length, page.totalCount);
  });

  test('errors come with their codes, and with the status', async () => {
    const { client } = connect();
    const refused = await failure(client.request(CREATE, { input: { title: '', pages: -1 } }));
    assert.equal(refused.errors[0].extensions.code, 'BAD_USER_INPUT');
    assert.equal(refused.errors[0].extensions.violations.length, 2);
    const invalid = await failure(client.request('{ bookz { id } }'));
    assert.equal(invalid.status, 422);
    assert.equal(invalid.errors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
  });

  test('an answer may have data and errors', async () => {
    const { client } = connect({ errorPolicy: 'all' });
    const { data, errors } = await client.rawRequest('{ book(id: "book_1") { title } wrong: node(id: "forged") { id } }');
    assert.equal(errors[0].extensions.code, 'BAD_USER_INPUT');
    assert.equal(data.wrong, null);
    assert.ok(data.book.title);
  });

  test('queries go by GET if it is told to, mutations never', async () => {
    // It sends no header of which a browser would have to ask first: its user adds one.
    const headers = { 'graphql-require-preflight': '1' };
    const { client, requests } = connect({ method: 'GET', headers });
    const { books } = await client.request('query($n: Int) { books(first: $n) { nodes { id } } }', { n: 3 });
    assert.equal(books.nodes.length, 3);
    await client.request(CREATE, { input: { title: 'Not by GET' } });
    assert.deepEqual(requests.map(({ method }) => method), ['GET', 'POST']);
    assert.equal(requests[0].headers.get('content-type'), null);
  });

  test('several requests in one are refused', async () => {
    const { client } = connect();
    const refused = await failure(client.batchRequests([{ document: '{ __typename }' }, { document: '{ __typename }' }]));
    assert.equal(refused.status, 422);
    assert.match(refused.body, /"BAD_REQUEST"/);
  });

  test('a refusal for too much work is an error with its status', async () => {
    const { client } = connect();
    const { held } = await occupyPool(service.url);
    const refused = await failure(client.request('{ authors(first: 1) { nodes { name } } }'));
    assert.equal(refused.status, 294);
    assert.equal(refused.errors[0].extensions.code, 'DATABASE_UNAVAILABLE');
    await held;
  });
});
