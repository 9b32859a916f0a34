import { useCallback, useEffect, useMemo, useState } from 'react';
import { count, number, percent } from '../../trace/format.js';
import { DataTable } from '../DataTable.jsx';
import { buildFlame, hottest, matched, rootFields } from '../flame.js';
import { FlameGraph } from '../FlameGraph.jsx';
import { Choice, Filter, Heading, Problem } from '../parts.jsx';
import { useProfile } from '../useProfile.js';

const durations = ['1', '5', '10', '30', '60', '300'].map((it) => [it, `${it} s`]);
const hint = { 409: 'Wait until the other profile is finished.', 501: 'Profiles need Linux and a build with the feature profiles.' };

function Progress({ seconds, since, onCancel }) {
  const [now, setNow] = useState(since);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, []);
  const elapsed = Math.min((now - since) / 1000, seconds);
  return (
    <p className="controls">
      <progress max={seconds} value={elapsed} aria-label="Profile" />
      <span className="muted">
        {elapsed < seconds ? `${Math.floor(elapsed)} s of ${seconds} s` : 'Looking up the names of functions…'}
      </span>
      <button type="button" className="cx-button" onClick={onCancel}>Cancel</button>
    </p>
  );
}

const columns = (total) => [
  { key: 'name', title: 'Function', isHeader: true, cell: ({ name }) => <code>{name}</code> },
  { key: 'samples', title: 'Samples', isNumber: true, format: number },
  { key: 'share', title: 'Share', isNumber: true, value: ({ samples }) => samples, cell: ({ samples }) => percent(samples / total) },
];

function Hottest({ root }) {
  const rows = hottest(root, 20).map(([name, samples]) => ({ name, samples }));
  return (
    <section aria-labelledby="hottest">
      <h2 id="hottest">Functions with the most samples of their own</h2>
      <DataTable caption="Hottest functions" columns={columns(root.value)} rows={rows} rowKey={(row) => row.name} empty="None." />
    </section>
  );
}

function Graph({ profile }) {
  const [rootField, setRootField] = useState('');
  const [search, setSearch] = useState('');
  const [onlyOwn, setOnlyOwn] = useState(true);
  const root = useMemo(() => buildFlame(profile, rootField, onlyOwn), [profile, rootField, onlyOwn]);
  const fields = useMemo(() => rootFields(profile), [profile]);
  const wanted = search.trim().toLowerCase();
  const matches = useCallback((node) => wanted !== '' && node.name.toLowerCase().includes(wanted), [wanted]);
  const options = [['', 'all'], ...fields.map(([name, samples]) => [name, `${name}: ${percent(samples / profile.samples)}`])];
  if (profile.samples === 0) return <p>No samples: the CPU was idle for {profile.seconds} s.</p>;
  return (
    <>
      <p>{count(profile.samples, 'sample')} in {profile.seconds} s.</p>
      <div className="controls">
        <Choice label="Root field" value={rootField} options={options} onChange={setRootField} />
        <Filter label="Search" value={search} onChange={setSearch} />
        <label className="choice">
          <input type="checkbox" checked={onlyOwn} onChange={() => setOnlyOwn(!onlyOwn)} /> Begin at the service’s own code
        </label>
        <span role="status" className="muted">
          {wanted && `${percent(matched(root, matches) / root.value)} of the samples match`}
        </span>
      </div>
      <FlameGraph key={`${rootField} ${onlyOwn}`} root={root} matches={matches} />
      <Hottest root={root} />
    </>
  );
}

const statuses = {
  idle: 'Take a profile to see which functions use the CPU, and for which root field.',
  running: 'Taking samples.',
  done: 'The profile is complete.',
  failed: '',
  canceled: 'Canceled.',
};

export function Cpu() {
  const [seconds, setSeconds] = useState('5');
  const { state, take, cancel } = useProfile();
  const isRunning = state.status === 'running';
  return (
    <>
      <Heading>CPU</Heading>
      <div className="controls">
        <Choice label="Duration" value={seconds} options={durations} onChange={setSeconds} />
        <button type="button" className="cx-button primary" disabled={isRunning} onClick={() => take(Number(seconds))}>
          Take profile
        </button>
        <span role="status" className="muted">{statuses[state.status]}</span>
      </div>
      {isRunning && <Progress seconds={state.seconds} since={state.since} onCancel={cancel} />}
      <Problem error={state.error} hint={hint} />
      {state.profile && <Graph key={state.profile.samples} profile={state.profile} />}
    </>
  );
}
