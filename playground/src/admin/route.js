import { useSyncExternalStore } from 'react';

const subscribe = (listener) => {
  addEventListener('hashchange', listener);
  return () => removeEventListener('hashchange', listener);
};

/** `#/traces/abc?x=1` as `{ path: ['traces', 'abc'], params }`. */
export function useRoute() {
  const hash = useSyncExternalStore(subscribe, () => location.hash);
  const [path, query = ''] = hash.replace(/^#?\/?/, '').split('?');
  return { path: path.split('/').map(decode), params: new URLSearchParams(query) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const traceHref = (traceId) => `#/traces/${encodeURIComponent(traceId)}`;

/** The recent operations of a root field, among them the events of its subscriptions. */
export const operationsHref = (rootField) => `#/operations/recent?root_field=${encodeURIComponent(rootField)}`;

/** Changes a parameter of the current screen. */
export function setParam(name, value) {
  const [path, query = ''] = location.hash.split('?');
  const params = new URLSearchParams(query);
  if (value) params.set(name, value);
  else params.delete(name);
  const text = params.toString();
  location.hash = `${path || '#/operations'}${text ? `?${text}` : ''}`;
}
