// Has a service with its laboratory do a bit of everything, for those who look at its telemetry:
// node everything.mjs http://localhost:8000 http://localhost:9464

import { once } from 'node:events';
import WebSocket from 'ws';

const [url, admin] = process.argv.slice(2);

const post = async (query) => {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
  });
  await response.text();
};

for (const query of [
  'query Page { books(first: 20) { totalCount nodes { title authors { name } } } }',
  'query Page { books(first: 20) { totalCount nodes { title authors { name } } } }',
  '{ authors(first: 5) { nodes { name books { nodes { title } } } } }',
  'mutation { createBook(input: { title: "A", authors: ["B"] }) { id } }',
  'mutation { createBook(input: { title: "", authors: [] }) { id } }',
  '{ nonsense',
  '{ nonsense }',
  '{ labBlock(ms: 60) }',
  '{ labPanic }',
  '{ labNPlusOne }',
  '{ labSlowSql }',
]) await post(query);

const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
const closed = once(socket, 'close');
socket.on('open', () => socket.send(JSON.stringify({ type: 'connection_init' })));
socket.on('message', (data) => {
  const { type } = JSON.parse(data);
  const payload = { query: '{ books { totalCount } }' };
  if (type === 'connection_ack') socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload }));
  if (type === 'complete') socket.close();
});
await closed;

await (await fetch(`${url}/nowhere`)).text();
await (await fetch(`${admin}/debug/recording?seconds=1`, { method: 'POST' })).arrayBuffer();
await (await fetch(`${admin}/debug/pprof/profile?seconds=1`)).arrayBuffer();
