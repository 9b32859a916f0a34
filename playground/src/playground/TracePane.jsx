import { TraceView } from '../trace/index.js';
import { useMarks } from './marks.js';
import { useRun } from './runs.js';

const messages = {
  none: () => 'Run an operation to see where its time goes.',
  subscribed: () => 'Waiting for events, each of which has a trace.',
  pending: () => 'Loading the trace…',
  loading: () => 'Loading the trace…',
  untraced: () => 'There is no trace: the response had no traceresponse. '
    + 'Tracing is switched off, or a proxy removed the header.',
  missing: ({ reason }) => (reason
    ? `There is no trace. ${reason}`
    : 'There is no trace: it is not stored any more, or the service does not serve traces.'),
  unreachable: () => 'There is no trace: the service cannot be reached.',
  failed: ({ code }) => `There is no trace: the service responded with status ${code}.`,
};

function Content({ run }) {
  const mark = useMarks(run.operationName);
  if (run.status === 'done') {
    const { trace } = run;
    return <TraceView key={`${trace.trace_id}${trace.start}`} trace={trace} onActive={mark} />;
  }
  return null;
}

function TracePane() {
  const run = useRun();
  return (
    <section className="cx cx-pane" aria-label="Trace">
      <h2 className="cx-pane-title">Trace</h2>
      <p role="status" className="cx-pane-status">{messages[run.status]?.(run) ?? ''}</p>
      <Content run={run} />
    </section>
  );
}

const TraceIcon = (props) => (
  <svg width="1em" height="1em" viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.5" {...props}>
    <path d="M1.5 3h9M4 6.500h5M6 10h8.500M9 13.500h4" strokeLinecap="round" />
  </svg>
);

export const TRACE_PLUGIN = { title: 'Trace', icon: TraceIcon, content: TracePane };
