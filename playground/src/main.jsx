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
import { examples } from './examples.js';

globalThis.MonacoEnvironment = { getWorker: (_id, label) => new MonacoWorker({ name: label }) };

// Beside the page, whatever path a proxy serves it under.
const endpoint = new URL('graphql', document.baseURI);

async function post(params, headers) {
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      Accept: 'application/graphql-response+json, application/json',
      ...headers,
    },
    body: JSON.stringify(params),
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`HTTP ${response.status}: ${text.slice(0, 1000)}`);
  }
}

// GraphiQL would show a thrown error with its stack.
const fetcher = (params, { headers } = {}) =>
  post(params, headers).catch(({ message }) => ({ errors: [{ message }] }));

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

createRoot(document.getElementById('root')).render(
  <GraphiQL
    fetcher={fetcher}
    storage={storage}
    defaultTabs={tabs}
    defaultEditorToolsVisibility="variables"
  >
    <GraphiQL.Logo>Colophon</GraphiQL.Logo>
  </GraphiQL>,
);
