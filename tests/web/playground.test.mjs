// The playground in a real browser, typed into as a person would.
import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import {
  editor, elsewhere, launch, newPage, openPlayground, run as runIn, type as typeInto,
} from './browser.mjs';
import { start } from './service.mjs';

describe('playground', () => {
  let service;
  let browser;
  let page;
  let complaints;
  let requests;
  let response;

  before(async () => {
    service = await start();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    if (service) assert.equal(await service.stop(), 0);
  });

  beforeEach(async () => {
    ({ page, complaints, requests } = await newPage(browser));
    response = await openPlayground(page, service.playground);
  });
  afterEach(() => page?.context().close());

  const type = (document) => typeInto(page, document);
  const run = (name) => runIn(page, name);

  const typed = () => page.evaluate(() => globalThis.__MONACO.editor.getModels()
    .find((m) => m.uri.path.endsWith('operation.graphql')).getValue());

  test('loads without a complaint and asks no other host', async () => {
    // The workers come last: what they break, they break by then.
    await type('{ bookz');
    await page.locator(`${editor} .squiggly-error`).first().waitFor();
    assert.ok(page.workers().length > 0);
    assert.equal(response.status(), 200);
    const policy = response.headers()['content-security-policy'];
    assert.match(policy, /default-src 'none'; script-src 'self';/);
    assert.doesNotMatch(policy, /unsafe-eval|script-src[^;]*unsafe-inline/);
    assert.ok(requests.length > 3);
    assert.deepEqual(elsewhere(requests, service.playground), []);
    assert.deepEqual(complaints, []);
  });

  test('a typed query is answered', async () => {
    await type('query Typed { search(query: "wuthering brontë") { totalCount nodes { title authors { name } } } }');
    const answer = await run('Typed');
    assert.deepEqual(answer.data.search, {
      totalCount: 1,
      nodes: [{ title: 'Wuthering Heights', authors: [{ name: 'Emily Brontë' }] }],
    });
    await page.locator('section.result-window', { hasText: 'Wuthering' }).waitFor();
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
    assert.deepEqual(complaints, []);
  });

  test('what was just typed runs, before GraphiQL knows its name', async () => {
    await type('query Before { books(first: 1) { nodes { title } } }');
    await run('Before');
    await page.locator(editor).click({ position: { x: 80, y: 20 } });
    await page.keyboard.press('Control+A');
    const responded = page.waitForResponse((r) => r.url().endsWith('/graphql'));
    await page.keyboard.insertText('query After { books(first: 2) { nodes { title } } }');
    await page.keyboard.press('Control+Enter');
    const answer = await (await responded).json();
    assert.equal(answer.data?.books.nodes.length, 2, JSON.stringify(answer));
    assert.deepEqual(complaints, []);
  });

  test('fields are completed', async () => {
    await type('{ bookBy');
    const offered = page.locator('.suggest-widget.visible .monaco-list-row', { hasText: 'bookByIsbn' });
    // Asked before the worker has the schema, the editor offers nothing and does not ask again.
    for (let tries = 1; ; tries += 1) {
      try {
        await offered.first().waitFor({ timeout: 3000 });
        break;
      } catch (error) {
        if (tries === 10) throw error;
        await page.keyboard.press('Escape');
        await page.keyboard.press('Control+Space');
      }
    }
    await page.keyboard.press('Enter');
    assert.match(await typed(), /bookByIsbn/);
  });

  test('the documentation explorer describes the schema', async () => {
    await page.locator('button[aria-label="Show Documentation Explorer"]').click();
    const docs = page.locator('.graphiql-doc-explorer');
    await docs.locator('a', { hasText: /^Query$/ }).click();
    await docs.getByText('The queries.').first().waitFor();
    await docs.getByText('The book with this ISBN, or null if there is none.').first().waitFor();
    await docs.locator('a', { hasText: /^bookByIsbn$/ }).click();
    await docs.getByText('An ISBN-10 or ISBN-13; hyphens are allowed.').first().waitFor();
  });

  test('the examples run', async () => {
    const tabs = page.locator('.graphiql-tab-button');
    const names = ['ListBooks', 'Search', 'OneBookByIsbn', 'CreateBook', 'UpdateBook', 'FollowChanges'];
    assert.deepEqual((await tabs.allInnerTexts()).map((name) => name.trim()), names);

    const list = await run('ListBooks');
    assert.equal(list.errors, undefined);
    assert.equal(list.data.books.nodes.length, 10);

    await tabs.filter({ hasText: 'Search' }).click();
    const found = await run('Search');
    assert.equal(found.errors, undefined);
    assert.equal(found.data.search.edges[0].node.title, 'Pride and Prejudice');

    await tabs.filter({ hasText: 'OneBookByIsbn' }).click();
    const one = await run('OneBookByIsbn');
    assert.equal(one.data.bookByIsbn.isbn13, '9780141439518');
  });

  test('a book is created, changed and found', async () => {
    await type('mutation Make { createBook(input: { title: "Typed by hand", authors: [{ name: "Nobody Known" }] }) { id version } }');
    const { id, version } = (await run('Make')).data.createBook;
    assert.equal(version, 1);
    await type(`mutation Change { updateBook(id: "${id}", input: { pages: 77 }, expectedVersion: 1) { version pages } }`);
    assert.deepEqual((await run('Change')).data.updateBook, { version: 2, pages: 77 });
    await type('query Find { search(query: "known typed") { nodes { id pages } } }');
    assert.deepEqual((await run('Find')).data.search.nodes, [{ id, pages: 77 }]);
  });

  test('mistakes are marked and told', async () => {
    await type('query Wrong { bookz { title } }');
    await page.locator(`${editor} .squiggly-error`).first().waitFor();
    const answer = await run('Wrong');
    assert.equal(answer.errors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
    assert.match(answer.errors[0].message, /bookz/);
    await page.locator('section.result-window', { hasText: 'GRAPHQL_VALIDATION_FAILED' }).waitFor();
  });
});
