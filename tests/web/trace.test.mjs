// The trace beside the query: each field of the laboratory has its finger-print, and its figures are those
// of the spans that arrive at a collector.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { labels, noteOf, categoryOf, titleOf } from '../../playground/src/trace/describe.js';
import { duration } from '../../playground/src/trace/format.js';
import { elsewhere, launch, newPage, openPlayground, run, type } from './browser.mjs';
import { startCollector } from './collector.mjs';
import { start } from './service.mjs';

const post = (service, query) => fetch(`${service.url}/graphql`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ query }),
});

describe('the pane Trace', () => {
  let collector;
  let service;
  let browser;
  let page;
  let complaints;
  let requests;

  before(async () => {
    collector = await startCollector();
    service = await start({
      // On a machine that is busy, a build without optimization has slow polls of its own.
      further: ['--lab', '--slow-poll', '150ms', '--pool-wait', '10s', '--trace-url', 'http://localhost:1/trace/{trace_id}'],
      variables: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_BSP_SCHEDULE_DELAY: '50' },
    });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    if (service) assert.equal(await service.stop(), 0);
    await collector?.stop();
  });
  beforeEach(async () => {
    // The browser says so of the failure that is asked for.
    ({ page, complaints, requests } = await newPage(browser, { expected: /status of 500/ }));
    await openPlayground(page, service.playground);
  });
  afterEach(async () => {
    const found = complaints;
    await page.context().close();
    assert.deepEqual(found, []);
  });

  const pane = () => page.getByRole('region', { name: 'Trace' });

  /** Whether an operation is being executed. */
  const isActive = async () => /^graphql_server_active_requests\{[^}]*\} [1-9]/m
    .test(await (await fetch(`${service.admin}/metrics`)).text());

  /** Executes an operation again and again, however long the browser takes, until it is stopped. */
  function repeat(document) {
    let stopped = false;
    const ended = (async () => {
      while (!stopped) assert.ok((await post(service, document)).ok);
    })();
    return { stop: () => { stopped = true; return ended; } };
  }

  /** Runs an operation, perhaps beside another, and returns what the pane shows of it. */
  async function trace(document, other) {
    const [, name] = document.match(/(?:query|mutation) (\w+)/);
    const before = await shownId();
    await type(page, document);
    await page.locator('.graphiql-tab-active', { hasText: name }).waitFor();
    const beside = other && repeat(other);
    while (other && !(await isActive())) await sleep(10);
    const response = await run(page, name);
    await beside?.stop();
    return { response, ...await shown(before) };
  }

  const shownId = () => pane().locator('code').first().textContent({ timeout: 1 }).catch(() => null);

  /** What the pane shows, once it is another trace than before. */
  async function shown(before) {
    await page.waitForFunction((old) => {
      const id = document.querySelector('[aria-label="Trace"] code')?.textContent;
      return id && id !== old;
    }, before);
    // Spans that are alike are one row until it is opened.
    for (const row of await pane().locator('.cx-row[aria-expanded=false] .cx-twisty').all()) await row.click();
    const rows = await pane().locator('[role=treegrid] .cx-row:not(.cx-axis)').evaluateAll((all) => all.map((row) => ({
      tag: row.querySelector('.cx-tag').textContent,
      title: row.querySelector('.cx-title').textContent,
      note: row.querySelector('.cx-note')?.textContent ?? '',
      took: row.querySelector('.cx-took').firstChild?.textContent ?? '',
    })));
    const findings = await pane().getByRole('list', { name: 'Findings' }).locator('.cx-message').allTextContents();
    return { id: await pane().locator('code').first().textContent(), rows, findings };
  }

  /** Whether the rows are the spans that arrived at the collector, with their figures. */
  async function assertExported({ id, rows }) {
    const shown = rows.filter(({ tag }) => Object.values(labels).includes(tag) && tag !== labels.log)
      .filter(({ note }) => !/^\d+ spans, /.test(note));
    const spans = await collector.spans(id, shown.length);
    const expected = spans.map((span) => {
      const category = categoryOf(span);
      return [labels[category], titleOf(category, span), noteOf(category, span), duration(span.duration)].join(' | ');
    });
    const seen = shown.map(({ tag, title, note, took }) => [tag, title, note, took].join(' | '));
    assert.deepEqual(seen.toSorted(), expected.toSorted());
  }

  /** What is wrong, but for the short waits and slow polls that a busy machine adds. */
  const causes = ({ findings }) => findings.filter((finding) => {
    const [, time] = finding.match(/([\d.]+) ms/) ?? [];
    return time === undefined || Number(time) >= 300;
  });

  const only = (rows, tag) => rows.filter((row) => row.tag === tag);
  const ms = (text) => Number(text.match(/([\d.]+) ms/)[1]);

  test('fields, batches and SQL of a list, in one picture', async () => {
    const found = await trace('query Books { books(first: 5) { nodes { title authors { name } } } }');
    await assertExported(found);
    assert.deepEqual(causes(found), []);
    const titles = (tag) => only(found.rows, tag).map(({ title }) => title);
    assert.deepEqual(titles('HTTP'), ['POST /graphql']);
    assert.deepEqual(titles('field'), ['Query.books', 'Book.authors']);
    assert.match(only(found.rows, 'field')[1].note, /^5 calls, total .+, longest /);
    assert.deepEqual(titles('batch'), ['batch authors']);
    assert.equal(only(found.rows, 'batch')[0].note, '5 keys');
    assert.deepEqual(titles('SQL'), ['SELECT book', 'SELECT book_author author']);
    assert.equal(only(found.rows, 'SQL')[0].note, '6 rows');
    assert.deepEqual(only(found.rows, 'INFO').map(({ title }) => title), ['answered']);
    assert.deepEqual(elsewhere(requests, service.playground), []);
  });

  for (const [field, work] of [['labBlock', 'blocks'], ['labSpin', 'computes']]) {
    test(`a field that ${work}: a slow poll, all of it busy`, async () => {
      const found = await trace(`query Held { ${field}(ms: 400) }`);
      await assertExported(found);
      const [finding, ...others] = causes(found);
      assert.deepEqual(others, []);
      assert.match(finding, new RegExp(`^a poll held the worker \\d+ ms in Query.${field}$`));
      assert.ok(ms(finding) >= 400, finding);
      const { note } = only(found.rows, 'operation')[0];
      assert.ok(ms(note.match(/busy [^,]+/)[0]) >= 400, note);
      assert.match(note, /, 1 slow$/);
      assert.equal(only(found.rows, 'WARN').length, 1);
    });
  }

  for (const field of ['labSleep', 'labLock']) {
    test(`${field}: idle, and nothing wrong`, async () => {
      const found = await trace(`query Waits { ${field}(ms: 400) }`);
      await assertExported(found);
      assert.deepEqual(causes(found), []);
      const { note } = only(found.rows, 'operation')[0];
      // The poll that begins the wait takes some of it.
      assert.ok(ms(note.match(/idle [^,]+/)[0]) >= 300, note);
    });
  }

  test('labSlowSql: the statement that took the time', async () => {
    const found = await trace('query Slow { labSlowSql(ms: 200) }');
    await assertExported(found);
    assert.match(found.findings.join('\n'), /^SELECT took .+ of .+$/m);
    await pane().getByRole('row', { name: /SELECT/ }).click();
    await pane().getByText('WITH RECURSIVE').last().waitFor();
  });

  test('labNPlusOne: N+1', async () => {
    const found = await trace('query Many { labNPlusOne(first: 5) }');
    await assertExported(found);
    assert.deepEqual(causes(found), ['6 statements below Query.labNPlusOne: N+1']);
    assert.equal(only(found.rows, 'SQL').filter(({ note }) => /^1 row$/.test(note)).length, 5);
  });

  test('labExhaustPool: the wait for a connection of another operation', async () => {
    const found = await trace('query Late { books(first: 1) { nodes { title } } }', '{ labExhaustPool(ms: 2000) }');
    await assertExported(found);
    const finding = found.findings.find((it) => it.includes('connection'));
    assert.match(finding, /^waited \d+ ms for a connection$/);
    const [wait] = only(found.rows, 'wait');
    assert.equal(wait.took, duration(await waited(found.id)));
  });

  const waited = async (id) => {
    const spans = await collector.spans(id, 1);
    return spans.find(({ name }) => name === 'db.pool.acquire').duration;
  };

  test('labStarve: the wait for a worker of another operation', async () => {
    // It waits for each of its statements, and then for a worker. The browser is starved, too, and has to
    // ask before the other operation ends.
    const found = await trace('query Starved { labNPlusOne(first: 20) }', '{ labStarve(ms: 4000) }');
    await assertExported(found);
    assert.match(found.findings.join('\n'), /^woken, and waited \d+ ms for a worker$/m);
  });

  test('labPanic: the failure', async () => {
    const found = await trace('query Fails { labPanic }');
    await assertExported(found);
    assert.match(found.findings.join('\n'), /failed: a resolver panicked$/m);
    assert.ok(only(found.rows, 'ERROR').some(({ title }) => /asked to panic/.test(title)));
  });

  test('labLeak: an operation like others, whose task is left behind', async () => {
    const found = await trace('query Leaks { labLeak }');
    await assertExported(found);
    assert.deepEqual(causes(found), []);
  });

  test('each event of a subscription has its trace', async () => {
    await type(page, 'subscription Live { bookChanged { kind book { title authors { name } } } }');
    await page.locator('.graphiql-tab-active', { hasText: 'Live' }).waitFor();
    await page.locator('.graphiql-execute-button').click();
    await pane().getByText('Waiting for events').waitFor();
    let before = null;
    for (const title of ['First', 'Second']) {
      const mutation = `mutation { createBook(input: { title: "${title}", authors: [{ name: "Ann" }] }) { id } }`;
      assert.ok((await post(service, mutation)).ok);
      const found = await shown(before);
      await assertExported(found);
      const titles = (tag) => only(found.rows, tag).map((row) => row.title);
      assert.deepEqual(titles('field'), ['BookChange.book', 'Book.authors']);
      assert.deepEqual(titles('SQL'), ['SELECT book', 'SELECT book_author author']);
      assert.deepEqual(causes(found), []);
      before = found.id;
    }
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
    await page.locator('.graphiql-execute-button').click();
  });

  test('a span marks its field in the document, also by keyboard', async () => {
    await trace('query Marked { list: books(first: 2) { nodes { by: authors { name } } } }');
    const marked = () => page.locator('.graphiql-query-editor .cx-marked-field');
    await pane().getByRole('row', { name: /Book\.authors/ }).hover();
    await marked().first().waitFor();
    await marked().filter({ hasText: 'by' }).first().waitFor();
    await pane().getByRole('row', { name: /Query\.books/ }).focus();
    await marked().filter({ hasText: 'list' }).first().waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await pane().locator('pre', { hasText: 'FROM "book"' }).waitFor();
  });

  test('the trace id copies, and leads to the back end', async () => {
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    const { id } = await trace('query Copied { books(first: 1) { nodes { title } } }');
    await pane().getByRole('button', { name: 'Copy trace id' }).click();
    await page.waitForFunction((expected) => navigator.clipboard.readText().then((it) => it === expected), id);
    const href = await pane().getByRole('link', { name: /back end/ }).getAttribute('href');
    assert.equal(href, `http://localhost:1/trace/${id}`);
  });

  test('nobody sees the trace of others', async () => {
    const response = await post(service, '{ books(first: 1) { nodes { title } } }');
    const [, id, span] = response.headers.get('traceresponse').split('-');
    const status = async (value) => (await fetch(`${service.url}/trace/${value}`)).status;
    assert.equal(await status(`00-${id}-${span}-00`), 200);
    const other = span.replace(/^./, (digit) => (digit === 'f' ? '0' : 'f'));
    assert.equal(await status(`00-${id}-${other}-00`), 404);
    assert.equal(await status(id), 404);
    assert.equal(await status(`00-${'0'.repeat(32)}-${span}-00`), 404);
    // Who sends a trace id of its own choice to another one's browser knows no more than that.
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const traced = await fetch(`${service.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', traceparent },
      body: JSON.stringify({ query: '{ books(first: 1) { nodes { title } } }' }),
    });
    assert.equal(await status(traceparent), 404);
    assert.equal(await status(traced.headers.get('traceresponse')), 200);
  });
});

test('without a store the pane says so', async () => {
  const service = await start({ further: ['--trace-store', '0'] });
  const browser = await launch();
  try {
    const { page } = await newPage(browser);
    await openPlayground(page, service.playground);
    await type(page, 'query Plain { books(first: 1) { nodes { title } } }');
    await run(page, 'Plain');
    await page.getByRole('region', { name: 'Trace' }).getByText('--trace-store 0').waitFor();
  } finally {
    await browser.close();
    assert.equal(await service.stop(), 0);
  }
});
