/** The distance of ticks, of which there are to be about so many: 1, 2 or 5 times a power of ten. */
export function tickStep(total, wanted = 5) {
  if (!(total > 0)) return 1;
  const rough = total / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((step) => step * power >= rough) ?? 10);
}

export function ticks(total, wanted) {
  const step = tickStep(total, wanted);
  const found = [];
  // The label of a later one would not fit.
  for (let at = 0; at <= total * 0.9; at += step) found.push(at);
  return found;
}

const clamp = (share) => Math.min(Math.max(share, 0), 1);

/** A stretch of time in percent of the whole. */
export function stretch(start, end, total) {
  const left = clamp(start / total) * 100;
  const right = clamp(end / total) * 100;
  return { left: `${left}%`, width: `${Math.max(right - left, 0)}%` };
}
