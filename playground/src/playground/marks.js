import { useCallback, useEffect, useRef } from 'react';
import { useGraphiQL } from '@graphiql/react';
import { selectionPath } from '../trace/index.js';
import { locate } from './locate.js';

const options = { inlineClassName: 'cx-marked-field', className: 'cx-marked-range' };

function rangeOf(model, { start, end }) {
  const from = model.getPositionAt(start);
  const to = model.getPositionAt(end);
  return {
    startLineNumber: from.lineNumber,
    startColumn: from.column,
    endLineNumber: to.lineNumber,
    endColumn: to.column,
  };
}

/** A function that marks the field of a row of the waterfall in the operation editor; of null, none. */
export function useMarks(operationName) {
  const editor = useGraphiQL((state) => state.queryEditor);
  const marks = useRef(null);
  useEffect(() => {
    if (!editor) return undefined;
    marks.current = editor.createDecorationsCollection([]);
    return () => marks.current.clear();
  }, [editor]);
  return useCallback((node) => {
    const model = editor?.getModel();
    if (!model) return;
    const path = node && selectionPath(node);
    const found = path ? locate(model.getValue(), operationName, path) : [];
    const ranges = found.map((location) => rangeOf(model, location));
    marks.current?.set(ranges.map((range) => ({ range, options })));
    if (ranges.length > 0) editor.revealRangeInCenterIfOutsideViewport(ranges[0]);
  }, [editor, operationName]);
}
