import { useCallback, useMemo, useState } from 'react';
import { ancestors, buildTree, groupIds, visibleRows } from './tree.js';

const toggled = (set, id) => {
  const changed = new Set(set);
  if (!changed.delete(id)) changed.add(id);
  return changed;
};

/** Which rows of a trace are shown, which one is current, and whose details are open. */
export function useRows(trace) {
  const tree = useMemo(() => buildTree(trace), [trace]);
  const [collapsed, setCollapsed] = useState(() => new Set(groupIds(tree.roots)));
  const [open, setOpen] = useState(() => new Set());
  const [current, setCurrent] = useState(tree.roots[0]?.id);
  const rows = useMemo(() => visibleRows(tree.roots, collapsed), [tree, collapsed]);
  const toggle = useCallback((node) => setCollapsed((set) => toggled(set, node.id)), []);
  const toggleDetails = useCallback((node) => {
    setCurrent(node.id);
    setOpen((set) => toggled(set, node.id));
  }, []);
  const reveal = useCallback((id) => {
    const node = tree.nodes.get(id);
    if (!node) return;
    const above = ancestors(node).map((it) => it.id);
    setCollapsed((set) => new Set([...set].filter((it) => !above.includes(it))));
    setOpen((set) => new Set(set).add(id));
    setCurrent(id);
  }, [tree]);
  return { tree, rows, collapsed, open, current, setCurrent, toggle, toggleDetails, reveal };
}
