import { bytes, decimal, duration, number, percent } from '../../trace/format.js';
import { Chart } from '../Chart.jsx';
import { samples, tick } from '../live.js';
import { Heading } from '../parts.jsx';
import { useStore } from '../store.js';
import { SlowPolls } from './SlowPolls.jsx';

/** More lines than that cannot be told apart; the meters have each worker. */
const maxLines = 8;

const line = (key, label) => ({ key, label });
const workerName = (key) => key.replace(/^worker\.(\d+)\.busy$/, 'worker $1');

const powers = (base, steps) => Array.from({ length: 12 }, (_, power) => steps.map((step) => step * base ** power)).flat();
const whole = powers(10, [1, 2, 5]);
const binary = powers(4, [1024]);

const charts = [
  { title: 'Operations per second', format: number, incrs: whole, series: [line('operations', 'operations'), line('errors', 'failed')] },
  { title: 'Schedule latency', format: duration, series: [line('schedule.p50', 'p50'), line('schedule.p99', 'p99')] },
  { title: 'Poll time', format: duration, series: [line('poll.p50', 'p50'), line('poll.p99', 'p99')] },
  { title: 'Queues', format: number, incrs: whole, series: [line('queue.global', 'global'), line('queue.local', 'local'), line('queue.blocking', 'blocking')] },
  { title: 'Tasks', format: number, incrs: whole, series: [line('tasks', 'tasks')] },
  { title: 'Slow polls per second', format: number, incrs: whole, series: [line('slow_polls', 'slow polls')] },
  { title: 'CPU (cores)', format: decimal, series: [line('cpu', 'cores')] },
  { title: 'Memory', format: bytes, incrs: binary, series: [line('memory', 'resident')] },
];

function Workers() {
  useStore(tick);
  const keys = samples.names(/^worker\.\d+\.busy$/);
  return (
    <>
      {keys.length > 0 && (
        <Chart
          title="Workers' busy share"
          format={percent}
          max={1}
          series={keys.slice(0, maxLines).map((key) => line(key, workerName(key)))}
        />
      )}
      {keys.length > maxLines && (
        <ul className="meters" aria-label="Workers now">
          {keys.map((key) => (
            <li key={key}>{workerName(key)}: {percent(samples.values(key).at(-1))}</li>
          ))}
        </ul>
      )}
    </>
  );
}

export function Runtime() {
  return (
    <>
      <Heading>Runtime</Heading>
      <div className="charts">
        <Workers />
        {charts.map((chart) => <Chart key={chart.title} {...chart} />)}
      </div>
      <SlowPolls />
    </>
  );
}
