import { rejected, token } from './auth.js';

/** A response that is an error, with its line of text. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Beside the page, whatever path a proxy serves it under. */
function urlOf(path, params) {
  const url = new URL(`debug/api/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(params ?? {})) {
    if (value !== null && value !== undefined && value !== '') url.searchParams.set(name, value);
  }
  return url;
}

/** Requests an endpoint; throws an ApiError unless it succeeds. */
export async function request(path, { params, signal, accept = 'application/json' } = {}) {
  const used = token();
  const headers = { Accept: accept };
  if (used !== null) headers.Authorization = `Bearer ${used}`;
  const response = await fetch(urlOf(path, params), { headers, signal, cache: 'no-store' });
  if (response.ok) return response;
  if (response.status === 401) rejected(used);
  const text = (await response.text()).trim().slice(0, 500);
  throw new ApiError(response.status, text || `the service responded with status ${response.status}`);
}

export const get = async (path, options) => (await request(path, options)).json();

export const reasonOf = (error) =>
  (error instanceof ApiError ? error.message : 'the service cannot be reached');
