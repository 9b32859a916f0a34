// Chromium, and the playground typed into as a person would.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const args = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

export async function launch(further = []) {
  assert.ok(existsSync(executablePath), `no browser at ${executablePath}: install chromium`);
  return chromium.launch({ executablePath, args: [...args, ...further] });
}

/**
 * A new page in a context of its own, with what it complains about and where it sends requests. `expected`
 * are messages on its console that are no fault.
 */
export async function newPage(browser, { expected, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1600, height: 1000 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints = [];
  const requests = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && !expected?.test(message.text())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  page.on('websocket', (socket) => requests.push(socket.url()));
  await page.exposeFunction('complain', (text) => complaints.push(text));
  await page.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) => {
    globalThis.complain(`${event.effectiveDirective} forbids ${event.blockedURI}`);
  }));
  return { page, complaints, requests };
}

/** Requests to other hosts than that of the page. */
export const elsewhere = (requests, origin) => requests.filter((url) =>
  !url.startsWith('data:') && !url.startsWith('blob:') && new URL(url).origin !== new URL(origin).origin);

export const editor = '.graphiql-query-editor';

/** Opens the playground and waits until it knows the schema. Returns the page's response. */
export async function openPlayground(page, url) {
  const schema = page.waitForResponse((r) => r.request().postData()?.includes('IntrospectionQuery'));
  const response = await page.goto(url);
  await page.locator(`${editor} .view-line`).first().waitFor();
  await (await schema).finished();
  await page.waitForFunction(() => !document.querySelector('.graphiql-spinner'));
  return response;
}

export async function type(page, document) {
  // Beside the text: a long line reaches below what is beside the editor.
  await page.locator(editor).click({ position: { x: 80, y: 20 } });
  await page.keyboard.press('Control+A');
  await page.keyboard.press('Delete');
  await page.keyboard.type(document);
}

/** Runs the operation `name` of the open tab, and returns its response. */
export async function run(page, name) {
  await page.locator('.graphiql-tab-active', { hasText: name }).waitFor();
  const responded = page.waitForResponse((r) => r.url().endsWith('/graphql')
    && r.request().postDataJSON().query.includes(` ${name}`));
  await page.locator('.graphiql-execute-button').click();
  const response = await (await responded).json();
  // What the person sees, not only what came over the wire.
  await page.waitForFunction((expected) => {
    const model = globalThis.__MONACO.editor.getModels()
      .find((m) => m.uri.path.endsWith('response.json'));
    try {
      return JSON.stringify(JSON.parse(model.getValue())) === expected;
    } catch { return false; }
  }, JSON.stringify(response));
  return response;
}
