// The server audit of graphql-http: every audit must pass, those that only advise too.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serverAudits } from 'graphql-http';
import { start } from './service.mjs';

describe('GraphQL over HTTP', () => {
  let service;
  before(async () => { service = await start(); });
  after(async () => { assert.equal(await service.stop(), 0); });

  // A GET without it could be sent by any page, and is refused.
  const fetchFn = (url, { headers, ...options } = {}) =>
    fetch(url, { ...options, headers: { 'GraphQL-Require-Preflight': '1', ...headers } });
  const audits = serverAudits({ url: () => `${service.url}/graphql`, fetchFn });
  test('there are 61 audits', () => assert.equal(audits.length, 61));
  for (const audit of audits) {
    test(`${audit.id} ${audit.name}`, async () => {
      const result = await audit.fn();
      assert.equal(result.status, 'ok', result.reason);
    });
  }
});
