import { useState } from 'react';
import { duration, number } from '../../trace/format.js';
import { Chart } from '../Chart.jsx';
import { DataTable } from '../DataTable.jsx';
import { samples, tick } from '../live.js';
import { Filter, Heading, Loading, Problem, Refresh, TraceLink } from '../parts.jsx';
import { useStore } from '../store.js';
import { useResource } from '../useResource.js';

const count = (key, title, hint) => ({ key, title, isNumber: true, format: number, hint });
const time = (key, title, hint) => ({ key, title, isNumber: true, format: duration, hint });
const minor = (column) => ({ ...column, isMinor: true });
const wait = (key, title, format = duration) => ({
  key: `wait-${key}`,
  title,
  isNumber: true,
  value: (row) => row.wait[key],
  cell: (row) => format(row.wait[key]),
});

const alarm = ({ timeouts }) => (timeouts > 0
  ? <span className="cx-badge cx-badge-error">{number(timeouts)}</span> : number(timeouts));

const poolColumns = [
  { key: 'name', title: 'Pool', isHeader: true },
  count('used', 'In use'), count('idle', 'Idle'), count('max', 'Max'),
  count('waiting', 'Waiting'),
  { key: 'timeouts', title: 'Time-outs', isNumber: true, cell: alarm },
  minor(count('acquired', 'Acquired', 'Connections handed out since the start')),
  wait('count', 'Waits', number), wait('mean', 'Mean wait'),
  minor(wait('p50', 'p50')), wait('p95', 'p95'), minor(wait('p99', 'p99')), wait('max', 'Longest'),
];

function statementColumns(open, toggle) {
  return [
    {
      key: 'summary',
      title: 'Statement',
      isHeader: true,
      cell: ({ summary, text }) => (
        <button type="button" className="cx-link" aria-expanded={open.has(text)} onClick={() => toggle(text)}>
          {summary}
        </button>
      ),
    },
    count('count', 'Count'), count('errors', 'Errors'), minor(count('rows', 'Rows')),
    time('total', 'Total'), time('mean', 'Mean'),
    minor(time('p50', 'p50')), time('p95', 'p95'), minor(time('p99', 'p99')), time('max', 'Max'),
    { key: 'slowest', title: 'Slowest', isFixed: true, cell: (row) => <TraceLink id={row.slowest_trace_id} /> },
  ];
}

function Statements({ statements }) {
  const [filter, setFilter] = useState('');
  const [open, setOpen] = useState(() => new Set());
  const toggle = (text) => setOpen((before) => {
    const changed = new Set(before);
    if (!changed.delete(text)) changed.add(text);
    return changed;
  });
  const wanted = filter.trim().toLowerCase();
  const rows = statements.filter(({ summary, text }) => `${summary} ${text}`.toLowerCase().includes(wanted));
  return (
    <section aria-labelledby="statements">
      <h2 id="statements">Statements since the start</h2>
      <div className="controls">
        <Filter label="Filter" value={filter} onChange={setFilter} />
        <span role="status" className="muted">{rows.length} of {statements.length}</span>
      </div>
      <DataTable
        caption="Statements"
        columns={statementColumns(open, toggle)}
        rows={rows}
        rowKey={(row) => row.text}
        initialSort={{ key: 'total', isDescending: true }}
        detail={(row) => open.has(row.text) && <pre className="sql">{row.text}</pre>}
        empty="No statements."
      />
    </section>
  );
}

function PoolCharts() {
  useStore(tick);
  const names = samples.names(/^pool\..+\.used$/).map((key) => key.slice('pool.'.length, -'.used'.length));
  return (
    <div className="charts">
      {names.map((name) => (
        <Chart
          key={name}
          title={`Connections of ${name}`}
          format={number}
          incrs={[1, 2, 5, 10, 20, 50, 100]}
          series={['used', 'idle', 'waiting'].map((it) => ({ key: `pool.${name}.${it}`, label: it === 'used' ? 'in use' : it }))}
        />
      ))}
    </div>
  );
}

export function Database() {
  const resource = useResource('database', undefined, { every: 5 });
  return (
    <>
      <Heading>Database</Heading>
      <div className="controls"><Refresh resource={resource} /></div>
      <Problem error={resource.error} />
      <Loading resource={resource} />
      {resource.data && (
        <section aria-labelledby="pools">
          <h2 id="pools">Pools</h2>
          <DataTable caption="Pools" columns={poolColumns} rows={resource.data.pools} rowKey={(row) => row.name} empty="No pools." />
        </section>
      )}
      <PoolCharts />
      {resource.data && <Statements statements={resource.data.statements} />}
    </>
  );
}
