// Apollo Client as its users set it up: the cache by ids, Relay's pages, retries.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { ErrorLink } from '@apollo/client/link/error';
import { RetryLink } from '@apollo/client/link/retry';
import { ServerError } from '@apollo/client/errors';
import { relayStylePagination } from '@apollo/client/utilities';
import { concatMap, from } from 'rxjs';
import * as documents from './documents.mjs';
import { start } from './service.mjs';
import { fragile, occupyPool, recorder, retryAfter } from './wire.mjs';

const [PAGE, CREATE, UPDATE] = [documents.PAGE, documents.CREATE, documents.UPDATE].map((text) => gql(text));

describe('Apollo Client', () => {
  let service;
  before(async () => { service = await start({ further: fragile }); });
  after(async () => { assert.equal(await service.stop(), 0); });

  // A client, and what it sends.
  function connect({ links = [], ...http } = {}) {
    const { fetch, requests } = recorder();
    const cache = new InMemoryCache({
      possibleTypes: { Node: ['Book', 'Author'] },
      typePolicies: {
        Query: {
          fields: {
            books: relayStylePagination(['filter', 'orderBy']),
            book: (_, { args, toReference }) => toReference({ __typename: 'Book', id: args.id }),
          },
        },
      },
    });
    const link = ApolloLink.from([...links, new HttpLink({ uri: `${service.url}/graphql`, fetch, ...http })]);
    return { client: new ApolloClient({ cache, link }), requests };
  }

  async function failure(promise) {
    const error = await promise.then(() => assert.fail('it succeeded'), (e) => e);
    assert.ok(CombinedGraphQLErrors.is(error), String(error));
    return error.errors[0];
  }

  test('asks a query with variables', async () => {
    const { client, requests } = connect();
    const { data } = await client.query({
      query: gql`query Find($q: String!) { search(query: $q) { totalCount nodes { title authors { name } } } }`,
      variables: { q: 'wuthering' },
    });
    assert.equal(data.search.totalCount, 1);
    assert.equal(data.search.nodes[0].authors[0].name, 'Emily Brontë');
    assert.equal(requests[0].method, 'POST');
  });

  test('a mutation changes what is cached by its id', async () => {
    const { client, requests } = connect();
    const made = (await client.mutate({ mutation: CREATE, variables: { input: { title: 'Apollo\'s own' } } })).data.createBook;
    const query = gql`query One($id: ID!) { node(id: $id) { id ... on Book { title pages version } } }`;
    const seen = [];
    const subscription = client.watchQuery({ query, variables: { id: made.id } })
      .subscribe(({ data, dataState }) => dataState === 'complete' && seen.push(data.node));
    try {
      await until(() => seen.length === 1);
      const asked = requests.length;
      await client.mutate({ mutation: UPDATE, variables: { id: made.id, input: { pages: 123 }, expected: made.version } });
      await until(() => seen.at(-1).pages === 123);
      assert.equal(seen.at(-1).version, 2);
      assert.equal(requests.length, asked + 1, 'only the mutation was sent');
    } finally {
      subscription.unsubscribe();
    }
  });

  test('a book of a list need not be asked for again', async () => {
    const { client, requests } = connect();
    const { data } = await client.query({ query: PAGE });
    const { id, title } = data.books.edges[3].node;
    const one = await client.query({ query: gql`query One($id: ID!) { book(id: $id) { id title } }`, variables: { id } });
    assert.equal(one.data.book.title, title);
    assert.equal(requests.length, 1);
  });

  test('pages are joined to the whole list', async () => {
    const { client, requests } = connect();
    const pages = client.watchQuery({ query: PAGE });
    const subscription = pages.subscribe(() => {});
    try {
      let { books } = (await client.query({ query: PAGE })).data;
      while (books.pageInfo.hasNextPage) {
        assert.ok(requests.length < 50, 'the pages have no end');
        await pages.fetchMore({ variables: { after: books.pageInfo.endCursor } });
        ({ books } = client.readQuery({ query: PAGE }));
      }
      assert.equal(books.edges.length, books.totalCount);
      assert.equal(new Set(books.edges.map(({ node }) => node.id)).size, books.totalCount);
      assert.equal(requests.length, Math.ceil(books.totalCount / 20));
    } finally {
      subscription.unsubscribe();
    }
  });

  test('errors come with their codes', async () => {
    const { client } = connect();
    const refused = await failure(client.mutate({ mutation: CREATE, variables: { input: { title: '', pages: -1 } } }));
    assert.equal(refused.extensions.code, 'BAD_USER_INPUT');
    assert.deepEqual(refused.extensions.violations.map(({ path }) => path), [['input', 'title'], ['input', 'pages']]);
    assert.deepEqual(refused.path, ['createBook']);

    const missing = { id: 'book_99999999', input: { pages: 1 } };
    assert.equal((await failure(client.mutate({ mutation: UPDATE, variables: missing }))).extensions.code, 'NOT_FOUND');
    const stale = { id: 'book_1', input: { pages: 1 }, expected: 99 };
    assert.equal((await failure(client.mutate({ mutation: UPDATE, variables: stale }))).extensions.code, 'CONFLICT');

    // With status 422.
    const invalid = await failure(client.query({ query: gql`{ bookz { id } }` }));
    assert.equal(invalid.extensions.code, 'GRAPHQL_VALIDATION_FAILED');
  });

  test('an answer may have data and errors', async () => {
    const { client } = connect();
    const query = gql`{ book(id: "book_1") { id title } wrong: node(id: "forged") { id } }`;
    const { data, error } = await client.query({ query, errorPolicy: 'all' });
    assert.equal(error.errors[0].extensions.code, 'BAD_USER_INPUT');
    assert.equal(data.wrong, null);
    assert.ok(data.book.title);
  });

  test('queries go by GET if it is told to, with a content type that forces a preflight', async () => {
    const { client, requests } = connect({ useGETForQueries: true });
    const { data } = await client.query({ query: PAGE, variables: { after: null } });
    assert.equal(data.books.edges.length, 20);
    await client.mutate({ mutation: CREATE, variables: { input: { title: 'Not by GET' } } });
    assert.deepEqual(requests.map(({ method }) => method), ['GET', 'POST']);
    assert.equal(requests[0].headers.get('content-type'), 'application/json');
  });

  describe('when the service has too much to do', () => {
    const query = gql`{ authors(first: 1) { nodes { id name } } }`;

    test('RetryLink asks again, if answers are wanted as application/json', async () => {
      // As application/graphql-response+json it is 294: the operation was executed.
      const headers = { accept: 'application/json' };
      const retry = new RetryLink({
        delay: (count, operation, error) => retryAfter(error.response),
        attempts: (count, operation, error) => ServerError.is(error) && error.statusCode === 503 && count < 20,
      });
      const { client, requests } = connect({ links: [retry], headers });
      await overcomes(client, requests, 503);
    });

    test('ErrorLink asks again for a code', async () => {
      const again = new ErrorLink(({ error, operation, forward }) => {
        const { response } = operation.getContext();
        const isUnavailable = ({ extensions }) => extensions.code === 'DATABASE_UNAVAILABLE';
        if (!CombinedGraphQLErrors.is(error) || !error.errors.some(isUnavailable)) return undefined;
        return from(sleep(retryAfter(response))).pipe(concatMap(() => forward(operation)));
      });
      const { client, requests } = connect({ links: [again] });
      await overcomes(client, requests, 294);
    });

    async function overcomes(client, requests, status) {
      const { held, refusal } = await occupyPool(service.url);
      assert.equal(refusal.errors[0].extensions.code, 'DATABASE_UNAVAILABLE');
      const { data } = await client.query({ query, fetchPolicy: 'no-cache' });
      assert.equal(data.authors.nodes.length, 1);
      assert.deepEqual([requests[0].status, requests.at(-1).status], [status, 200]);
      assert.equal((await held).data.labExhaustPool, true);
    }
  });
});

async function until(condition) {
  const late = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < late, `never: ${condition}`);
    await sleep(5);
  }
}
