// The server audit of graphql-http: every audit must pass, those that only advise too, but for those that
// the September 2026 edition of GraphQL over HTTP overrules.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { serverAudits } from 'graphql-http';
import { start } from './service.mjs';

/** Audits of an older draft that the edition contradicts, by what it says. */
const OVERRULED = new Map(Object.entries({
  'a request that is not well-formed SHOULD be 422': [
    '423L', 'LKJ0', 'LKJ1', 'LKJ2', 'LKJ3', '6C00', '6C01', '6C02', '6C03', '4760', '4761', '4762', '4763',
    '58B0', '58B1', '58B2', '58B3', '3E3A',
  ],
  'variables that cannot be coerced SHOULD be 422': ['86EE'],
}).flatMap(([clause, ids]) => ids.map((id) => [id, clause])));

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
      const clause = OVERRULED.get(audit.id);
      if (!clause) return assert.equal(result.status, 'ok', result.reason);
      assert.notEqual(result.status, 'ok', `it passes, though ${clause}`);
      assert.equal(result.response.status, 422);
    });
  }
});
