// Pieces that several screens are made of.
import { reasonOf } from './api.js';
import { traceHref } from './route.js';

export const Heading = ({ children }) => <h1 tabIndex={-1}>{children}</h1>;

/** An error's line of text, which has no full stop, as a sentence. */
function sentence(text) {
  const line = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(line) ? line : `${line}.`;
}

/** Why there is nothing to show, or not the latest. */
export function Problem({ error, hint }) {
  if (!error) return null;
  const note = hint?.[error.status];
  return (
    <p role="alert" className="problem">
      <strong>Not available{error.status ? ` (status ${error.status})` : ''}.</strong>{' '}
      {sentence(reasonOf(error))} {note}
    </p>
  );
}

export function Loading({ resource }) {
  return resource.isLoading && !resource.data ? <p className="muted">Loading…</p> : null;
}

/** `isExclusive`: what loads is made once at a time. The button keeps the focus meanwhile. */
export function Refresh({ resource: { isLoading, reload }, isExclusive = false }) {
  const waits = isExclusive && isLoading;
  return (
    <button type="button" className="cx-button" aria-disabled={waits || undefined} onClick={waits ? undefined : reload}>
      Refresh
    </button>
  );
}

export function TraceLink({ id, children }) {
  if (!id) return '–';
  return <a href={traceHref(id)}>{children ?? <code>{id.slice(0, 8)}</code>}</a>;
}

/** A term and its value. */
export function Facts({ facts }) {
  return (
    <dl className="facts">
      {facts.filter(Boolean).map(([term, value]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Choice({ label, value, options, onChange }) {
  return (
    <label className="choice">
      {label}{' '}
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        {options.map(([key, text]) => <option key={key} value={key}>{text}</option>)}
      </select>
    </label>
  );
}

export function Filter({ label, value, onChange, children }) {
  return (
    <label className="choice">
      {label}{' '}
      <input type="search" value={value} onChange={(event) => onChange(event.target.value)} />
      {children}
    </label>
  );
}

export function StoreFacts({ store, formats: { bytes, number } }) {
  return (
    <p className="muted">
      Trace store: {number(store.traces)} traces in {bytes(store.bytes)} of {bytes(store.limit)};{' '}
      {number(store.recorded)} recorded since the start, {number(store.dropped)} dropped.
    </p>
  );
}
