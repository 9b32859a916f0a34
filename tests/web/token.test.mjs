// The playground of a service that asks for tokens: a person types one, and is let in.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { start, token } from './service.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking'];

test('a token in the headers editor is sent', async () => {
  assert.ok(existsSync(executablePath), `no browser at ${executablePath}: install chromium`);
  const [secret, line] = token();
  const service = await start({ tokens: line });
  const browser = await chromium.launch({ executablePath, args });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(30_000);
    const answers = () => page.waitForResponse((response) => response.url().endsWith('/graphql'));
    const first = answers();
    await page.goto(service.playground);
    assert.equal((await first).status(), 401);
    await page.locator('.graphiql-query-editor .view-line').first().waitFor();

    await page.getByRole('button', { name: 'Headers', exact: true }).click();
    const editor = page.locator('.graphiql-editor-tool .graphiql-editor:not(.hidden)');
    await editor.locator('.view-line').first().click();
    await page.keyboard.press('Control+A');
    await page.keyboard.insertText(JSON.stringify({ Authorization: `Bearer ${secret}` }));

    const letIn = page.waitForResponse((response) => response.status() === 200
      && response.request().headers().authorization === `Bearer ${secret}`);
    await page.getByRole('button', { name: /execute query/i }).click();
    const { data, errors } = await (await letIn).json();
    assert.ok(data && !errors, JSON.stringify(errors));
  } finally {
    await browser.close();
    assert.equal(await service.stop(), 0);
  }
});
