import { taskTime } from './describe.js';
import { stretch } from './axis.js';

const states = ['busy', 'scheduled', 'idle'];

/** Busy, scheduled and idle as shares of a bar. */
export function TaskBar({ time }) {
  const total = states.reduce((sum, state) => sum + (time[state] ?? 0), 0);
  if (total <= 0) return null;
  return states.map((state) => (
    <span key={state} className={`cx-state cx-${state}`} style={{ width: `${(time[state] / total) * 100}%` }} />
  ));
}

const eventMarks = (node, total) => (node.span?.events ?? []).map((event, index) => (
  <span
    key={index}
    className={`cx-mark ${event.name === 'exception' ? 'cx-mark-error' : ''}`}
    style={{ left: stretch(event.offset, event.offset, total).left }}
    title={event.name}
  />
));

const severityClass = (severity) => `cx-severity-${severity.toLowerCase().replace(/\d/g, '')}`;

/** The time of a span, a group of them or a log line, on the time axis. */
export function Bar({ node, total }) {
  if (node.type === 'log') {
    return (
      <span
        className={`cx-mark cx-mark-log ${severityClass(node.log.severity)}`}
        style={{ left: stretch(node.start, node.start, total).left }}
      />
    );
  }
  if (node.type === 'group') {
    return node.children.slice(0, 500).map((child) => (
      <span key={child.id} className={`cx-bar cx-bg-${child.category}`} style={stretch(child.start, child.end, total)} />
    ));
  }
  const time = node.category === 'operation' ? taskTime(node.span) : null;
  return (
    <>
      <span
        className={`cx-bar cx-bg-${node.category} ${node.isError ? 'cx-bar-error' : ''}`}
        style={stretch(node.start, node.end, total)}
      >
        {time && <TaskBar time={time} />}
      </span>
      {eventMarks(node, total)}
    </>
  );
}
