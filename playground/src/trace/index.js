import './tokens.css';
import './trace.css';
import './waterfall.css';
import './details.css';

export { TraceView } from './TraceView.jsx';
export { CopyButton } from './CopyButton.jsx';
export { selectionPath } from './tree.js';
