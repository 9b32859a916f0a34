import { bytes, duration, number, percent } from '../../trace/format.js';
import { DataTable } from '../DataTable.jsx';
import { Facts, Heading, Loading, Problem, Refresh } from '../parts.jsx';
import { useResource } from '../useResource.js';

const amount = (key, title) => ({ key, title, isNumber: true, format: number });

const columns = [
  { key: 'signal', title: 'Signal', isHeader: true },
  { key: 'destination', title: 'Destination', cell: ({ destination }) => <code>{destination}</code> },
  amount('produced', 'Produced'),
  amount('exported', 'Exported'),
  { key: 'lost', title: 'Lost', isNumber: true, cell: ({ lost }) => (lost > 0
    ? <span className="cx-badge cx-badge-error">{number(lost)} lost</span> : number(lost)) },
  amount('queued', 'Queued'),
];

function Service({ service }) {
  return (
    <Facts
      facts={[
        ['Service', service.name],
        ['Version', service.version],
        ['Instance', <code>{service.instance}</code>],
        ['Uptime', duration(service.uptime)],
      ]}
    />
  );
}

function Store({ store }) {
  if (!store) return <p>Switched off. Set --trace-store (COLOPHON_TRACE_STORE) to a size in MiB.</p>;
  const label = `${bytes(store.bytes)} of ${bytes(store.limit)} (${percent(store.bytes / store.limit)})`;
  return (
    <Facts
      facts={[
        ['Memory', <><meter min={0} max={store.limit} value={store.bytes} aria-label="Memory of the trace store" /> {label}</>],
        ['Traces', number(store.traces)],
        ['Recorded since the start', number(store.recorded)],
        ['Dropped', number(store.dropped)],
      ]}
    />
  );
}

export function Telemetry() {
  const resource = useResource('telemetry', undefined, { every: 5 });
  const { data } = resource;
  return (
    <>
      <Heading>Telemetry</Heading>
      <div className="controls"><Refresh resource={resource} /></div>
      <Problem error={resource.error} />
      <Loading resource={resource} />
      {data && (
        <>
          <Service service={data.service} />
          <section aria-labelledby="signals">
            <h2 id="signals">Signals since the start</h2>
            <DataTable caption="Signals" columns={columns} rows={data.signals} rowKey={(row) => row.signal} empty="None." />
            <p className="muted">
              Of metrics, data points are counted. Prometheus scrape at <code>/metrics</code>: {data.scrape ? 'on' : 'off'}.
            </p>
          </section>
          <section aria-labelledby="store">
            <h2 id="store">Trace store</h2>
            <Store store={data.trace_store} />
          </section>
        </>
      )}
    </>
  );
}
