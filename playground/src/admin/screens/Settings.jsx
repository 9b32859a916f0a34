import { useState } from 'react';
import { DataTable } from '../DataTable.jsx';
import { Filter, Heading, Loading, Problem } from '../parts.jsx';
import { useResource } from '../useResource.js';

const code = (key) => (row) => (row[key] == null ? '–' : <code>{row[key]}</code>);

const columns = [
  { key: 'flag', title: 'Flag', isHeader: true, cell: code('flag') },
  { key: 'variable', title: 'Variable', cell: code('variable') },
  { key: 'value', title: 'Value', cell: code('value') },
  { key: 'source', title: 'Source', cell: ({ source }) => (source === 'default' ? 'default' : <strong>{source}</strong>) },
];

function List({ settings }) {
  const [filter, setFilter] = useState('');
  const [isOnlySet, setOnlySet] = useState(false);
  const wanted = filter.trim().toLowerCase();
  const rows = settings.filter((row) => (!isOnlySet || row.source !== 'default')
    && [row.flag, row.variable, row.value].join(' ').toLowerCase().includes(wanted));
  return (
    <>
      <div className="controls">
        <Filter label="Filter" value={filter} onChange={setFilter} />
        <label className="choice">
          <input type="checkbox" checked={isOnlySet} onChange={() => setOnlySet(!isOnlySet)} /> Without defaults
        </label>
        <span role="status" className="muted">{rows.length} of {settings.length}</span>
      </div>
      <DataTable caption="Settings" columns={columns} rows={rows} rowKey={(row) => row.flag ?? row.variable} empty="No settings." />
    </>
  );
}

export function Settings() {
  const resource = useResource('settings');
  return (
    <>
      <Heading>Settings</Heading>
      <Problem error={resource.error} />
      <Loading resource={resource} />
      {resource.data && <List settings={resource.data.settings} />}
    </>
  );
}
