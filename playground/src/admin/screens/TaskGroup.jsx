import { useState } from 'react';
import { count, duration } from '../../trace/format.js';
import { DataTable } from '../DataTable.jsx';
import { TraceLink } from '../parts.jsx';
import { withoutGenerics } from './taskGroups.js';

/** Rows shown at first: there may be a hundred thousand tasks. */
const page = 50;

const stateOf = (task) => (task.state === 'running'
  ? `worker ${task.worker} for ${duration(task.seconds)}${task.field ? `, in ${task.field}` : ''}`
  : task.state);

function Stack({ frames }) {
  return (
    <ol className="stack">
      {[...frames].reverse().map((frame, index) => (
        <li key={index}>
          <code>{withoutGenerics(frame.function)}</code>
          {frame.place && <span className="muted"> {frame.place}</span>}
        </li>
      ))}
    </ol>
  );
}

function columnsOf(open, toggle) {
  return [
    { key: 'id', title: 'Id', isNumber: true },
    { key: 'name', title: 'Task', isHeader: true },
    { key: 'operation', title: 'For', cell: ({ name, operation }) => (operation && operation !== name ? operation : '–') },
    { key: 'age', title: 'Age', isNumber: true, format: duration },
    { key: 'state', title: 'State', cell: stateOf },
    { key: 'trace', title: 'Trace', isFixed: true, cell: (task) => <TraceLink id={task.trace_id} /> },
    {
      key: 'stack',
      title: 'Stack',
      isFixed: true,
      cell: ({ id, stacks }) => (stacks?.length > 0 ? (
        <button type="button" className="cx-link" aria-expanded={open.has(id)} onClick={() => toggle(id)}>
          {open.has(id) ? 'Hide' : 'Show'}<span className="cx-hidden"> the stack of task {id}</span>
        </button>
      ) : '–'),
    },
  ];
}

/** The tasks that are at one place. */
export function TaskGroup({ group }) {
  const [open, setOpen] = useState(() => new Set());
  const [limit, setLimit] = useState(page);
  const toggle = (id) => setOpen((before) => {
    const changed = new Set(before);
    if (!changed.delete(id)) changed.add(id);
    return changed;
  });
  const { title, tasks } = group;
  return (
    <details className="group" open>
      <summary>
        <h2>{title}</h2> {group.function && <code className="muted">{group.function}</code>}
        <span className="count">{count(tasks.length, 'task')}</span>
      </summary>
      <DataTable
        caption={title}
        columns={columnsOf(open, toggle)}
        rows={tasks.slice(0, limit)}
        rowKey={(task) => task.id}
        detail={({ id, stacks }) => open.has(id)
          && stacks.map((frames, index) => <Stack key={index} frames={frames} />)}
      />
      {tasks.length > limit && (
        <button type="button" className="cx-button" onClick={() => setLimit(limit + 10 * page)}>
          Show more of {count(tasks.length, 'task')}
        </button>
      )}
    </details>
  );
}
