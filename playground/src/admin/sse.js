// Server-sent events by fetch: EventSource cannot send a token.
import { request } from './api.js';

/** An event is far smaller. */
const longest = 1 << 20;

function parseEvent(block) {
  let name = 'message';
  const data = [];
  for (const line of block.split('\n')) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === 'event') name = value;
    else if (field === 'data') data.push(value);
  }
  return data.length > 0 ? { name, data: data.join('\n') } : null;
}

/** The events of a stream, until it ends. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest = (rest + value).replaceAll('\r\n', '\n');
    const blocks = rest.split('\n\n');
    rest = blocks.pop();
    if (rest.length > longest) throw new Error('an event is too long');
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) yield event;
    }
  }
}

export async function stream(path, signal, { onOpen, onEvent }) {
  const response = await request(path, { signal, accept: 'text/event-stream' });
  onOpen();
  for await (const { name, data } of events(response.body)) onEvent(name, JSON.parse(data));
}
