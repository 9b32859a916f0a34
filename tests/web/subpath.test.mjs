// The playground behind a proxy that serves the service under a path of its own.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { start } from './service.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const args = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/** A proxy that maps /books/ to the service's /, and answers everything else with 404. */
async function proxy(upstream) {
  const server = createServer((incoming, outgoing) => {
    if (!incoming.url.startsWith('/books/')) {
      outgoing.writeHead(404).end();
      return;
    }
    const headers = { ...incoming.headers, host: new URL(upstream).host };
    const url = new URL(incoming.url.slice('/books'.length), upstream);
    const passed = request(url, { method: incoming.method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    passed.on('error', () => outgoing.destroy());
    incoming.pipe(passed);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return server;
}

describe('playground under a path', () => {
  let service;
  let server;
  let browser;

  before(async () => {
    service = await start();
    server = await proxy(service.url);
    browser = await chromium.launch({ executablePath, args });
  });
  after(async () => {
    await browser?.close();
    server?.closeAllConnections();
    server?.close();
    if (service) assert.equal(await service.stop(), 0);
  });

  test('loads all of its files and asks the service', async () => {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(30_000);
    const complaints = [];
    const failed = [];
    const paths = [];
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('response', (response) => {
      const { pathname } = new URL(response.url());
      paths.push(pathname);
      if (response.status() >= 400) failed.push(pathname);
    });
    await page.goto(`http://127.0.0.1:${server.address().port}/books/`);
    const editor = '.graphiql-query-editor';
    await page.locator(`${editor} .view-line`).first().waitFor();
    await page.waitForFunction(() => !document.querySelector('.graphiql-spinner'));
    const type = async (document) => {
      await page.locator(`${editor} .view-line`).first().click();
      await page.keyboard.press('Control+A');
      await page.keyboard.press('Delete');
      await page.keyboard.type(document);
    };
    await type('query Wrong { bookz }');
    // By a worker, with the schema that was fetched.
    await page.locator(`${editor} .squiggly-error`).first().waitFor();
    assert.ok(page.workers().length > 0);
    await type('query Typed { search(query: "wuthering") { totalCount nodes { title } } }');
    await page.locator('.graphiql-tab-active', { hasText: 'Typed' }).waitFor();
    // GraphiQL learns the operation's name a moment later, and sends the one before until then.
    const result = page.locator('section.result-window', { hasText: 'Wuthering Heights' });
    for (let tries = 1; tries < 10 && !(await result.isVisible()); tries += 1) {
      await page.locator('.graphiql-execute-button').click();
      await result.waitFor({ timeout: 3000 }).catch(() => {});
    }
    assert.ok(await result.isVisible());
    assert.deepEqual(failed, []);
    assert.deepEqual(complaints, []);
    assert.ok(paths.includes('/books/graphql') && paths.length > 3, String(paths));
  });
});
