import { duration, number } from '../../trace/format.js';
import { DataTable } from '../DataTable.jsx';
import { Heading, Loading, Problem, Refresh } from '../parts.jsx';
import { operationsHref } from '../route.js';
import { useResource } from '../useResource.js';

const missed = ({ dropped }) => (dropped > 0
  ? <span className="cx-badge cx-badge-error">{number(dropped)}</span> : number(dropped));

const columns = [
  { key: 'root_field', title: 'Root field', isHeader: true, cell: ({ root_field: name }) => <a href={operationsHref(name)}>{name}</a>, hint: 'Leads to the events' },
  { key: 'trace_id', title: 'Trace', isMinor: true, cell: ({ trace_id: id }) => (id ? <code>{id}</code> : '–') },
  { key: 'age', title: 'Open for', isNumber: true, format: duration },
  { key: 'events', title: 'Events', isNumber: true, format: number },
  { key: 'dropped', title: 'Missed', isNumber: true, cell: missed, hint: 'Events that the client missed, and was told to have missed' },
];

export function Subscriptions() {
  const resource = useResource('subscriptions', undefined, { every: 5 });
  return (
    <>
      <Heading>Subscriptions</Heading>
      <div className="controls">
        <Refresh resource={resource} />
        {resource.data && <span role="status" className="muted">{number(resource.data.open)} open</span>}
      </div>
      <Problem error={resource.error} />
      <Loading resource={resource} />
      {resource.data && (
        <DataTable
          caption="Open subscriptions"
          columns={columns}
          rows={resource.data.subscriptions}
          initialSort={{ key: 'age', isDescending: true }}
          empty="No subscription is open. The events of those that were are among the operations."
        />
      )}
    </>
  );
}
