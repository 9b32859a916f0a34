import { memo, useEffect, useId, useMemo, useRef, useState } from 'react';
import { count, percent } from '../trace/format.js';
import { isOwn, layout } from './flame.js';

const rowHeight = 20;

const textOf = (node, total) =>
  `${node.name}: ${count(node.value, 'sample')}, ${percent(node.value / total)}; itself ${percent(node.self / total)}`;

/** The box that a key leads to from another, or undefined. */
function neighbor(boxes, box, key) {
  const { node, depth } = box;
  const peers = boxes.filter((it) => it.depth === depth);
  const index = peers.indexOf(box);
  switch (key) {
    case 'ArrowUp': return boxes.find((it) => it.node === node.parent);
    case 'ArrowDown': return boxes.find((it) => it.node.parent === node);
    case 'ArrowLeft': return peers[index - 1];
    case 'ArrowRight': return peers[index + 1];
    case 'Home': return boxes[0];
    default: return undefined;
  }
}

const classOf = ({ node, depth }, isFocus, isMatch) => [
  'frame',
  isOwn(node.name) ? 'own' : `library${depth % 2}`,
  isMatch && 'match',
  isFocus && 'zoomed',
].filter(Boolean).join(' ');

/** The frames; there may be thousands, which a pointer over them must not draw again. */
const Boxes = memo(function Boxes({ boxes, prefix, total, currentIndex, focus, matches }) {
  return boxes.map((box, index) => {
    const { node, depth, x, width, position, size } = box;
    const isFocus = node === focus;
    return (
      <div
        key={index}
        role="treeitem"
        id={`${prefix}-${index}`}
        data-index={index}
        tabIndex={index === currentIndex ? 0 : -1}
        className={classOf(box, isFocus && node.parent, matches(node))}
        style={{ insetInlineStart: `${x * 100}%`, width: `${width * 100}%`, top: depth * rowHeight }}
        aria-level={depth + 1}
        aria-posinset={position}
        aria-setsize={size}
        aria-selected={isFocus}
        aria-label={textOf(node, total)}
      >
        {node.name}
      </div>
    );
  });
});

/** Below its frame, and within the graph. */
function Tooltip({ box, total }) {
  const { node, depth, x } = box;
  const side = x < 0.5
    ? { insetInlineStart: `${x * 100}%` }
    : { insetInlineEnd: `${Math.max(0, 1 - x - box.width) * 100}%` };
  return (
    <div className="flame-tip" aria-hidden="true" style={{ ...side, top: (depth + 1) * rowHeight + 2 }}>
      <code>{node.name}</code>
      <span>{count(node.value, 'sample')}, {percent(node.value / total)}; itself {percent(node.self / total)}</span>
    </div>
  );
}

/** A flame graph, outermost function on top. Click or Enter zooms, Escape shows everything again. */
export function FlameGraph({ root, matches }) {
  const prefix = useId();
  const [focus, setFocus] = useState(root);
  const [current, setCurrent] = useState(root);
  const [shown, setShown] = useState(null);
  const boxes = useMemo(() => layout(focus), [focus]);
  const isKeyed = useRef(false);
  const indexOf = (node) => boxes.findIndex((box) => box.node === node);
  const currentIndex = Math.max(0, indexOf(current));

  useEffect(() => {
    if (isKeyed.current) document.getElementById(`${prefix}-${currentIndex}`)?.focus();
    isKeyed.current = false;
  }, [prefix, currentIndex, focus]);

  const go = (node) => {
    isKeyed.current = true;
    setCurrent(node);
  };
  const zoom = (node) => {
    go(node);
    setFocus(node);
    setShown(null);
  };
  const boxOf = (event) => boxes[event.target.dataset.index];
  const onKeyDown = (event) => {
    const box = boxOf(event);
    const next = box && neighbor(boxes, box, event.key);
    if (next) go(next.node);
    else if (event.key === 'Enter' || event.key === ' ') zoom(box.node);
    else if (event.key === 'Escape') zoom(root);
    else return;
    event.preventDefault();
  };
  const depth = Math.max(...boxes.map((box) => box.depth)) + 1;
  const visible = shown && boxes.find(({ node }) => node === shown);

  return (
    <>
      <p className="controls">
        <button type="button" className="cx-button" disabled={focus === root} onClick={() => zoom(root)}>Reset zoom</button>
        <span role="status" className="muted">{focus === root ? '' : `Zoomed to ${textOf(focus, root.value)}`}</span>
      </p>
      <div
        role="tree"
        aria-label="Flame graph"
        className="flame"
        style={{ height: depth * rowHeight + 48 }}
        onClick={(event) => boxOf(event) && zoom(boxOf(event).node)}
        onKeyDown={onKeyDown}
        onMouseOver={(event) => setShown(boxOf(event)?.node ?? null)}
        onMouseLeave={() => setShown(null)}
        onFocus={(event) => setShown(boxOf(event)?.node ?? null)}
        onBlur={() => setShown(null)}
      >
        <Boxes
          boxes={boxes}
          prefix={prefix}
          total={root.value}
          currentIndex={currentIndex}
          focus={focus}
          matches={matches}
        />
        {visible && <Tooltip box={visible} total={root.value} />}
      </div>
    </>
  );
}
