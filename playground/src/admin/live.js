// What the service reports of itself each second: one connection for the whole page.
import { get } from './api.js';
import { Samples } from './samples.js';
import { stream } from './sse.js';
import { createStore } from './store.js';

const maxSlowPolls = 100;
const firstDelay = 1000;
const longestDelay = 30_000;
/** A sample comes each second; after such a silence the connection is dead. */
const silence = 10_000;

export const samples = new Samples();
/** Counts samples, for those who show them. */
export const tick = createStore(0);
export const slowPolls = createStore([]);
/** `{ status: 'connecting' | 'live' | 'disconnected', retryAt }` */
export const connection = createStore({ status: 'connecting' });

/** Slow polls may come by the hundred: they are shown a few times a second at most. */
const pause = 300;
let newSlowPolls = [];
let timer = null;

function show() {
  timer = null;
  if (newSlowPolls.length > 0) slowPolls.set([...newSlowPolls, ...slowPolls.get()].slice(0, maxSlowPolls));
  newSlowPolls = [];
  tick.set(tick.get() + 1);
}

const showSoon = () => {
  timer ??= setTimeout(show, pause);
};

function onEvent(name, data) {
  if (name === 'sample') samples.push(data);
  else if (name === 'slow_poll') newSlowPolls = [data, ...newSlowPolls.slice(0, maxSlowPolls - 1)];
  showSoon();
}

async function loadPast(signal) {
  const [history, { slow_polls: past }] = await Promise.all([
    get('history', { signal }),
    get('slow-polls', { signal }),
  ]);
  samples.load(history);
  newSlowPolls = [];
  slowPolls.set(past.slice(0, maxSlowPolls));
  show();
}

/** One connection, until it breaks. */
async function connect(signal, onOpen) {
  const controller = new AbortController();
  const stop = () => controller.abort();
  signal.addEventListener('abort', stop);
  let deadline;
  const isAlive = () => {
    clearTimeout(deadline);
    deadline = setTimeout(stop, silence);
  };
  try {
    isAlive();
    await loadPast(controller.signal);
    await stream('events', controller.signal, {
      onOpen,
      onEvent(name, data) {
        isAlive();
        onEvent(name, data);
      },
    });
  } finally {
    clearTimeout(deadline);
    signal.removeEventListener('abort', stop);
  }
}

const wait = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener('abort', () => {
    clearTimeout(timer);
    resolve();
  }, { once: true });
});

/** Connects, and again with growing delays whenever the connection breaks, until the signal. */
export async function follow(signal) {
  let delay = firstDelay;
  const onOpen = () => {
    delay = firstDelay;
    connection.set({ status: 'live' });
  };
  connection.set({ status: 'connecting' });
  while (!signal.aborted) {
    await connect(signal, onOpen).catch(() => {});
    if (signal.aborted) return;
    connection.set({ status: 'disconnected', retryAt: Date.now() + delay });
    await wait(delay, signal);
    delay = Math.min(delay * 2, longestDelay);
  }
}
