// urql as its users set it up: the normalised cache with the schema, Relay's pages, retries.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, mock, test } from 'node:test';
import { Client, fetchExchange, gql } from '@urql/core';
import { cacheExchange } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import { retryExchange } from '@urql/exchange-retry';
import { getIntrospectionQuery } from 'graphql';
import * as documents from './documents.mjs';
import { start } from './service.mjs';
import { ask, fragile, occupyPool, recorder, retryAfter } from './wire.mjs';

const [PAGE, CREATE, UPDATE] = [documents.PAGE, documents.CREATE, documents.UPDATE].map((text) => gql(text));

describe('urql', () => {
  let service;
  let schema;
  before(async () => {
    service = await start({ further: fragile });
    schema = (await ask(service.url, getIntrospectionQuery())).data;
  });
  after(async () => { assert.equal(await service.stop(), 0); });

  // What graphcache does not understand of the schema or of a document, it warns of.
  let warnings;
  beforeEach(() => { warnings = mock.method(console, 'warn', () => {}).mock.calls; });
  const warned = () => warnings.map(({ arguments: [text] }) => text);

  // A client, and what it sends. By GET unless told otherwise, and then without any header of which
  // a browser would have to ask first, so that its user has to add one.
  function connect({ exchanges = [], ...options } = {}) {
    const { fetch, requests } = recorder();
    const cache = cacheExchange({
      schema,
      resolvers: {
        Query: {
          books: relayPagination(),
          book: (_, { id }) => ({ __typename: 'Book', id }),
        },
      },
    });
    const client = new Client({
      url: `${service.url}/graphql`,
      fetch,
      exchanges: [cache, ...exchanges, fetchExchange],
      fetchOptions: { headers: { 'graphql-require-preflight': '1' } },
      ...options,
    });
    return { client, requests };
  }

  async function failure(result) {
    const { error } = await result;
    assert.equal(error?.graphQLErrors.length, 1, String(error));
    return error.graphQLErrors[0];
  }

  test('asks a query with variables, by GET', async () => {
    const { client, requests } = connect();
    const query = gql`query Find($q: String!) { search(query: $q) { totalCount nodes { id title authors { id name } } } }`;
    const { data, error } = await client.query(query, { q: 'wuthering' });
    assert.equal(error, undefined);
    assert.equal(data.search.totalCount, 1);
    assert.equal(data.search.nodes[0].authors[0].name, 'Emily Brontë');
    assert.deepEqual([requests[0].method, requests[0].headers.get('content-type')], ['GET', null]);
    assert.deepEqual(warned(), []);
  });

  test('asks by POST if it is told to', async () => {
    const { client, requests } = connect({ preferGetMethod: false, fetchOptions: {} });
    assert.equal((await client.query(PAGE, {})).data.books.edges.length, 20);
    assert.deepEqual([requests[0].method, requests[0].headers.get('content-type')], ['POST', 'application/json']);
  });

  test('a mutation changes what is cached by its id', async () => {
    const { client, requests } = connect();
    const made = (await client.mutation(CREATE, { input: { title: 'urql\'s own' } })).data.createBook;
    const query = gql`query One($id: ID!) { node(id: $id) { id ... on Book { title pages version } } }`;
    assert.equal((await client.query(query, { id: made.id })).data.node.pages, null);
    const asked = requests.length;
    await client.mutation(UPDATE, { id: made.id, input: { pages: 123 }, expected: made.version });
    assert.equal((await client.query(query, { id: made.id })).data.node.pages, 123);
    assert.equal(requests.length, asked + 1, 'only the mutation was sent');
    assert.deepEqual(requests.map(({ method }) => method), ['POST', 'GET', 'POST']);
    assert.deepEqual(warned(), []);
  });

  test('a book of a list need not be asked for again', async () => {
    const { client, requests } = connect();
    const { data } = await client.query(PAGE, {});
    const { id, title } = data.books.edges[3].node;
    const one = await client.query(gql`query One($id: ID!) { book(id: $id) { id title } }`, { id });
    assert.equal(one.data.book.title, title);
    assert.equal(requests.length, 1);
    assert.deepEqual(warned(), []);
  });

  test('pages are joined to the whole list', async () => {
    const { client, requests } = connect();
    let { books } = (await client.query(PAGE, {})).data;
    while (books.pageInfo.hasNextPage) {
      assert.ok(requests.length < 50, 'the pages have no end');
      ({ books } = (await client.query(PAGE, { after: books.pageInfo.endCursor })).data);
    }
    assert.equal(books.edges.length, books.totalCount);
    assert.equal(new Set(books.edges.map(({ node }) => node.id)).size, books.totalCount);
    assert.equal(requests.length, Math.ceil(books.totalCount / 20));
    assert.deepEqual(warned(), []);
  });

  test('errors come with their codes', async () => {
    const { client } = connect();
    const refused = await failure(client.mutation(CREATE, { input: { title: '', pages: -1 } }));
    assert.equal(refused.extensions.code, 'BAD_USER_INPUT');
    assert.deepEqual(refused.extensions.violations.map(({ path }) => path), [['input', 'title'], ['input', 'pages']]);
    assert.deepEqual(refused.path, ['createBook']);

    const missing = { id: 'book_99999999', input: { pages: 1 } };
    assert.equal((await failure(client.mutation(UPDATE, missing))).extensions.code, 'NOT_FOUND');
    const stale = { id: 'book_1', input: { pages: 1 }, expected: 99 };
    assert.equal((await failure(client.mutation(UPDATE, stale))).extensions.code, 'CONFLICT');

    // With status 422.
    const invalid = await failure(client.query('{ bookz { id } }', {}));
    assert.equal(invalid.extensions.code, 'GRAPHQL_VALIDATION_FAILED');
  });

  test('an answer may have data and errors', async () => {
    const { client } = connect();
    const query = gql`{ book(id: "book_1") { id title } wrong: node(id: "forged") { id } }`;
    const { data, error } = await client.query(query, {});
    assert.equal(error.graphQLErrors[0].extensions.code, 'BAD_USER_INPUT');
    assert.equal(data.wrong, null);
    assert.ok(data.book.title);
  });

  test('retryExchange asks again when the service has too much to do', async () => {
    // It knows nothing of Retry-After, and takes an answer with errors for no failure of the network.
    const retry = retryExchange({
      initialDelayMs: retryAfter(new Response()),
      randomDelay: false,
      maxNumberAttempts: 10,
      retryIf: (error) => error.graphQLErrors.some(({ extensions }) => extensions.code === 'DATABASE_UNAVAILABLE'),
    });
    const { client, requests } = connect({ exchanges: [retry] });
    const { held, refusal } = await occupyPool(service.url);
    assert.equal(refusal.errors[0].extensions.code, 'DATABASE_UNAVAILABLE');
    const { data, error } = await client.query(gql`{ authors(first: 1) { nodes { id name } } }`, {});
    assert.equal(error, undefined);
    assert.equal(data.authors.nodes.length, 1);
    assert.deepEqual([requests[0].status, requests.at(-1).status], [294, 200]);
    assert.equal((await held).data.labExhaustPool, true);
  });
});
