// Automatic persisted queries, as Apollo Client and urql ask for them: a query's hash first, its text
// only if the service does not know it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { Client, fetchExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { start } from './service.mjs';
import { recorder } from './wire.mjs';

const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const persistedQuery = (text) => ({ persistedQuery: { version: 1, sha256Hash: sha256(text) } });

describe('persisted queries', () => {
  let service;
  before(async () => { service = await start(); });
  after(async () => { assert.equal(await service.stop(), 0); });

  function apollo(options = {}) {
    const { fetch, requests } = recorder();
    const persisted = new PersistedQueryLink({ sha256, ...options });
    const link = ApolloLink.from([persisted, new HttpLink({ uri: `${service.url}/graphql`, fetch })]);
    return { client: new ApolloClient({ cache: new InMemoryCache(), link }), requests };
  }

  // Its hash only; its hash and its text; and from then on its hash only, whoever asks.
  test('Apollo Client sends the text of a query once', async () => {
    const query = gql`query ApolloPersisted($first: Int) { books(first: $first) { nodes { id title } } }`;
    const { client, requests } = apollo();
    const { data } = await client.query({ query, variables: { first: 3 } });
    assert.equal(data.books.nodes.length, 3);
    assert.deepEqual(requests.map(({ body }) => 'query' in body), [false, true]);

    const other = apollo();
    assert.deepEqual((await other.client.query({ query, variables: { first: 3 } })).data, data);
    assert.deepEqual(other.requests.map(({ body, status }) => ['query' in body, status]), [[false, 200]]);
  });

  test('Apollo Client asks for hashes by GET if it is told to', async () => {
    const query = gql`query ApolloHashed { books(first: 2) { nodes { id } } }`;
    const options = { useGETForHashedQueries: true };
    await apollo(options).client.query({ query });
    const { client, requests } = apollo(options);
    assert.equal((await client.query({ query })).data.books.nodes.length, 2);
    assert.deepEqual(requests.map(({ method, status }) => [method, status]), [['GET', 200]]);
  });

  // It goes by the message of the error, PersistedQueryNotFound, and not by its code.
  test('urql sends the text of a query once', async () => {
    const query = 'query UrqlPersisted { books(first: 4) { nodes { id } } }';
    const connect = () => {
      const { fetch, requests } = recorder();
      const client = new Client({
        url: `${service.url}/graphql`,
        fetch,
        exchanges: [persistedExchange(), fetchExchange],
        fetchOptions: { headers: { 'graphql-require-preflight': '1' } },
      });
      return { client, requests };
    };
    const first = connect();
    const { data, error } = await first.client.query(query, {});
    assert.equal(error, undefined);
    assert.equal(data.books.nodes.length, 4);
    assert.equal(first.requests.length, 2);

    const second = connect();
    assert.equal((await second.client.query(query, {})).data.books.nodes.length, 4);
    assert.deepEqual(second.requests.map(({ status }) => status), [200]);
    assert.equal(new URL(second.requests[0].url).searchParams.get('query'), null);
  });

  async function post(body) {
    const response = await fetch(`${service.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return response.json();
  }

  test('a hash that is not known is an error that both clients know', async () => {
    const { errors: [error] } = await post({ extensions: persistedQuery('{ __typename }') });
    assert.equal(error.message, 'PersistedQueryNotFound');
    assert.equal(error.extensions.code, 'PERSISTED_QUERY_NOT_FOUND');
  });

  test('a text is never remembered by the hash of another', async () => {
    const victim = '{ books(first: 1) { nodes { title } } }';
    const forged = await post({ query: '{ __typename }', extensions: persistedQuery(victim) });
    assert.equal(forged.errors[0].extensions.code, 'BAD_REQUEST');
    const asked = await post({ extensions: persistedQuery(victim) });
    assert.equal(asked.errors[0].extensions.code, 'PERSISTED_QUERY_NOT_FOUND');
  });
});
