/** 15 minutes, a sample each second. */
const size = 900;

/** There are a few dozen: workers, pools, queues. */
const maxSeries = 500;

const isWorker = (name) => /^worker\.\d+\.busy$/.test(name);

/** A sample with the busiest, the mean and the least busy of its workers, for charts of many. */
function withWorkers(series) {
  const busy = Object.keys(series).filter(isWorker).map((name) => series[name]).filter((it) => it !== null);
  if (busy.length === 0) return series;
  return {
    ...series,
    'workers.max': Math.max(...busy),
    'workers.mean': busy.reduce((sum, it) => sum + it, 0) / busy.length,
    'workers.min': Math.min(...busy),
  };
}

/** The last samples: `time` and a list of values for each series, all of the same length. */
export class Samples {
  time = [];
  series = new Map();

  load({ time, series }) {
    this.time = [];
    this.series = new Map();
    const columns = Object.entries(series);
    for (let index = Math.max(0, time.length - size); index < time.length; index += 1) {
      const sample = Object.fromEntries(columns.map(([name, values]) => [name, values[index]]));
      this.push({ time: time[index], series: sample });
    }
  }

  push(sample) {
    const { time } = sample;
    if (time <= (this.time.at(-1) ?? 0)) return;
    const series = withWorkers(sample.series);
    for (const name of Object.keys(series)) this.add(name);
    this.time.push(time);
    for (const [name, values] of this.series) values.push(series[name] ?? null);
    if (this.time.length <= size) return;
    this.time.shift();
    for (const values of this.series.values()) values.shift();
  }

  add(name) {
    if (this.series.has(name) || this.series.size >= maxSeries) return;
    this.series.set(name, new Array(this.time.length).fill(null));
  }

  names(pattern) {
    return [...this.series.keys()].filter((name) => pattern.test(name))
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  }

  values(name) {
    return this.series.get(name) ?? new Array(this.time.length).fill(null);
  }
}
