/** 15 minutes, a sample each second. */
const size = 900;

/** There are a few dozen: workers, pools, queues. */
const maxSeries = 500;

/** The last samples: `time` and a list of values for each series, all of the same length. */
export class Samples {
  time = [];
  series = new Map();

  load({ time, series }) {
    this.time = time.slice(-size);
    this.series = new Map(Object.entries(series).slice(0, maxSeries)
      .map(([name, values]) => [name, values.slice(-size)]));
  }

  push({ time, series }) {
    if (time <= (this.time.at(-1) ?? 0)) return;
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
