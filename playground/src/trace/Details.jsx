import { CopyButton } from './CopyButton.jsx';
import { duration, text } from './format.js';

const stackKeys = new Set(['exception.stacktrace', 'code.stacktrace']);

export function Attributes({ attributes, without = [] }) {
  const entries = Object.entries(attributes).filter(([key]) => !without.includes(key));
  if (entries.length === 0) return null;
  return (
    <table className="cx-attributes">
      <caption className="cx-hidden">Attributes</caption>
      <tbody>
        {entries.map(([key, value]) => (
          <tr key={key}>
            <th scope="row">{key}</th>
            <td>{stackKeys.has(key) ? <pre tabIndex={0}>{text(value)}</pre> : text(value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Events({ events }) {
  if (events.length === 0) return null;
  return (
    <>
      <p className="cx-sub">Events</p>
      <ul className="cx-events">
        {events.map((event, index) => (
          <li key={index}>
            <strong>{event.name}</strong> at {duration(event.offset)}
            <Attributes attributes={event.attributes} />
          </li>
        ))}
      </ul>
    </>
  );
}

function LinkTo({ link, nodes, onShow, traceHref }) {
  const node = nodes.get(link.span_id);
  if (node) {
    return <button type="button" className="cx-link" onClick={() => onShow(link.span_id)}>{node.title}</button>;
  }
  const name = `span ${link.span_id} of trace ${link.trace_id}`;
  return traceHref ? <a href={traceHref(link.trace_id)}>{name}</a> : name;
}

function Links({ links, ...rest }) {
  if (links.length === 0) return null;
  return (
    <>
      <p className="cx-sub">Links</p>
      <ul>
        {links.map((link) => (
          <li key={`${link.trace_id}${link.span_id}`}><LinkTo link={link} {...rest} /></li>
        ))}
      </ul>
    </>
  );
}

function SpanDetails({ span, ...rest }) {
  const statement = span.attributes['db.query.text'];
  const document = span.attributes['graphql.document'];
  return (
    <>
      {span.error && (
        <p className="cx-error-text">Failed{span.message ? `: ${span.message}` : ''}</p>
      )}
      {statement && <pre className="cx-code" tabIndex={0}>{statement}</pre>}
      {document && <pre className="cx-code" tabIndex={0}>{document}</pre>}
      <Attributes attributes={span.attributes} without={['db.query.text', 'graphql.document']} />
      <Events events={span.events} />
      <Links links={span.links} {...rest} />
      <p className="cx-ids">
        Starts at {duration(span.offset)}, kind {span.kind}, span id <code>{span.span_id}</code>{' '}
        <CopyButton text={span.span_id} label="Copy span id" />
      </p>
    </>
  );
}

/** All that is known of a row. */
export function Details({ node, ...rest }) {
  if (node.type === 'log') {
    const { log } = node;
    return (
      <>
        <p>{log.severity} at {duration(log.offset)}{log.name ? `, event ${log.name}` : ''}</p>
        <p>{log.message}</p>
        <Attributes attributes={log.attributes} />
      </>
    );
  }
  if (node.type === 'group') {
    return (
      <>
        <p>{node.note}. Expand the row for each of them.</p>
        <SpanDetails span={node.children[0].span} {...rest} />
      </>
    );
  }
  return <SpanDetails span={node.span} {...rest} />;
}
