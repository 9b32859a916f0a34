// Subscriptions by the clients that people have: graphql-ws and graphql-sse, below Apollo Client and urql too, an
// EventSource in a browser, and the playground.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApolloClient, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { Client as UrqlClient, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createWsClient } from 'graphql-ws';
import WebSocket from 'ws';
import { launch, newPage, openPlayground, type } from './browser.mjs';
import { start } from './service.mjs';
import { ask } from './wire.mjs';

const QUERY = 'subscription Live { bookChanged { kind id book { title } } }';

describe('subscriptions', () => {
  let service;
  before(async () => { service = await start(); });
  after(async () => { if (service) assert.equal(await service.stop(), 0); });

  const endpoint = () => `${service.url}/graphql`;
  const sockets = () => createWsClient({ url: endpoint().replace('http', 'ws'), webSocketImpl: WebSocket });

  async function create(title) {
    const query = 'mutation($title: String!) { createBook(input: { title: $title }) { id } }';
    return (await ask(service.url, query, { title })).data.createBook.id;
  }

  /** How many subscriptions there are. */
  async function active() {
    const metrics = await (await fetch(`${service.admin}/metrics`)).text();
    return Number(metrics.match(/^graphql_server_subscription_active\{[^}]*\} (\d+)/m)[1]);
  }

  async function waitForActive(count) {
    const until = Date.now() + 10_000;
    while (await active() !== count) assert.ok(Date.now() < until, `not ${count} subscriptions`);
  }

  /** Has a client follow, by `subscribe(next)`, which returns what ends it; and looks at what it is told. */
  async function follows(title, subscribe) {
    const told = [];
    let wake = () => {};
    const end = subscribe((result) => { told.push(result.data.bookChanged); wake(); });
    await waitForActive(1);
    for (const number of [1, 2]) {
      const expected = `${title} ${number}`;
      const id = await create(expected);
      while (told.length < number) await new Promise((resolve) => { wake = resolve; });
      const { kind, id: toldId, book } = told.at(-1);
      assert.deepEqual([kind, toldId, book.title], ['CREATED', id, expected]);
    }
    await end();
    await waitForActive(0);
  }

  const failed = (error) => { throw error; };

  test('graphql-ws', async () => {
    const client = sockets();
    await follows('By a socket', (next) => client.subscribe({ query: QUERY }, { next, error: failed, complete() {} }));
    await client.dispose();
  });

  test('graphql-sse', async () => {
    const client = createSseClient({ url: endpoint() });
    await follows('By events', (next) => client.subscribe({ query: QUERY }, { next, error: failed, complete() {} }));
    // Its queries go the same way, and what is wrong is told at once.
    const results = [];
    for await (const result of client.iterate({ query: '{ books { totalCount } }' })) results.push(result);
    assert.equal(results.length, 1);
    assert.ok(results[0].data.books.totalCount > 0);
    client.dispose();
    // By itself it would try again.
    const once = createSseClient({ url: endpoint(), retryAttempts: 0 });
    const wrong = once.iterate({ query: 'subscription { bookChanged(ids: ["x"]) { kind } }' });
    await assert.rejects(wrong.next(), ({ response }) => response.status === 422);
    once.dispose();
  });

  test('Apollo Client', async () => {
    const sockets_ = sockets();
    const client = new ApolloClient({ cache: new InMemoryCache(), link: new GraphQLWsLink(sockets_) });
    await follows('By Apollo', (next) => {
      const subscription = client.subscribe({ query: gql(QUERY) }).subscribe({ next, error: failed });
      return () => subscription.unsubscribe();
    });
    client.stop();
    await sockets_.dispose();
  });

  test('urql', async () => {
    const sse = createSseClient({ url: endpoint() });
    const forwardSubscription = ({ query, variables }) => ({
      subscribe: (sink) => ({ unsubscribe: sse.subscribe({ query, variables }, sink) }),
    });
    const client = new UrqlClient({
      url: endpoint(),
      exchanges: [fetchExchange, subscriptionExchange({ forwardSubscription })],
    });
    await follows('By urql', (next) => client.subscription(QUERY, {}).subscribe(next).unsubscribe);
    // By its own transport, which takes events as responses to a POST.
    const alone = new UrqlClient({ url: endpoint(), exchanges: [fetchExchange], fetchSubscriptions: true });
    await follows('By urql alone', (next) => alone.subscription(QUERY, {}).subscribe(next).unsubscribe);
    sse.dispose();
  });

  /** The admin UI lists the open subscription, and leads to the trace of an event with the links to its cause. */
  async function leadsToEvents(browser) {
    const { page, complaints } = await newPage(browser);
    await page.goto(`${service.admin}/#/subscriptions`);
    await page.getByText('1 open').waitFor();
    await page.getByRole('link', { name: 'Subscription.bookChanged' }).click();
    await page.getByRole('link', { name: /^subscription Live/ }).first().click();
    await page.getByRole('row', { name: /subscription Live/ }).click();
    await page.getByText('Links', { exact: true }).waitFor();
    await page.getByRole('link', { name: /^span [0-9a-f]{16} of trace/ }).first().waitFor();
    assert.deepEqual(complaints, []);
    await page.context().close();
  }

  test('a browser: the playground, and an EventSource', async () => {
    const browser = await launch();
    try {
      const { page, complaints } = await newPage(browser);
      await openPlayground(page, service.playground);
      await type(page, QUERY);
      await page.locator('.graphiql-tab-active', { hasText: 'Live' }).waitFor();
      await page.locator('.graphiql-execute-button').click();
      await waitForActive(1);
      for (const title of ['Seen', 'Seen again']) {
        await create(title);
        await page.locator('section.result-window', { hasText: `"${title}"` }).waitFor();
      }
      if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
      await leadsToEvents(browser);
      await page.locator('.graphiql-execute-button').click();
      await waitForActive(0);

      await page.evaluate((query) => {
        const source = new EventSource(`graphql?query=${encodeURIComponent(query)}`);
        source.addEventListener('next', ({ data }) => { globalThis.told = JSON.parse(data); source.close(); });
      }, QUERY);
      await waitForActive(1);
      await create('Heard');
      await page.waitForFunction(() => globalThis.told?.data.bookChanged.book.title === 'Heard');
      await waitForActive(0);
      assert.deepEqual(complaints, []);
    } finally {
      await browser.close();
    }
  });
});
