import { useState } from 'react';
import { bytes, number } from '../../trace/format.js';
import { Choice, Heading, Loading, Problem, Refresh, StoreFacts } from '../parts.jsx';
import { setParam } from '../route.js';
import { useResource } from '../useResource.js';
import { OperationTable } from './OperationTable.jsx';
import { RootFields } from './RootFields.jsx';

const lists = [
  ['recent', 'Recent', { order: 'recent', only: 'all' }],
  ['slowest', 'Slowest', { order: 'slowest', only: 'all' }],
  ['failed', 'Failed', { order: 'recent', only: 'failed' }],
  ['slow-polls', 'With slow polls', { order: 'recent', only: 'slow_polls' }],
  ['root-fields', 'By root field'],
];

const limits = ['20', '100', '300', '1000'].map((limit) => [limit, limit]);
const storeOff = { 404: 'Set --trace-store (COLOPHON_TRACE_STORE) to a size in MiB to keep traces.' };

function Lists({ current, params }) {
  const rootField = params.get('root_field');
  const query = rootField ? `?root_field=${encodeURIComponent(rootField)}` : '';
  return (
    <nav className="lists" aria-label="Lists of operations">
      {lists.map(([name, title]) => (
        <a key={name} href={`#/operations/${name}${query}`} aria-current={name === current ? 'page' : undefined}>
          {title}
        </a>
      ))}
    </nav>
  );
}

function RootFieldChoice({ value, resource }) {
  const names = (resource.data?.root_fields ?? []).map((it) => it.root_field).sort();
  if (value && !names.includes(value)) names.unshift(value);
  const options = [['', 'all'], ...names.map((name) => [name, name])];
  return <Choice label="Root field" value={value} options={options} onChange={(it) => setParam('root_field', it)} />;
}

function List({ query, params, rootFields }) {
  const [isLive, setLive] = useState(true);
  const rootField = params.get('root_field') ?? '';
  const limit = params.get('limit') ?? '100';
  const resource = useResource('operations', { ...query, root_field: rootField, limit }, { every: isLive ? 2 : 0 });
  return (
    <>
      <div className="controls">
        <RootFieldChoice value={rootField} resource={rootFields} />
        <Choice label="Show" value={limit} options={limits} onChange={(it) => setParam('limit', it)} />
        <label className="choice">
          <input type="checkbox" checked={isLive} onChange={() => setLive(!isLive)} /> Update every 2 s
        </label>
        <Refresh resource={resource} />
      </div>
      <Problem error={resource.error} hint={storeOff} />
      <Loading resource={resource} />
      {resource.data && (
        <>
          <OperationTable operations={resource.data.operations} />
          <StoreFacts store={resource.data.store} formats={{ bytes, number }} />
        </>
      )}
    </>
  );
}

export function Operations({ path: [name = 'recent'], params }) {
  const [current, title, query] = lists.find(([it]) => it === name) ?? lists[0];
  const rootFields = useResource('root-fields', undefined, { every: 5 });
  return (
    <>
      <Heading>Operations<span className="cx-hidden">: {title}</span></Heading>
      <Lists current={current} params={params} />
      {query
        ? <List key={current} query={query} params={params} rootFields={rootFields} />
        : <RootFields resource={rootFields} />}
    </>
  );
}
