import { TaskBar } from '../../trace/Bar.jsx';
import { duration, number, timeOfDay } from '../../trace/format.js';
import { DataTable } from '../DataTable.jsx';
import { TraceLink } from '../parts.jsx';

// Of a trace without an operation, the root's name.
const nameOf = ({ type, name, root_field: rootField }) =>
  [type, name ?? (rootField ? `(${rootField})` : 'not understood')].filter(Boolean).join(' ');

function TaskTime({ row }) {
  if (row.busy === null) return '–';
  const text = `busy ${duration(row.busy)}, scheduled ${duration(row.scheduled)}, idle ${duration(row.idle)}`;
  return (
    <span className="task-time" title={text}>
      <span className="mini" aria-hidden="true"><TaskBar time={row} /></span>
      <span className="cx-hidden">{text}</span>
    </span>
  );
}

function SlowPolls({ row }) {
  if (!row.slow_polls) return number(row.slow_polls);
  return <span className="cx-badge">{number(row.slow_polls)} slow</span>;
}

const columns = [
  { key: 'start', title: 'Start (UTC)', cell: (row) => <time dateTime={row.start} title={row.start}>{timeOfDay(row.start)}</time> },
  { key: 'name', title: 'Operation', isHeader: true, value: nameOf, cell: (row) => <TraceLink id={row.trace_id}>{nameOf(row)}</TraceLink> },
  { key: 'root_field', title: 'Root field', isMinor: true, format: (it) => it ?? '–' },
  { key: 'duration', title: 'Duration', isNumber: true, format: duration },
  { key: 'busy', title: 'Busy, scheduled, idle', cell: (row) => <TaskTime row={row} /> },
  { key: 'longest_poll', title: 'Longest poll', isNumber: true, isMinor: true, format: duration },
  { key: 'slow_polls', title: 'Slow polls', isNumber: true, cell: (row) => <SlowPolls row={row} /> },
  { key: 'statements', title: 'SQL', isNumber: true, format: number, hint: 'Number of statements' },
  { key: 'error', title: 'Error', cell: ({ error }) => (error ? <span className="cx-badge cx-badge-error">{error}</span> : '–') },
  { key: 'kept', title: 'Kept as', isMinor: true, format: (it) => (it ?? '–').replace('_', ' ') },
];

const Key = () => (
  <p className="key muted" aria-hidden="true">
    {['busy', 'scheduled', 'idle'].map((state) => (
      <span key={state}><span className={`cx-swatch cx-${state}`} />{state}</span>
    ))}
  </p>
);

export function OperationTable({ operations }) {
  return (
    <>
      <DataTable
        caption="Operations"
        columns={columns}
        rows={operations}
        rowKey={(row) => row.trace_id + row.span_id}
        empty="No operations yet."
      />
      {operations.length > 0 && <Key />}
    </>
  );
}
