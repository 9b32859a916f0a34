import { decimal, duration, number, percent } from '../../trace/format.js';
import { DataTable } from '../DataTable.jsx';
import { Loading, Problem, Refresh, TraceLink } from '../parts.jsx';
import { operationsHref } from '../route.js';

const total = ({ busy, scheduled, idle }) => busy + scheduled + idle || 1;
const share = (state) => (row) => row[state] / total(row);

const shareColumn = (state) => ({
  key: state,
  title: state[0].toUpperCase() + state.slice(1),
  isNumber: true,
  isMinor: true,
  value: share(state),
  cell: (row) => percent(share(state)(row)),
  hint: `Share of the operations' time that they were ${state}`,
});

const warning = (key, className) => ({ [key]: value }) =>
  (value > 0 ? <span className={`cx-badge ${className}`}>{number(value)}</span> : number(value));

const columns = [
  { key: 'root_field', title: 'Root field', isHeader: true, cell: ({ root_field: name }) => <a href={operationsHref(name)}>{name}</a> },
  { key: 'count', title: 'Count', isNumber: true, format: number },
  { key: 'rate', title: 'Rate (1/s)', isNumber: true, format: decimal, hint: 'Of the last minute' },
  { key: 'errors', title: 'Errors', isNumber: true, cell: warning('errors', 'cx-badge-error') },
  { key: 'slow_polls', title: 'Slow polls', isNumber: true, cell: warning('slow_polls', '') },
  ...['mean', 'p50', 'p95', 'p99', 'max'].map((key) => ({ key, title: key, isNumber: true, isMinor: key === 'mean', format: duration })),
  ...['busy', 'scheduled', 'idle'].map(shareColumn),
  { key: 'slowest', title: 'Slowest', isFixed: true, cell: (row) => <TraceLink id={row.slowest_trace_id} /> },
];

/** Counts and percentiles of all operations since the start. */
export function RootFields({ resource }) {
  const { data } = resource;
  return (
    <>
      <div className="controls">
        <span className="muted">All operations{data && ` since ${data.since.slice(0, 19).replace('T', ' ')} UTC`}</span>
        <Refresh resource={resource} />
      </div>
      <Problem error={resource.error} />
      <Loading resource={resource} />
      {data && (
        <DataTable
          caption="Operations by root field"
          columns={columns}
          rows={data.root_fields}
          rowKey={(row) => row.root_field}
          initialSort={{ key: 'count', isDescending: true }}
          empty="No operations yet."
        />
      )}
    </>
  );
}
