import { HISTORY_PLUGIN } from '@graphiql/plugin-history';
import { createLocalStorage } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';
import MonacoWorker from './worker.js?worker';
// Not graphiql/style.css: that one holds Monaco's styles a second time and
// 400 kB of fonts. The system's fonts do.
import '@graphiql/react/style.css';
import '@graphiql/plugin-doc-explorer/style.css';
import '@graphiql/plugin-history/style.css';
import 'graphiql/graphiql.css';
import './style.css';
import './playground/trace-pane.css';
import { examples } from './examples.js';
import { fetcher } from './playground/fetcher.js';
import { TRACE_PLUGIN } from './playground/TracePane.jsx';

globalThis.MonacoEnvironment = { getWorker: (_id, label) => new MonacoWorker({ name: label }) };

const plugins = [HISTORY_PLUGIN, TRACE_PLUGIN];

const tabs = examples.map(({ title, query, variables }) => ({
  query: `# ${title}\n#\n${query}`,
  variables: JSON.stringify(variables, null, 2),
}));

// A namespace of its own: other GraphiQLs may have been used on the same origin
// (localhost and a port), and their tabs would hide the examples.
const storage = createLocalStorage({ namespace: 'colophon' });

// GraphiQL does not put the variables of the first default tab into its editor;
// it does so with what it finds stored.
if (storage.getItem('graphiql:tabState') === null) {
  storage.setItem('graphiql:query', tabs[0].query);
  storage.setItem('graphiql:variables', tabs[0].variables);
}

// The first visit opens the trace beside the editors, wide enough to read. Afterwards GraphiQL
// remembers which pane is open; a closed one it does not tell from one that never was.
const isFirstVisit = storage.getItem('colophon:trace') === null;
if (isFirstVisit) {
  storage.setItem('colophon:trace', 'shown');
  storage.setItem('graphiql:docExplorerFlex', '0.7');
}

createRoot(document.getElementById('root')).render(
  <GraphiQL
    fetcher={fetcher}
    storage={storage}
    plugins={plugins}
    visiblePlugin={isFirstVisit ? TRACE_PLUGIN : undefined}
    defaultTabs={tabs}
    defaultEditorToolsVisibility="variables"
  >
    <GraphiQL.Logo>Colophon</GraphiQL.Logo>
  </GraphiQL>,
);
