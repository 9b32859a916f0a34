import { useEffect } from 'react';
import { get } from './api.js';
import { auth } from './auth.js';
import { Shell } from './Shell.jsx';
import { useStore } from './store.js';
import { TokenForm } from './TokenForm.jsx';

/** Finds out whether the token, or none, is accepted. */
function useCheck(state) {
  useEffect(() => {
    if (state !== 'checking') return;
    const open = () => auth.get() === 'checking' && auth.set('open');
    // Of a service that cannot be reached, the screens say so.
    get('telemetry').then(open, (error) => error.status !== 401 && open());
  }, [state]);
}

export function App() {
  const state = useStore(auth);
  useCheck(state);
  if (state === 'open') return <Shell />;
  if (state === 'checking') return <main className="token"><p role="status">Loading…</p></main>;
  return <TokenForm isWrong={state === 'wrong'} />;
}
