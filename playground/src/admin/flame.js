export const noOperation = '(no operation)';

/** Narrower frames cannot be seen. */
const narrowest = 0.001;
const maxBoxes = 8000;

const newNode = (name, parent) => ({ name, parent, value: 0, self: 0, children: new Map() });

function child(parent, name) {
  let node = parent.children.get(name);
  if (!node) {
    node = newNode(name, parent);
    parent.children.set(name, node);
  }
  return node;
}

const rootFieldOf = (stack) => stack.root_field ?? noOperation;

/** Root fields with their samples, most first. */
export function rootFields({ stacks }) {
  const found = new Map();
  for (const stack of stacks) {
    const name = rootFieldOf(stack);
    found.set(name, (found.get(name) ?? 0) + stack.samples);
  }
  return [...found].sort((a, b) => b[1] - a[1]);
}

/** A function of the service or its crates: by its path or, where the program has line tables, its file. */
export const isOwn = (name) =>
  /^[<&*([]*(colophon|graphql_telemetry|runtime_insight|otlp_export)::| (src|crates)\//.test(name);

/** The frames from the first own one on; all, if there is none. */
function fromOwn(path) {
  const first = path.findIndex(isOwn);
  return first > 0 ? path.slice(first) : path;
}

/**
 * The stacks as a tree of functions: of one root field, or of all, each with a node of its own. With `onlyOwn`
 * they begin at the service's own code, and not where its threads do.
 */
export function buildFlame({ functions, stacks }, rootField, onlyOwn) {
  const root = newNode(rootField || 'all samples', null);
  for (const stack of stacks) {
    const name = rootFieldOf(stack);
    if (rootField && name !== rootField) continue;
    const whole = stack.frames.map((index) => functions[index]);
    const path = onlyOwn ? fromOwn(whole) : whole;
    if (!rootField) path.unshift(name);
    let node = root;
    node.value += stack.samples;
    for (const part of path) {
      node = child(node, part);
      node.value += stack.samples;
    }
    node.self += stack.samples;
  }
  return root;
}

const widestFirst = (node) => [...node.children.values()].sort((a, b) => b.value - a.value);

export function pathTo(node) {
  const path = [];
  for (let it = node; it; it = it.parent) path.unshift(it);
  return path;
}

/**
 * Where each frame is drawn while the graph is zoomed to `focus`: `{ node, depth, x, width }`, in shares of the
 * width. What is above the focus is as wide as the graph.
 */
export function layout(focus) {
  const above = pathTo(focus);
  const boxes = above.map((node, depth) => ({ node, depth, x: 0, width: 1, position: 1, size: 1 }));
  const place = (parent, depth, start) => {
    let x = start;
    const children = widestFirst(parent);
    children.forEach((node, index) => {
      const width = node.value / focus.value;
      if (width >= narrowest && boxes.length < maxBoxes) {
        boxes.push({ node, depth, x, width, position: index + 1, size: children.length });
        place(node, depth + 1, x);
      }
      x += width;
    });
  };
  place(focus, above.length, 0);
  return boxes;
}

/** Samples in whose stack a function matches. */
export function matched(node, matches) {
  if (matches(node)) return node.value;
  let sum = 0;
  for (const it of node.children.values()) sum += matched(it, matches);
  return sum;
}

/** The functions in which most samples were taken themselves: `[name, samples]`. */
export function hottest(root, limit) {
  const found = new Map();
  const visit = (node) => {
    if (node.self > 0) found.set(node.name, (found.get(node.name) ?? 0) + node.self);
    for (const it of node.children.values()) visit(it);
  };
  visit(root);
  return [...found].sort((a, b) => b[1] - a[1]).slice(0, limit);
}
