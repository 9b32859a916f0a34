// The admin token, kept for the tab.
import { createStore } from './store.js';

const key = 'colophon:admin-token';

/**
 * `checking`: it is not known whether a token is needed. `needed`, `wrong`: the page asks for one.
 * `open`: requests are accepted.
 */
export const auth = createStore('checking');

export const token = () => sessionStorage.getItem(key);

export function setToken(value) {
  sessionStorage.setItem(key, value);
  auth.set('checking');
}

export function forgetToken() {
  sessionStorage.removeItem(key);
  auth.set('needed');
}

/** Called when a request with this token, or with none, was rejected. */
export function rejected(used) {
  // A late response to a request with the token before says nothing.
  if (used !== token()) return;
  sessionStorage.removeItem(key);
  auth.set(used === null ? 'needed' : 'wrong');
}
