import { duration, timeOfDay } from '../../trace/format.js';
import { DataTable } from '../DataTable.jsx';
import { slowPolls } from '../live.js';
import { TraceLink } from '../parts.jsx';
import { useStore } from '../store.js';

const columns = [
  { key: 'time', title: 'Time (UTC)', cell: ({ time }) => <time dateTime={time} title={time}>{timeOfDay(time)}</time> },
  { key: 'duration', title: 'Worker blocked for', isNumber: true, cell: (row) => `${duration(row.duration)}${row.ended ? '' : ' so far'}` },
  { key: 'worker', title: 'Worker', isNumber: true, format: (it) => it ?? '–' },
  { key: 'task', title: 'Task', isHeader: true, format: (it) => it ?? '–' },
  { key: 'field', title: 'Field', format: (it) => it ?? '–' },
  { key: 'trace', title: 'Trace', isFixed: true, cell: (row) => <TraceLink id={row.trace_id} /> },
];

function latest([first]) {
  return first ? `Latest: ${duration(first.duration)} in ${first.field ?? first.task ?? 'a task without a name'}` : '';
}

/** The last slow polls, as they happen. */
export function SlowPolls() {
  const rows = useStore(slowPolls);
  return (
    <section aria-labelledby="slow-polls">
      <h2 id="slow-polls">Slow polls</h2>
      <p role="status" className="muted">{latest(rows)}</p>
      <DataTable caption="Slow polls" columns={columns} rows={rows} isFixed empty="No slow polls." />
    </section>
  );
}
