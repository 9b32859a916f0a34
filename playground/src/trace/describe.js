// What a span is, by the attributes that docs/telemetry.md lists.
import { count, duration, number } from './format.js';

export const labels = {
  http: 'HTTP',
  operation: 'operation',
  phase: 'phase',
  field: 'field',
  batch: 'batch',
  sql: 'SQL',
  pool: 'wait',
  internal: 'span',
  log: 'log',
};

const operationNames = new Set(['query', 'mutation', 'subscription', 'GraphQL Operation']);

export function categoryOf({ name, attributes }) {
  const has = (key) => attributes[key] !== undefined;
  if (name === 'db.pool.acquire') return 'pool';
  if (has('db.system.name') || has('db.query.text')) return 'sql';
  if (has('graphql.dataloader.name')) return 'batch';
  if (has('graphql.selection.path')) return 'field';
  if (has('graphql.processing.type')) return 'phase';
  if (operationNames.has(name) || has('graphql.operation.type')) return 'operation';
  if (has('http.request.method') || has('http.route')) return 'http';
  return 'internal';
}

const titles = {
  operation: ({ name, attributes }) =>
    [attributes['graphql.operation.type'] ?? name, attributes['graphql.operation.name']]
      .filter(Boolean).join(' '),
  phase: ({ name }) => name.replace(/^GraphQL (Document |Operation )?/, ''),
  batch: ({ attributes }) => `batch ${attributes['graphql.dataloader.name']}`,
  sql: ({ name, attributes }) => attributes['db.query.summary'] ?? name,
  pool: ({ attributes }) =>
    `wait for a connection of ${attributes['db.client.connection.pool.name'] ?? 'the pool'}`,
};

export const titleOf = (category, span) => titles[category]?.(span) ?? span.name;

/** Where the time of the operation's task went, or null where it is not known. */
export function taskTime({ attributes }) {
  const of = (name) => attributes[`tokio.task.${name}`];
  if (of('busy') === undefined) return null;
  return {
    busy: of('busy'),
    scheduled: of('scheduled') ?? 0,
    idle: of('idle') ?? 0,
    polls: of('polls') ?? 0,
    slowPolls: of('slow_polls') ?? 0,
    longestPoll: of('longest_poll') ?? 0,
  };
}

function operationNote(span) {
  const time = taskTime(span);
  if (!time) return span.attributes['graphql.root_field'] ?? '';
  const parts = [
    `busy ${duration(time.busy)}`,
    `scheduled ${duration(time.scheduled)}`,
    `idle ${duration(time.idle)}`,
    count(time.polls, 'poll'),
  ];
  if (time.slowPolls > 0) parts.push(`${number(time.slowPolls)} slow`);
  return parts.join(', ');
}

function fieldNote(span) {
  const { attributes } = span;
  const calls = attributes['graphql.field.calls'];
  if (calls === undefined) return '';
  const parts = [count(calls, 'call'), `total ${duration(span.duration)}`];
  const longest = attributes['graphql.field.duration.max'];
  // A call begins a little before the span that is made for it.
  if (longest !== undefined) parts.push(`longest ${duration(Math.min(longest, span.duration))}`);
  const errors = attributes['graphql.field.errors'];
  if (errors > 0) parts.push(`${number(errors)} failed`);
  return parts.join(', ');
}

const notes = {
  http: ({ attributes }) => {
    const status = attributes['http.response.status_code'];
    return status === undefined ? '' : `status ${status}`;
  },
  operation: operationNote,
  field: fieldNote,
  batch: ({ attributes }) => {
    const size = attributes['graphql.dataloader.batch.size'];
    return size === undefined ? '' : count(size, 'key');
  },
  sql: ({ attributes }) => {
    const rows = attributes['db.response.returned_rows'];
    return rows === undefined ? '' : count(rows, 'row');
  },
};

export const noteOf = (category, span) => notes[category]?.(span) ?? '';

export const findingLabels = {
  n_plus_one: 'N+1',
  pool_wait: 'Pool wait',
  slow_poll: 'Slow poll',
  late_schedule: 'Late schedule',
  slow_statement: 'Slow statement',
  error: 'Error',
};
