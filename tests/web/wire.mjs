// What a client sends and gets, without a client: `fetch`, taken down, and faults that are real.
import { setTimeout as sleep } from 'node:timers/promises';

/** A `fetch` for a client, with the requests that went through it. */
export function recorder() {
  const requests = [];
  const recorded = async (input, init = {}) => {
    const response = await fetch(input, init);
    requests.push({
      method: init.method ?? 'GET',
      headers: new Headers(init.headers),
      body: init.body ? JSON.parse(init.body) : undefined,
      url: String(input),
      status: response.status,
    });
    return response;
  };
  return { fetch: recorded, requests };
}

/** Sends a document; its answer, as it came. */
export async function ask(url, query, variables) {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  return { status: response.status, headers: response.headers, ...await response.json() };
}

/** Of a service that is started with them, no connection is had for a while once it is asked to. */
export const fragile = ['--lab', '--pool-size', '2', '--pool-wait', '100ms'];

/** Takes all connections of such a service's pool for less than a second; queries are refused. */
export async function occupyPool(url) {
  const held = ask(url, '{ labExhaustPool(ms: 900) }');
  for (;;) {
    const answer = await ask(url, '{ books(first: 1) { nodes { id } } }');
    if (answer.status === 503) return { held, refusal: answer };
    await sleep(10);
  }
}

/** For how many milliseconds an answer asks its client to wait. */
export const retryAfter = (response) => 1000 * Number(response.headers.get('retry-after') ?? 1);
