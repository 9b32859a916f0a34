import { categoryOf, noteOf, titleOf } from './describe.js';
import { count, duration } from './format.js';

/** So many like spans in a row are shown as one, which can be expanded. */
const groupFrom = 5;

function spanNode(span, findings) {
  const category = categoryOf(span);
  return {
    id: span.span_id,
    type: 'span',
    category,
    span,
    title: titleOf(category, span),
    note: noteOf(category, span),
    start: span.offset,
    end: span.offset + span.duration,
    isError: span.error,
    findings: findings.get(span.span_id) ?? [],
    children: [],
    parent: null,
  };
}

const logNode = (log, index) => ({
  id: `log-${index}`,
  type: 'log',
  category: 'log',
  log,
  title: log.message,
  note: '',
  start: log.offset,
  end: log.offset,
  isError: log.severity.startsWith('ERROR') || log.severity.startsWith('FATAL'),
  findings: [],
  children: [],
  parent: null,
});

function groupNode(nodes) {
  const total = nodes.reduce((sum, { start, end }) => sum + end - start, 0);
  const longest = Math.max(...nodes.map(({ start, end }) => end - start));
  const [first] = nodes;
  const group = {
    ...first,
    id: `group-${first.id}`,
    type: 'group',
    note: `${count(nodes.length, 'span')}, total ${duration(total)}, longest ${duration(longest)}`,
    end: Math.max(...nodes.map(({ end }) => end)),
    isError: nodes.some(({ isError }) => isError),
    findings: [...new Map(nodes.flatMap(({ findings }) => findings).map((it) => [it.kind, it])).values()],
    children: nodes,
  };
  for (const node of nodes) node.parent = group;
  return group;
}

const byStart = (a, b) => a.start - b.start;

const isAlike = (a, b) => a.title === b.title && a.category === b.category
  && a.children.length === 0 && b.children.length === 0;

function group(children) {
  const runs = [];
  for (const child of children.filter(({ type }) => type === 'span')) {
    const run = runs.at(-1);
    if (run && isAlike(run[0], child)) run.push(child);
    else runs.push([child]);
  }
  const spans = runs.flatMap((run) => (run.length < groupFrom ? run : [groupNode(run)]));
  // A log line between two like spans does not part them.
  return [...spans, ...children.filter(({ type }) => type !== 'span')].sort(byStart);
}

function byId(items, key) {
  const map = new Map();
  for (const item of items) {
    const id = item[key];
    if (map.has(id)) map.get(id).push(item);
    else map.set(id, [item]);
  }
  return map;
}

/** The spans and log lines of a trace as a tree, in the order of their start. */
export function buildTree(trace) {
  const findings = byId(trace.findings, 'span_id');
  const nodes = new Map(trace.spans.map((span) => [span.span_id, spanNode(span, findings)]));
  const roots = [];
  const attach = (node, parent) => {
    node.parent = parent ?? null;
    (parent?.children ?? roots).push(node);
  };
  for (const node of nodes.values()) attach(node, nodes.get(node.span.parent_span_id));
  const logs = trace.logs.map(logNode);
  for (const node of logs) attach(node, nodes.get(node.log.span_id) ?? roots[0]);
  for (const node of nodes.values()) arrange(node);
  return { roots: roots.sort(byStart), nodes, logs };
}

function arrange(node) {
  node.children = group(node.children.sort(byStart));
  for (const child of node.children) child.parent = node;
}

export function groupIds(roots) {
  const found = [];
  const visit = (node) => {
    if (node.type === 'group') found.push(node.id);
    node.children.forEach(visit);
  };
  roots.forEach(visit);
  return found;
}

/** The rows to show: those with no collapsed ancestor. */
export function visibleRows(roots, collapsed) {
  const rows = [];
  const visit = (nodes, level) => nodes.forEach((node, index) => {
    rows.push({ node, level, position: index + 1, size: nodes.length });
    if (!collapsed.has(node.id)) visit(node.children, level + 1);
  });
  visit(roots, 1);
  return rows;
}

export function ancestors(node) {
  const found = [];
  for (let it = node.parent; it; it = it.parent) found.push(it);
  return found;
}

/** The response path of the field that a span works for, or null. */
export function selectionPath(node) {
  for (const it of [node, ...ancestors(node)]) {
    const path = it.span?.attributes['graphql.selection.path'];
    if (path) return path;
  }
  return null;
}
