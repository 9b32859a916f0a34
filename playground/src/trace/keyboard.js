/** What a key does in the waterfall: the row to go to, or null if it did something else or nothing. */
export function onRowKey(event, { rows, collapsed, toggle, toggleDetails }) {
  const index = rows.findIndex(({ node }) => node.id === event.target.dataset.row);
  if (index < 0) return null;
  const { node } = rows[index];
  const hasChildren = node.children.length > 0;
  const isCollapsed = collapsed.has(node.id);
  const at = (position) => rows[Math.min(Math.max(position, 0), rows.length - 1)].node.id;
  switch (event.key) {
    case 'ArrowDown': return at(index + 1);
    case 'ArrowUp': return at(index - 1);
    case 'PageDown': return at(index + 10);
    case 'PageUp': return at(index - 10);
    case 'Home': return at(0);
    case 'End': return at(rows.length - 1);
    case 'ArrowRight':
      if (hasChildren && isCollapsed) toggle(node);
      else if (hasChildren) return at(index + 1);
      return node.id;
    case 'ArrowLeft':
      if (hasChildren && !isCollapsed) toggle(node);
      else if (node.parent) return node.parent.id;
      return node.id;
    case 'Enter':
    case ' ':
      toggleDetails(node);
      return node.id;
    default: return null;
  }
}
