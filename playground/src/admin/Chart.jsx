import { useEffect, useId, useRef, useState } from 'react';
import uPlot from 'uplot';
import { samples, tick } from './live.js';
import { useStore } from './store.js';
import { isDark } from './theme.js';

const height = 140;
const colors = ['--operation', '--slow', '--field', '--batch', '--sql', '--error', '--pool', '--http'];
const dashes = [[], [6, 3], [2, 2], [8, 3, 2, 3]];

/** A color of tokens.css as the canvas understands it. */
function resolve(element, name) {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const dataOf = (series) => [samples.time, ...series.map(({ key }) => samples.values(key))];

const clock = (time) => new Date(time * 1000).toLocaleTimeString('en-GB');

function optionsOf(element, series, { format, max, incrs }, onCursor) {
  const grid = { stroke: resolve(element, '--border'), width: 1 };
  const axis = { stroke: resolve(element, '--muted'), grid, ticks: { ...grid, size: 4 }, font: '11px system-ui' };
  return {
    width: element.clientWidth,
    height,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: 'live' }, drag: { x: false, y: false }, points: { size: 5 } },
    scales: { y: { range: (_, low, high) => [Math.min(low ?? 0, 0), max ?? (Math.max(high ?? 0, 0) * 1.1 || 1)] } },
    axes: [
      { ...axis, size: 26, space: 70, values: (_, times) => times.map((time) => clock(time).slice(0, 5)) },
      { ...axis, size: 62, space: 28, incrs, values: (_, values) => values.map((it) => format(it).replace('.0 ', ' ')) },
    ],
    series: [{}, ...series.map((_, index) => ({
      stroke: resolve(element, colors[index % colors.length]),
      dash: dashes[index % dashes.length],
      width: 1.5,
      points: { show: false },
    }))],
    hooks: { setCursor: [({ cursor: { idx } }) => onCursor(idx ?? null)] },
  };
}

function usePlot(series, unit, onCursor) {
  const place = useRef(null);
  const dark = useStore(isDark);
  const names = series.map(({ key }) => key).join();
  useEffect(() => {
    const element = place.current;
    const plot = new uPlot(optionsOf(element, series, unit, onCursor), dataOf(series), element);
    const stop = tick.subscribe(() => plot.setData(dataOf(series)));
    const observer = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      stop();
      observer.disconnect();
      plot.destroy();
    };
    // `names` stands for the series.
  }, [names, dark]);
  return place;
}

const largest = (values) => values.reduce((max, value) => (value > max ? value : max), 0);

function Legend({ series, format, at }) {
  useStore(tick);
  const time = samples.time.at(at ?? -1);
  return (
    <table className="legend">
      <thead>
        <tr>
          <th scope="col"><span className="cx-hidden">Series</span></th>
          <th scope="col" className="number">{at === null || time === undefined ? 'now' : clock(time)}</th>
          <th scope="col" className="number">max</th>
        </tr>
      </thead>
      <tbody>
        {series.map(({ key, label }, index) => {
          const values = samples.values(key);
          return (
            <tr key={key}>
              <th scope="row"><Swatch index={index} />{label}</th>
              <td className="number">{format(values.at(at ?? -1))}</td>
              <td className="number">{format(values.length > 0 ? largest(values) : null)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

const Swatch = ({ index }) => (
  <svg className="stroke" width="22" height="8" aria-hidden="true">
    <line
      x1="0" x2="22" y1="4" y2="4" strokeWidth="2.500"
      strokeDasharray={dashes[index % dashes.length].join(' ')}
      style={{ stroke: `var(${colors[index % colors.length]})` }}
    />
  </svg>
);

/** The last 15 minutes of some series, live; its legend has the figures as text. */
export function Chart({ title, series, format, max, incrs }) {
  const id = useId();
  const [cursor, setCursor] = useState(null);
  const place = usePlot(series, { format, max, incrs }, setCursor);
  return (
    <section className="chart" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      <div ref={place} className="plot" role="img" aria-label={`${title}, the last 15 minutes; figures below`} />
      <Legend series={series} format={format} at={cursor} />
    </section>
  );
}
