// The pictures of the documents: node screenshots.mjs FOLDER [NAME…]. A service with its laboratory, in a real browser,
// light and dark. `make screenshots` writes them into docs/images.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { launch, newPage, openPlayground, run, type } from './browser.mjs';
import { start } from './service.mjs';

const [folder, ...names] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
const service = await start({ further: ['--lab'] });
const browser = await launch();

const post = async (query) => (await fetch(`${service.url}/graphql`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ query }),
})).text();

/** Something of everything, for the lists. */
async function traffic() {
  for (let number = 0; number < 40; number += 1) {
    await post('query ListBooks { books(first: 20) { totalCount nodes { title authors { name } } } }');
    await post('query Search { search(query: "bronte", first: 5) { nodes { title } } }');
  }
  await post(`mutation CreateBook { createBook(input: { title: "Screens", authors: [{ name: "Jane Doe" }] }) { id } }`);
  for (const field of ['labBlock(ms: 60)', 'labSlowSql', 'labNPlusOne', 'labPanic', 'labSleep']) {
    await post(`query Lab { ${field} }`);
  }
}

async function playground(page, document) {
  await openPlayground(page, service.playground);
  // The first tab has variables for its own query.
  await page.getByRole('button', { name: 'New tab' }).click();
  const [, operation] = document.match(/query (\w+)/);
  await type(page, document);
  await page.getByRole('button', { name: /Prettify/ }).click();
  await run(page, operation);
  // Again, as known documents are executed.
  await run(page, operation);
  await page.getByRole('treegrid').waitFor();
  await page.waitForTimeout(500);
}

async function admin(page, screen) {
  await page.goto(`${service.admin}/#/${screen}`);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.waitForTimeout(1500);
}

async function flameGraph(page) {
  await admin(page, 'cpu');
  await page.getByLabel('Duration').selectOption('5');
  await page.getByRole('button', { name: 'Take profile' }).click();
  const until = Date.now() + 5000;
  while (Date.now() < until) await post('query Spin { labSpin(ms: 50) books(first: 50) { nodes { title authors { name } } } }');
  await page.getByRole('tree', { name: 'Flame graph' }).waitFor({ timeout: 60_000 });
}

/** Of a stack one wants to see both ends. */
const heights = { 'flame-graph': 1400 };

const pictures = {
  trace: (page) => playground(page, 'query ListBooks { books(first: 50) { nodes { title publishedYear authors { name } } } }'),
  'slow-poll': (page) => playground(page, 'query Blocked { books(first: 5) { nodes { title authors { name } } } labBlock }'),
  operations: (page) => admin(page, 'operations/slowest'),
  'root-fields': (page) => admin(page, 'operations/root-fields'),
  runtime: (page) => admin(page, 'runtime'),
  tasks: async (page) => {
    const locked = [post('{ labLock(ms: 6000) }'), post('{ labLock(ms: 1) }')];
    await admin(page, 'tasks');
    await page.locator('details.group').first().waitFor();
    return locked;
  },
  'flame-graph': flameGraph,
  database: (page) => admin(page, 'database'),
  telemetry: (page) => admin(page, 'telemetry'),
  settings: (page) => admin(page, 'settings'),
};

try {
  await traffic();
  for (const colorScheme of ['light', 'dark']) {
    for (const [name, show] of Object.entries(pictures)) {
      if (names.length > 0 && !names.includes(name)) continue;
      const viewport = { width: 1440, height: heights[name] ?? 860 };
      const { page, complaints } = await newPage(browser, { colorScheme, viewport });
      await show(page);
      await page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`) });
      if (complaints.length > 0) throw new Error(`${name}: ${complaints}`);
      await page.context().close();
    }
  }
} finally {
  await browser.close();
  await service.stop();
}
