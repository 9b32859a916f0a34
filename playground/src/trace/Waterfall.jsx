import { useCallback, useEffect, useId, useImperativeHandle, useRef, useState } from 'react';
import { stretch, tickStep, ticks } from './axis.js';
import { duration } from './format.js';
import { onRowKey } from './keyboard.js';
import { Row } from './Row.jsx';
import { useRows } from './useRows.js';

/** Rows shown at first; a trace can have thousands. */
const page = 500;

function Axis({ total, logs }) {
  return (
    <div role="row" className="cx-row cx-axis">
      <div role="columnheader" className="cx-name">Span</div>
      <div role="columnheader" className="cx-time">
        <span className="cx-hidden">Time</span>
        {ticks(total, 4).map((at) => (
          <span key={at} className="cx-tick" aria-hidden="true" style={{ left: stretch(at, at, total).left }}>
            {duration(at).replace('.0 ', ' ')}
          </span>
        ))}
        {logs.map((node) => (
          <span
            key={node.id}
            className="cx-mark cx-mark-log"
            title={`${node.log.severity} ${node.title}`}
            style={{ left: stretch(node.start, node.start, total).left }}
          />
        ))}
      </div>
      <div role="columnheader" className="cx-took">Duration</div>
    </div>
  );
}

const endOf = (trace) => Math.max(trace.duration, ...trace.spans.map((it) => it.offset + it.duration), 1e-9);

/** The spans and log lines of a trace as a tree, each with a bar on the time axis. */
export function Waterfall({ trace, onActive, traceHref, ref }) {
  const state = useRows(trace);
  const { tree, rows, collapsed, open, current, setCurrent, toggle, toggleDetails, reveal } = state;
  const prefix = useId();
  const grid = useRef(null);
  const [limit, setLimit] = useState(page);
  const [wanted, setWanted] = useState(null);
  const total = endOf(trace);

  useEffect(() => {
    if (wanted === null) return;
    const index = rows.findIndex(({ node }) => node.id === wanted);
    if (index >= limit) {
      setLimit(index + page);
    } else {
      document.getElementById(`${prefix}-${wanted}`)?.focus();
      setWanted(null);
    }
  }, [wanted, rows, limit, prefix]);

  const show = useCallback((id) => {
    reveal(id);
    setWanted(id);
  }, [reveal]);
  useImperativeHandle(ref, () => ({ show }), [show]);

  const onFocus = useCallback((node) => {
    setCurrent(node.id);
    onActive?.(node);
  }, [setCurrent, onActive]);
  const onEnter = useCallback((node) => onActive?.(node), [onActive]);
  const onKeyDown = (event) => {
    const id = onRowKey(event, state);
    if (id === null) return;
    event.preventDefault();
    setWanted(id);
  };

  return (
    <>
      <div
        role="treegrid"
        aria-label="Waterfall"
        aria-readonly="true"
        className="cx-waterfall"
        ref={grid}
        style={{ '--tick': `${(tickStep(total, 4) / total) * 100}%` }}
        onKeyDown={onKeyDown}
        onMouseLeave={() => onActive?.(null)}
        onBlur={(event) => grid.current.contains(event.relatedTarget) || onActive?.(null)}
      >
        <Axis total={total} logs={tree.logs} />
        {rows.slice(0, limit).map((row) => (
          <Row
            key={row.node.id}
            id={`${prefix}-${row.node.id}`}
            row={row}
            total={total}
            isCurrent={row.node.id === current}
            isCollapsed={collapsed.has(row.node.id)}
            isOpen={open.has(row.node.id)}
            onToggle={toggle}
            onDetails={toggleDetails}
            onEnter={onEnter}
            onFocus={onFocus}
            nodes={tree.nodes}
            onShow={show}
            traceHref={traceHref}
          />
        ))}
      </div>
      {rows.length > limit && (
        <button type="button" className="cx-button" onClick={() => setLimit(limit + page)}>
          Show more of {rows.length} rows
        </button>
      )}
    </>
  );
}
