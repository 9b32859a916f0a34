import { useRef } from 'react';
import { CopyButton } from './CopyButton.jsx';
import { categoryOf, findingLabels, labels, taskTime } from './describe.js';
import { duration, percent, timeOfDay } from './format.js';
import { Waterfall } from './Waterfall.jsx';

function Summary({ trace }) {
  return (
    <div className="cx-summary">
      <p>
        <strong>{duration(trace.duration)}</strong>, started at{' '}
        <time dateTime={trace.start} title={trace.start}>{timeOfDay(trace.start)} UTC</time>
        {trace.kept && `, kept as ${trace.kept.replace('_', ' ')}`}
      </p>
      <p>
        Trace <code>{trace.trace_id}</code>{' '}
        <CopyButton text={trace.trace_id} label="Copy trace id" />{' '}
        {trace.backend_url && (
          <a href={trace.backend_url} target="_blank" rel="noreferrer">Open in the tracing back end</a>
        )}
      </p>
    </div>
  );
}

function Findings({ findings, onShow }) {
  if (findings.length === 0) return <p className="cx-fine">No problems found.</p>;
  return (
    <ul className="cx-findings" aria-label="Findings">
      {findings.map(({ kind, span_id: id, message }, index) => (
        <li key={index} className={kind === 'error' ? 'cx-finding-error' : undefined}>
          <span className={kind === 'error' ? 'cx-badge cx-badge-error' : 'cx-badge'}>
            {findingLabels[kind] ?? kind}
          </span>{' '}
          <span className="cx-message">{message}</span>{' '}
          {id && (
            <button type="button" className="cx-link" onClick={() => onShow(id)}>
              Show<span className="cx-hidden"> {findingLabels[kind] ?? kind} in the waterfall</span>
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

function TaskTime({ time }) {
  const total = time.busy + time.scheduled + time.idle || 1;
  const meanings = { busy: 'on a worker', scheduled: 'waiting for a worker', idle: 'waiting for I/O' };
  return (
    <ul className="cx-legend" aria-label="Time of the task">
      {Object.entries(meanings).map(([state, meaning]) => (
        <li key={state} title={meaning}>
          <span className={`cx-swatch cx-${state}`} aria-hidden="true" />
          {state} {duration(time[state])} ({percent(time[state] / total)})
        </li>
      ))}
      {time.longestPoll > 0 && <li>longest poll {duration(time.longestPoll)}</li>}
    </ul>
  );
}

function Legend({ categories }) {
  return (
    <ul className="cx-legend" aria-label="Kinds of spans">
      {categories.map((category) => (
        <li key={category}>
          <span className={`cx-swatch cx-bg-${category}`} aria-hidden="true" />
          {labels[category]}
        </li>
      ))}
    </ul>
  );
}

/** A trace: what is wrong with it, and where its time went. */
export function TraceView({ trace, onActive, traceHref }) {
  const waterfall = useRef(null);
  const categories = new Set(trace.spans.map(categoryOf));
  const operation = trace.spans.find((span) => categoryOf(span) === 'operation');
  const time = operation && taskTime(operation);
  return (
    <div className="cx-trace">
      <Summary trace={trace} />
      <Findings findings={trace.findings} onShow={(id) => waterfall.current?.show(id)} />
      {time && <TaskTime time={time} />}
      <Waterfall ref={waterfall} trace={trace} onActive={onActive} traceHref={traceHref} />
      <Legend categories={Object.keys(labels).filter((it) => categories.has(it) && it !== 'operation')} />
    </div>
  );
}
