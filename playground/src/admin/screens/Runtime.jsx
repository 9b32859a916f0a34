import { bytes, decimal, duration, number, percent } from '../../trace/format.js';
import { Chart } from '../Chart.jsx';
import { samples, tick } from '../live.js';
import { Heading } from '../parts.jsx';
import { useStore } from '../store.js';
import { SlowPolls } from './SlowPolls.jsx';

/** Of more workers, the lines cannot be told apart. */
const maxLines = 4;

const line = (key, label) => ({ key, label });
const workerName = (key) => key.replace(/^worker\.(\d+)\.busy$/, 'worker $1');
const ofMany = [line('workers.max', 'busiest'), line('workers.mean', 'mean'), line('workers.min', 'least busy')];

/** Distances of ticks. */
const whole = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();
const binary = Array.from({ length: 40 }, (_, power) => 2 ** power);

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
  const isMany = keys.length > maxLines;
  const series = isMany ? ofMany : keys.map((key) => line(key, workerName(key)));
  return (
    <>
      {keys.length > 0 && <Chart title="Workers' busy share" format={percent} max={1} series={series} />}
      {isMany && (
        <section className="chart" aria-labelledby="workers-now">
          <h2 id="workers-now">Workers now</h2>
          <ul className="meters">
            {keys.map((key) => <WorkerMeter key={key} name={workerName(key)} share={samples.values(key).at(-1)} />)}
          </ul>
        </section>
      )}
    </>
  );
}

const WorkerMeter = ({ name, share }) => (
  <li>
    <span className="fill" style={{ width: `${(share ?? 0) * 100}%` }} aria-hidden="true" />
    {name}<span className="share">{percent(share)}</span>
  </li>
);

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
