import { memo } from 'react';
import { Bar } from './Bar.jsx';
import { Details } from './Details.jsx';
import { findingLabels, labels } from './describe.js';
import { duration } from './format.js';

function Name({ node, level, isCollapsed, onToggle }) {
  const hasChildren = node.children.length > 0;
  const toggle = (event) => {
    event.stopPropagation();
    onToggle(node);
  };
  const statement = node.category === 'sql' && node.span.attributes['db.query.text'];
  return (
    <div role="gridcell" className="cx-name" style={{ '--level': level - 1 }}>
      <span className="cx-twisty" aria-hidden="true" onClick={hasChildren ? toggle : undefined}>
        {hasChildren && (isCollapsed ? '▸' : '▾')}
      </span>
      <span className={`cx-tag cx-fg-${node.category}`}>
        {node.type === 'log' ? node.log.severity : labels[node.category]}
      </span>
      <span className="cx-what">
        <span className="cx-title">{node.title}</span>
        {node.isError && <span className="cx-badge cx-badge-error">failed</span>}
        {node.findings.filter(({ kind }) => kind !== 'error').map(({ kind }, index) => (
          <span key={index} className="cx-badge">{findingLabels[kind] ?? kind}</span>
        ))}
        {node.note && <span className="cx-note">{node.note}</span>}
        {statement && <code className="cx-statement">{statement}</code>}
      </span>
    </div>
  );
}

/** A row of the waterfall, and below it its details if they are open. */
export const Row = memo(function Row({
  row, id, total, isCurrent, isCollapsed, isOpen, onToggle, onDetails, onEnter, onFocus, ...rest
}) {
  const { node, level, position, size } = row;
  const took = node.type === 'log' ? '' : duration(node.type === 'span' ? node.span.duration : node.end - node.start);
  return (
    <>
      <div
        role="row"
        id={id}
        data-row={node.id}
        tabIndex={isCurrent ? 0 : -1}
        className={`cx-row cx-row-${node.type} ${isOpen ? 'cx-row-open' : ''}`}
        aria-level={level}
        aria-posinset={position}
        aria-setsize={size}
        aria-expanded={node.children.length > 0 ? !isCollapsed : undefined}
        onClick={() => onDetails(node)}
        onMouseEnter={() => onEnter(node)}
        onFocus={(event) => event.target === event.currentTarget && onFocus(node)}
      >
        <Name node={node} level={level} isCollapsed={isCollapsed} onToggle={onToggle} />
        <div role="gridcell" className="cx-time">
          <span className="cx-hidden">starts at {duration(node.start)}</span>
          <Bar node={node} total={total} />
        </div>
        <div role="gridcell" className="cx-took">
          {took || <span className="cx-hidden">at {duration(node.start)}</span>}
          {isOpen && <span className="cx-hidden">, details below</span>}
        </div>
      </div>
      {isOpen && (
        <div role="row" className="cx-details">
          <div role="gridcell" aria-colspan={3}>
            <Details node={node} {...rest} />
          </div>
        </div>
      )}
    </>
  );
});
