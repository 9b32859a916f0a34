import { useCallback, useEffect, useState } from 'react';
import { get } from './api.js';

/**
 * What an endpoint responds with: `{ data, error, isLoading, reload }`. The data stay while they are loaded
 * again; `every` so many seconds, as long as the tab is visible.
 */
export function useResource(path, params, { every = 0 } = {}) {
  const key = JSON.stringify([path, params]);
  const [state, setState] = useState({ key });
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((it) => it + 1), []);

  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    let timer;
    let isFirst = true;
    const load = async () => {
      if (isFirst || !document.hidden) {
        isFirst = false;
        const result = await get(path, { params, signal }).then(
          (data) => ({ data }),
          (error) => ({ error }),
        );
        if (signal.aborted) return;
        setState((before) => ({ key, data: before.key === key ? before.data : undefined, ...result }));
      }
      if (every > 0) timer = setTimeout(load, every * 1000);
    };
    setState((before) => ({ ...(before.key === key ? before : { key }), isLoading: true }));
    load();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
    // `key` stands for path and params.
  }, [key, every, round]);

  const { data, error, isLoading } = state.key === key ? state : { isLoading: true };
  return { data, error, isLoading: isLoading && !error, reload };
}
