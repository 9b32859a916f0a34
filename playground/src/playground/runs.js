// The last operation that was run, and its trace.
import { useSyncExternalStore } from 'react';

/** Milliseconds: the spans end before the response is sent, but a slow poll is logged after it. */
const delay = 20;
/** Milliseconds. */
const patience = 10_000;

let state = { status: 'none' };
let isLoading = false;
const listeners = new Set();

function set(changed) {
  state = changed;
  for (const listener of listeners) listener();
}

function subscribe(listener) {
  listeners.add(listener);
  load();
  return () => listeners.delete(listener);
}

export const useRun = () => useSyncExternalStore(subscribe, () => state);

const wait = (ms) => new Promise((resolve) => {
  setTimeout(resolve, ms);
});

/** Why there is no trace, or null where the response does not say. */
async function reasonOf(response) {
  const { error } = await response.json().catch(() => ({}));
  return error && error !== 'not found' ? error : null;
}

async function fetchTrace(traceresponse) {
  const url = new URL(`trace/${encodeURIComponent(traceresponse)}`, document.baseURI);
  await wait(delay);
  const signal = AbortSignal.timeout(patience);
  const response = await fetch(url, { headers: { Accept: 'application/json' }, signal });
  if (response.ok) return { status: 'done', trace: await response.json() };
  if (response.status !== 404) return { status: 'failed', code: response.status };
  return { status: 'missing', reason: await reasonOf(response) };
}

/** Loads the trace of the last operation, once the pane is open; one at a time, however fast events come. */
async function load() {
  if (isLoading || state.status !== 'pending' || listeners.size === 0) return;
  const { operationName, traceresponse } = state;
  const loading = { operationName, status: 'loading' };
  set(loading);
  isLoading = true;
  const found = await fetchTrace(traceresponse).catch(() => ({ status: 'unreachable' }));
  isLoading = false;
  if (state === loading) set({ operationName, ...found });
  // Another one was run meanwhile.
  else load();
}

/** Called when a subscription begins. */
export const awaitEvents = ({ operationName }) => set({ operationName, status: 'subscribed' });

/** Called when an operation has been run, or an event came, whose response had this header or extension or none. */
export function follow({ operationName }, traceresponse) {
  set(traceresponse ? { operationName, status: 'pending', traceresponse } : { operationName, status: 'untraced' });
  load();
}
