import { useCallback, useEffect, useRef, useState } from 'react';
import { get } from './api.js';

/** Takes profiles: `{ status: 'idle' | 'running' | 'done' | 'failed' | 'canceled', … }`, `take` and `cancel`. */
export function useProfile() {
  const [state, setState] = useState({ status: 'idle' });
  const controller = useRef(null);
  const cancel = useCallback(() => controller.current?.abort(), []);
  useEffect(() => cancel, [cancel]);
  const take = useCallback(async (seconds) => {
    cancel();
    const own = new AbortController();
    controller.current = own;
    setState({ status: 'running', seconds, since: Date.now() });
    try {
      const profile = await get('profile', { params: { seconds }, signal: own.signal });
      setState({ status: 'done', profile });
    } catch (error) {
      if (controller.current === own) setState(own.signal.aborted ? { status: 'canceled' } : { status: 'failed', error });
    }
  }, [cancel]);
  return { state, take, cancel };
}
