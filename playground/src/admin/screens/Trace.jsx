import { TraceView } from '../../trace/index.js';
import { Heading, Loading, Problem } from '../parts.jsx';
import { traceHref } from '../route.js';
import { useResource } from '../useResource.js';

const hint = { 404: 'The store keeps traces with errors, slow polls, the slowest and the latest, as memory allows.' };

export function Trace({ path: [id = ''] }) {
  const resource = useResource(`traces/${encodeURIComponent(id)}`);
  return (
    <>
      <p className="back"><a href="#/operations">Operations</a></p>
      <Heading>Trace</Heading>
      <Problem error={resource.error} hint={hint} />
      <Loading resource={resource} />
      {resource.data && <TraceView key={id} trace={resource.data} traceHref={traceHref} />}
    </>
  );
}
