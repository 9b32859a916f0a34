// The client that most have: the npm package graphql-ws, in Node.js.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { start } from './service.mjs';

describe('graphql-ws', () => {
  let service;
  before(async () => { service = await start(); });
  after(async () => { if (service) await service.stop(); });

  const connect = (options = {}) => createClient({
    url: `${service.url.replace('http', 'ws')}/graphql`, webSocketImpl: WebSocket, ...options,
  });

  /** All results of an operation. */
  async function results(client, query, variables) {
    const all = [];
    for await (const result of client.iterate({ query, variables })) all.push(result);
    return all;
  }

  test('a query has one result', async () => {
    const client = connect();
    const [first, ...more] = await results(client, '{ books(first: 2) { nodes { title } } }');
    assert.equal(first.data.books.nodes.length, 2);
    assert.deepEqual(more, []);
    await client.dispose();
  });

  test('a mutation is done once', async () => {
    const client = connect();
    const mutation = 'mutation($input: CreateBookInput!) { createBook(input: $input) { title } }';
    const title = 'Entered by WebSocket';
    assert.deepEqual(await results(client, mutation, { input: { title } }), [{ data: { createBook: { title } } }]);
    const [found] = await results(client, 'query($q: String!) { search(query: $q) { totalCount } }', { q: title });
    assert.equal(found.data.search.totalCount, 1);
    await client.dispose();
  });

  test('several at once on one socket', async () => {
    let opened = 0;
    const client = connect({ on: { opened: () => { opened += 1; } } });
    const queries = Array.from({ length: 50 }, () => results(client, '{ books { totalCount } }'));
    for (const [result] of await Promise.all(queries)) assert.ok(result.data.books.totalCount > 0);
    assert.equal(opened, 1);
    await client.dispose();
  });

  test('a document that is wrong is an error with a code', async () => {
    const client = connect();
    for (const [document, code] of [
      ['{ nonsense }', 'GRAPHQL_VALIDATION_FAILED'],
      ['{ books ', 'GRAPHQL_PARSE_FAILED'],
    ]) {
      await assert.rejects(results(client, document), ([error]) => error.extensions.code === code);
    }
    const [failed] = await results(client, 'mutation { deleteBook(id: "book_999999") }');
    assert.equal(failed.errors[0].extensions.code, 'NOT_FOUND');
    await client.dispose();
  });

  test('after the service has ended the client finds another', async () => {
    let opened = 0;
    const first = await start();
    let url = first.url;
    const client = createClient({
      url: () => `${url.replace('http', 'ws')}/graphql`, webSocketImpl: WebSocket,
      lazy: false, retryAttempts: 50, retryWait: () => new Promise((go) => { setTimeout(go, 50); }),
      shouldRetry: () => true, on: { opened: () => { opened += 1; } }, onNonLazyError: () => {},
    });
    const [before_] = await results(client, '{ books { totalCount } }');
    assert.ok(before_.data.books.totalCount > 0);
    const closed = new Promise((resolve) => { client.on('closed', resolve); });
    url = service.url;
    assert.equal(await first.stop(), 0);
    assert.equal((await closed).code, 1001);
    const [again] = await results(client, '{ books { totalCount } }');
    assert.ok(again.data.books.totalCount > 0);
    assert.equal(opened, 2);
    await client.dispose();
  });
});
