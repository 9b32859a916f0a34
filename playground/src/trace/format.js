const none = '–';

const fixed = (value, digits) => value.toLocaleString('en-US', {
  minimumFractionDigits: digits,
  maximumFractionDigits: digits,
});

const digitsFor = (value) => (value >= 1000 ? 0 : 1);

/** Seconds as µs, ms, s or min. */
export function duration(seconds) {
  if (seconds == null) return none;
  if (seconds === 0) return '0 ms';
  if (seconds < 0.001) return `${fixed(seconds * 1e6, seconds < 1e-4 ? 1 : 0)} µs`;
  if (seconds < 1) return `${fixed(seconds * 1000, 1)} ms`;
  if (seconds < 120) return `${fixed(seconds, 2)} s`;
  if (seconds < 7200) return `${fixed(seconds / 60, 1)} min`;
  return `${fixed(seconds / 3600, 1)} h`;
}

export function bytes(size) {
  if (size == null) return none;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = size;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${fixed(value, unit === 0 ? 0 : digitsFor(value))} ${units[unit]}`;
}

export const number = (value) => (value == null ? none : value.toLocaleString('en-US'));

export const decimal = (value) => (value == null ? none : fixed(value, value >= 100 ? 0 : 2));

export const percent = (share) => (share == null ? none : `${fixed(share * 100, 1)} %`);

/** `1 row`, `2 rows`. */
export const count = (value, noun) => `${number(value)} ${noun}${value === 1 ? '' : 's'}`;

/** The time of day in UTC with milliseconds, of an RFC 3339 time. */
export function timeOfDay(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? none : date.toISOString().slice(11, 23);
}

/** An attribute's value as text. */
export const text = (value) => (typeof value === 'object' ? JSON.stringify(value) : String(value));
