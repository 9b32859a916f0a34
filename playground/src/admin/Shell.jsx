import { useEffect, useRef, useState } from 'react';
import { forgetToken, token } from './auth.js';
import { connection, follow } from './live.js';
import { useRoute } from './route.js';
import { screens } from './screens/index.js';
import { useStore } from './store.js';
import { nextTheme, theme } from './theme.js';

function nextAttempt(time) {
  const seconds = Math.ceil((time - Date.now()) / 1000);
  return seconds > 0 ? `next attempt in ${seconds} s` : 'connecting';
}

function Connection() {
  const { status, retryAt } = useStore(connection);
  const [, setNow] = useState(0);
  useEffect(() => {
    if (!retryAt) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [retryAt]);
  const texts = { connecting: 'Connecting', live: 'Live', disconnected: 'Disconnected' };
  return (
    <span className={`connection ${status}`}>
      <span role="status">{texts[status]}</span>
      {retryAt && <span className="muted">, {nextAttempt(retryAt)}</span>}
    </span>
  );
}

function Header({ current }) {
  const chosen = useStore(theme);
  return (
    <header className="top">
      <span className="brand">Colophon <span className="muted">admin</span></span>
      <nav aria-label="Screens">
        {screens.filter(({ isHidden }) => !isHidden).map(({ name, title }) => (
          <a key={name} href={`#/${name}`} aria-current={name === current ? 'page' : undefined}>{title}</a>
        ))}
      </nav>
      <div className="tools">
        <Connection />
        <button type="button" className="cx-button" onClick={nextTheme}>Theme: {chosen}</button>
        {token() !== null && (
          <button type="button" className="cx-button" onClick={forgetToken}>Forget token</button>
        )}
      </div>
    </header>
  );
}

/** On another screen, reading starts at its heading. */
function useFocusOnHeading(name) {
  const main = useRef(null);
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) main.current?.querySelector('h1')?.focus();
    isFirst.current = false;
  }, [name]);
  return main;
}

export function Shell() {
  const { path, params } = useRoute();
  const screen = screens.find(({ name }) => name === path[0]) ?? screens[0];
  const main = useFocusOnHeading(path.join('/'));
  useEffect(() => {
    const controller = new AbortController();
    follow(controller.signal);
    return () => controller.abort();
  }, []);
  useEffect(() => {
    document.title = `${screen.title} · Colophon admin`;
  }, [screen]);
  return (
    <>
      <Header current={screen.parent ?? screen.name} />
      <main ref={main}>
        <screen.Screen key={screen.name} path={path.slice(1)} params={params} />
      </main>
    </>
  );
}
