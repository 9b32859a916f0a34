// The admin UI in a real browser, against a service whose laboratory misbehaves.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { elsewhere, launch, newPage, openPlayground, run, type } from './browser.mjs';
import { start } from './service.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const TOKEN = 'the-token-of-the-operators-0123456789';
const SCREENS = ['Operations', 'Runtime', 'Tasks', 'CPU', 'Database', 'Subscriptions', 'Telemetry', 'Settings'];

async function query(service, document) {
  const response = await fetch(`${service.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: document }),
  });
  await response.text();
  return response.headers.get('traceresponse').split('-')[1];
}

/** The serious faults that axe-core finds on a page, or a part of it. */
async function faults(page, part = 'html') {
  // Not as a script of the page, whose policy forbids that.
  await page.evaluate(axe);
  const { violations } = await page.evaluate((only) => globalThis.axe.run(only), part);
  return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

describe('the admin UI', () => {
  let service;
  let browser;
  let page;
  let complaints;
  let requests;

  before(async () => {
    service = await start({ further: ['--lab'] });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    if (service) assert.equal(await service.stop(), 0);
  });
  beforeEach(async () => {
    ({ page, complaints, requests } = await newPage(browser));
    await page.goto(service.admin);
    await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
  });
  afterEach(async () => {
    const found = [complaints, elsewhere(requests, service.admin)];
    await page.context().close();
    assert.deepEqual(found, [[], []]);
  });

  const open = (screen) => page.getByRole('navigation', { name: 'Screens' }).getByRole('link', { name: screen }).click();

  test('a slow operation is among the slowest, and a click opens its waterfall', async () => {
    const id = await query(service, 'query Molasses { labSleep(ms: 900) }');
    await query(service, '{ books(first: 1) { nodes { title } } }');
    await page.getByRole('link', { name: 'Slowest' }).click();
    const first = page.getByRole('table', { name: 'Operations' }).locator('tbody tr').first();
    await first.filter({ hasText: 'query Molasses' }).waitFor();
    assert.match(await first.textContent(), /Query\.labSleep/);
    await first.getByRole('link').first().click();
    await page.getByRole('treegrid', { name: 'Waterfall' }).getByRole('row', { name: /Query\.labSleep/ }).waitFor();
    assert.equal(await page.locator('main code').first().textContent(), id);
  });

  test('failed operations, those with slow polls, and figures by root field', async () => {
    await query(service, '{ labPanic }');
    await query(service, 'query Rocks { labBlock(ms: 60) }');
    await page.getByRole('link', { name: 'Failed' }).click();
    await page.getByRole('row', { name: /INTERNAL_SERVER_ERROR/ }).first().waitFor();
    await page.getByRole('link', { name: 'With slow polls' }).click();
    await page.getByRole('row', { name: /query Rocks/ }).first().waitFor();
    await page.getByRole('link', { name: 'By root field' }).click();
    const row = page.getByRole('row', { name: /^Query\.labBlock/ });
    await row.waitFor();
    assert.match(await row.textContent(), /ms/);
  });

  test('a slow poll appears as it happens', async () => {
    await open('Runtime');
    await page.getByRole('heading', { name: "Workers' busy share" }).waitFor();
    const blocked = query(service, '{ labBlock(ms: 3000) }');
    // While the worker is still blocked.
    await page.getByRole('table', { name: 'Slow polls' }).getByRole('row', { name: /so far.*Query\.labBlock/ })
      .first().waitFor({ timeout: 2500 });
    await blocked;
    const charts = await page.locator('.uplot canvas').count();
    assert.ok(charts >= 8, `${charts} charts`);
  });

  test('a task is at the line where it is parked, and leads to its trace', async () => {
    const locks = [query(service, '{ labLock(ms: 8000) }'), query(service, '{ labLock(ms: 1) }')];
    await open('Tasks');
    const place = page.getByRole('group').filter({ hasText: 'src/graphql/lab.rs' });
    for (let tries = 0; (await place.count()) === 0 && tries < 20; tries += 1) {
      await page.locator('button:not([aria-disabled])', { hasText: 'Refresh' }).click();
      await page.locator('button:not([aria-disabled])', { hasText: 'Refresh' }).waitFor();
    }
    const text = await place.first().textContent();
    assert.match(text, /src\/graphql\/lab\.rs:\d+/);
    assert.match(text, /query Query\.labLock/);
    await page.getByLabel('Filter').fill('no such task');
    await page.getByText(/^0 tasks of \d+/).waitFor();
    await page.getByLabel('Filter').fill('labLock');
    await place.first().getByRole('button', { name: /Show/ }).first().click();
    await page.locator('.stack').first().waitFor();
    const ids = await Promise.all(locks);
    const link = await place.first().getByRole('link').first().getAttribute('href');
    assert.ok(ids.some((id) => link.endsWith(id)), link);
  });

  test('a flame graph has what uses the CPU, by root field', async () => {
    await open('CPU');
    await page.getByLabel('Duration').selectOption('1');
    const spinning = query(service, '{ labSpin(ms: 4000) }');
    await page.getByRole('button', { name: 'Take profile' }).click();
    const graph = page.getByRole('tree', { name: 'Flame graph' });
    await graph.waitFor({ timeout: 60_000 });
    await page.getByLabel('Root field').selectOption('Query.labSpin');
    // With its path where the program has no line tables.
    await graph.getByRole('treeitem', { name: /^(.*::)?spin:/ }).first().click();
    await page.getByRole('status').filter({ hasText: 'Zoomed to' }).waitFor();
    await page.getByLabel('Search').fill('spin');
    await page.getByText(/of the samples match/).waitFor();
    await spinning;
  });

  test('the database, the telemetry and the settings', async () => {
    await query(service, '{ books(first: 3) { nodes { title authors { name } } } }');
    await open('Database');
    await page.getByRole('row', { name: /^reader/ }).first().waitFor();
    await page.getByRole('button', { name: 'SELECT book', exact: true }).first().click();
    await page.getByText('FROM "book"').first().waitFor();
    await open('Telemetry');
    await page.getByRole('row', { name: /^traces/ }).waitFor();
    await page.getByRole('meter', { name: 'Memory of the trace store' }).waitFor();
    await open('Settings');
    await page.getByLabel('Filter').fill('COLOPHON_LAB');
    const row = page.getByRole('row', { name: /COLOPHON_LAB/ });
    await row.waitFor();
    assert.match(await row.textContent(), /true.*flag/);
  });

  for (const colorScheme of ['light', 'dark']) {
    test(`axe-core finds no serious fault, ${colorScheme}`, async () => {
      const id = await query(service, '{ labNPlusOne(first: 5) }');
      await page.emulateMedia({ colorScheme });
      const found = [];
      for (const screen of SCREENS) {
        await open(screen);
        await page.getByRole('heading', { level: 1, name: screen }).waitFor();
        await page.waitForFunction(() => !document.querySelector('main')?.textContent.includes('Loading…'));
        found.push(...(await faults(page)).map((fault) => `${screen}: ${fault}`));
      }
      await page.goto(`${service.admin}/#/traces/${id}`);
      await page.getByRole('treegrid').waitFor();
      found.push(...await faults(page));
      assert.deepEqual(found, []);
    });
  }

  test('nothing is wider than a window of 800 pixels', async () => {
    await page.setViewportSize({ width: 800, height: 900 });
    for (const screen of SCREENS) {
      await open(screen);
      await page.getByRole('heading', { level: 1, name: screen }).waitFor();
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 800, `${screen} is ${width} pixels wide`);
    }
  });

  test('it is worked by keyboard alone', async () => {
    await page.keyboard.press('Tab');
    for (let tries = 0; tries < 30; tries += 1) {
      if (await page.evaluate(() => document.activeElement.textContent) === 'Settings') break;
      await page.keyboard.press('Tab');
    }
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H1');
  });
});

test('the trace pane has no serious fault, light and dark', async () => {
  const service = await start({ further: ['--lab'] });
  const browser = await launch();
  try {
    for (const colorScheme of ['light', 'dark']) {
      const { page } = await newPage(browser, { colorScheme });
      await openPlayground(page, service.playground);
      await type(page, 'query Checked { labNPlusOne(first: 5) }');
      await run(page, 'Checked');
      await page.getByRole('treegrid').waitFor();
      // GraphiQL has faults of its own.
      assert.deepEqual(await faults(page, '[aria-label="Trace"]'), []);
      await page.context().close();
    }
  } finally {
    await browser.close();
    assert.equal(await service.stop(), 0);
  }
});

test('a wrong token shows nothing, the right one is kept for the tab', async () => {
  const service = await start({ variables: { COLOPHON_ADMIN_TOKEN: TOKEN } });
  const browser = await launch();
  try {
    await query(service, '{ books(first: 1) { nodes { title } } }');
    const { page, requests } = await newPage(browser, { expected: /401/ });
    await page.goto(service.admin);
    await page.getByLabel('Admin token').fill('wrong');
    await page.getByRole('button', { name: 'Open' }).click();
    await page.getByText('This token is wrong.').waitFor();
    assert.doesNotMatch(await page.locator('body').textContent(), /Query\.books|COLOPHON_LISTEN|Operations/);
    await page.getByLabel('Admin token').fill(TOKEN);
    await page.getByRole('button', { name: 'Open' }).click();
    await page.getByRole('row', { name: /Query\.books/ }).first().waitFor();
    await page.reload();
    await page.getByRole('row', { name: /Query\.books/ }).first().waitFor();
    assert.ok(requests.every((url) => !url.includes(TOKEN)), 'the token is in no URL');
    const other = await page.context().newPage();
    await other.goto(service.admin);
    await other.getByLabel('Admin token').waitFor();
    await page.getByRole('button', { name: 'Forget token' }).click();
    await page.getByLabel('Admin token').waitFor();
  } finally {
    await browser.close();
    assert.equal(await service.stop(), 0);
  }
});

test('in production there is neither the pane nor the admin UI, unless asked for', async () => {
  const html = { headers: { accept: 'text/html' } };
  const production = await start({ further: ['--production'] });
  try {
    const traced = await fetch(`${production.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: '{ books(first: 1) { nodes { title } } }' }),
    });
    const trace = await fetch(`${production.url}/trace/${traced.headers.get('traceresponse')}`);
    assert.equal(trace.status, 404);
    const page = await fetch(production.admin, html);
    assert.match(page.headers.get('content-type'), /text\/plain/);
    assert.match(await page.text(), /\/debug\/api\/operations/);
    assert.equal((await fetch(`${production.admin}/debug/api/operations`)).status, 404);
  } finally {
    assert.equal(await production.stop(), 0);
  }
  const asked = await start({ further: ['--production', '--admin-ui', 'true', '--trace-store', '4'] });
  try {
    const page = await fetch(asked.admin, html);
    assert.match(page.headers.get('content-type'), /text\/html/);
    assert.match(page.headers.get('content-security-policy'), /^default-src 'none'; script-src 'self';/);
    assert.doesNotMatch(page.headers.get('content-security-policy'), /unsafe/);
    assert.equal((await fetch(`${asked.admin}/debug/api/operations`)).status, 200);
    assert.equal((await fetch(`${asked.url}/trace/00-${'1'.repeat(32)}-${'1'.repeat(16)}-00`)).status, 404);
  } finally {
    assert.equal(await asked.stop(), 0);
  }
});

// The store alone takes 100,000 in a test of its own (trace_store::tests).
const all = process.env.COLOPHON_TEST_FULL ? 100_000 : 20_000;

test(`${all} operations leave the store within its bytes, and the heap of the browser flat`, async () => {
  const service = await start({ further: ['--trace-store', '2'], variables: { RUST_LOG: 'warn,colophon::cli::serve=info' } });
  const browser = await launch(['--js-flags=--expose-gc']);
  try {
    const { page, complaints } = await newPage(browser);
    await page.goto(service.admin);
    await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
    const store = async () => (await (await fetch(`${service.admin}/debug/api/telemetry`)).json()).trace_store;
    const heap = async () => {
      const session = await page.context().newCDPSession(page);
      await session.send('HeapProfiler.collectGarbage');
      const { usedSize } = await session.send('Runtime.getHeapUsage');
      await session.detach();
      return usedSize;
    };
    const load = async (count) => {
      for (let left = count; left > 0;) {
        const some = Math.min(left, 50);
        left -= some;
        await Promise.all(Array.from({ length: some }, () => query(service, '{ books(first: 1) { totalCount } }')));
      }
    };
    await load(all / 10);
    const first = await heap();
    await load(all - all / 10);
    const { bytes, limit, recorded, dropped, traces } = await store();
    assert.equal(limit, 2 * 1024 * 1024);
    assert.ok(bytes <= limit, `${bytes} of ${limit}`);
    assert.ok(recorded >= all && dropped === 0 && traces > 100, `${recorded} recorded, ${dropped} dropped, ${traces} stored`);
    const last = await heap();
    assert.ok(last < first + 4_000_000, `the heap grew from ${first} to ${last} bytes`);
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
    assert.equal(await service.stop(), 0);
  }
});
