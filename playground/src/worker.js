// Monaco's three workers in one script, told apart by the worker's name: built
// one by one, each would carry the same 250 kB of Monaco.
import { initialize } from 'monaco-editor/esm/vs/editor/editor.worker.js';
import 'monaco-editor/esm/vs/language/json/json.worker.js';
import { GraphQLWorker } from 'monaco-graphql/esm/GraphQLWorker.js';

// The JSON worker exports nothing; it leaves its start in onmessage, where it
// replaced the editor worker's, being evaluated after it.
const startJson = self.onmessage;

// The first message only wakes the worker; initialize() then takes onmessage over.
self.onmessage = () => {
  if (self.name === 'json') startJson();
  else if (self.name === 'graphql') initialize((context, data) => new GraphQLWorker(context, data));
  else initialize(null);
};
