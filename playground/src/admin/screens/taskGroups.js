/** Whether a frame is of the service's own code, as in the text of /debug/tasks. */
function isOwn({ function: name, place }) {
  return place ? place.startsWith('src/') : /^[<&*([]*colophon::/.test(name);
}

export const withoutGenerics = (name) => {
  const start = name.indexOf('<');
  return start > 0 ? name.slice(0, start) : name;
};

/** The innermost of the service's own frames, or the innermost; stacks begin with the outermost. */
export function placeOf(stack) {
  const frame = stack.findLast(isOwn) ?? stack.at(-1);
  if (!frame) return null;
  return { title: frame.place ?? frame.function, function: withoutGenerics(frame.function) };
}

const states = {
  running: { order: 0, title: 'Running on a worker' },
  scheduled: { order: 1, title: 'Woken, waiting for a worker' },
  ended: { order: 3, title: 'Ended during the dump' },
};

function groupOf({ state, stacks }) {
  if (states[state]) return states[state];
  const places = (stacks ?? []).map(placeOf).filter(Boolean);
  if (places.length === 0) return { order: 2, title: 'Parked, not in tokio' };
  const titles = [...new Set(places.map(({ title }) => title))];
  return { order: 2, title: `Parked at ${titles.join(' and ')}`, function: places[0].function };
}

/** Tasks by where they are: running first, then the place with most tasks. */
export function groupTasks(tasks) {
  const groups = new Map();
  for (const task of tasks) {
    const group = groupOf(task);
    const key = group.title;
    if (!groups.has(key)) groups.set(key, { key, ...group, tasks: [] });
    groups.get(key).tasks.push(task);
  }
  return [...groups.values()].sort((a, b) => a.order - b.order || b.tasks.length - a.tasks.length);
}

function words(task) {
  const frames = (task.stacks ?? []).flat().flatMap((frame) => [frame.function, frame.place]);
  return [task.name, task.operation, task.trace_id, task.field, task.state, ...frames];
}

export function matches(task, filter) {
  const wanted = filter.trim().toLowerCase();
  return wanted === '' || words(task).some((word) => word?.toLowerCase().includes(wanted));
}
