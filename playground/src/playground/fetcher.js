import { getOperationAST, Kind, OperationTypeNode, parse } from 'graphql';
import { createClient } from 'graphql-sse';
import { awaitEvents, follow } from './runs.js';

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
  // GraphiQL's own question about the schema is nobody's run.
  if (params.operationName !== 'IntrospectionQuery') {
    follow(params, response.headers.get('traceresponse'));
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`HTTP ${response.status}: ${text.slice(0, 1000)}`);
  }
}

/**
 * The parameters, and whether they ask for a subscription. GraphiQL learns the name of an operation only
 * 100 ms after it was typed, and until then sends that of the one before: the only operation is the one meant.
 */
function resolve(params) {
  try {
    const document = parse(params.query);
    const operations = document.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
    const operation = operations.length === 1 ? operations[0] : getOperationAST(document, params.operationName);
    const operationName = operation ? operation.name?.value : params.operationName;
    return { params: { ...params, operationName }, streams: operation?.operation === OperationTypeNode.SUBSCRIPTION };
  } catch {
    // The service says what is wrong with it.
    return { params, streams: false };
  }
}

/** What a subscription failed with, as a response. */
async function failure(error) {
  const text = await error.response?.text().catch(() => '');
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: error.message }] };
  }
}

/** The responses to a subscription's events, as an observable that GraphiQL ends. */
function subscribe(params, headers) {
  const client = createClient({ url: endpoint.href, headers, retryAttempts: 0 });
  awaitEvents(params);
  return {
    subscribe: (sink) => ({
      unsubscribe: client.subscribe(params, {
        next: (response) => {
          follow(params, response.extensions?.traceresponse);
          sink.next(response);
        },
        complete: () => sink.complete(),
        error: (error) => failure(error).then((response) => {
          sink.next(response);
          sink.complete();
        }),
      }),
    }),
  };
}

export function fetcher(asked, { headers } = {}) {
  const { params, streams } = resolve(asked);
  if (streams) return subscribe(params, headers);
  // GraphiQL would show a thrown error with its stack.
  return post(params, headers).catch(({ message }) => ({ errors: [{ message }] }));
}
