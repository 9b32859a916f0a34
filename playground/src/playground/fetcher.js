import { getOperationAST, parse } from 'graphql';
import { createClient } from 'graphql-sse';
import { follow } from './runs.js';

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

function isSubscription({ query, operationName }) {
  try {
    return getOperationAST(parse(query), operationName)?.operation === 'subscription';
  } catch {
    // The service says what is wrong with it.
    return false;
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
  return {
    subscribe: (sink) => ({
      unsubscribe: client.subscribe(params, {
        next: (response) => sink.next(response),
        complete: () => sink.complete(),
        error: (error) => failure(error).then((response) => {
          sink.next(response);
          sink.complete();
        }),
      }),
    }),
  };
}

// GraphiQL would show a thrown error with its stack.
export const fetcher = (params, { headers } = {}) => (isSubscription(params)
  ? subscribe(params, headers)
  : post(params, headers).catch(({ message }) => ({ errors: [{ message }] })));
