import { Fragment, useEffect, useMemo, useRef, useState } from 'react';

const compare = (a, b) => {
  if (a == null || b == null) return (a == null) - (b == null);
  return typeof a === 'string' ? a.localeCompare(b, 'en', { numeric: true }) : a - b;
};

function sorted(rows, columns, { key, isDescending }) {
  const column = columns.find((it) => it.key === key);
  if (!column) return rows;
  const valueOf = column.value ?? ((row) => row[column.key]);
  const direction = isDescending ? -1 : 1;
  return [...rows].sort((a, b) => direction * compare(valueOf(a), valueOf(b)));
}

const classOf = ({ isNumber, isMinor }) =>
  [isNumber && 'number', isMinor && 'minor'].filter(Boolean).join(' ') || undefined;

function Head({ column, sort, onSort }) {
  const { key, title, hint, isFixed } = column;
  const isSorted = sort.key === key;
  const state = isSorted ? { 'aria-sort': sort.isDescending ? 'descending' : 'ascending' } : {};
  return (
    <th scope="col" className={classOf(column)} title={hint} {...state}>
      {isFixed ? title : (
        <button type="button" onClick={() => onSort(column)}>
          {title}<span aria-hidden="true">{isSorted && (sort.isDescending ? ' ▾' : ' ▴')}</span>
        </button>
      )}
    </th>
  );
}

function Cells({ row, columns }) {
  return columns.map((column) => {
    const { key, isHeader, cell, format } = column;
    const content = cell ? cell(row) : (format ?? String)(row[key]);
    const className = classOf(column);
    return isHeader
      ? <th key={key} scope="row" className={className}>{content}</th>
      : <td key={key} className={className}>{content}</td>;
  });
}

/** A table wider than the page is scrolled in a box of its own, with the keyboard as well. */
function Scroll({ label, children }) {
  const box = useRef(null);
  const [isWide, setWide] = useState(false);
  useEffect(() => {
    const observer = new ResizeObserver(() => setWide(box.current.scrollWidth > box.current.clientWidth));
    observer.observe(box.current);
    observer.observe(box.current.firstElementChild);
    return () => observer.disconnect();
  }, []);
  const wide = isWide ? { tabIndex: 0, role: 'group', 'aria-label': `${label}, scrollable` } : {};
  return <div ref={box} className="scroll" {...wide}>{children}</div>;
}

/**
 * A table that can be sorted by each column. A column is `{ key, title, isNumber, isHeader, isMinor, format,
 * cell, value }`, a minor one hidden on narrow pages; `detail` makes a further line of a row, or null.
 */
export function DataTable({ caption, columns, rows, rowKey, initialSort = {}, detail, empty, isFixed }) {
  const [sort, setSort] = useState(initialSort);
  const shown = useMemo(() => sorted(rows, columns, sort), [rows, columns, sort]);
  const onSort = ({ key, isNumber }) => setSort((before) => ({
    key,
    isDescending: before.key === key ? !before.isDescending : Boolean(isNumber),
  }));
  if (rows.length === 0) return <p className="muted">{empty}</p>;
  return (
    <Scroll label={caption}>
      <table className="data">
        <caption className="cx-hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <Head key={column.key} column={isFixed ? { ...column, isFixed } : column} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row, index) => {
            const key = rowKey ? rowKey(row) : index;
            const more = detail?.(row);
            return (
              <Fragment key={key}>
                <tr><Cells row={row} columns={columns} /></tr>
                {more && <tr className="detail"><td colSpan={columns.length}>{more}</td></tr>}
              </Fragment>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}
