import { createStore } from './store.js';

const key = 'colophon:theme';
const themes = ['system', 'light', 'dark'];
const dark = matchMedia('(prefers-color-scheme: dark)');

function stored() {
  const value = localStorage.getItem(key);
  return themes.includes(value) ? value : 'system';
}

export const theme = createStore(stored());
/** Whether colors are those of the dark theme, for what is drawn by script. */
export const isDark = createStore(false);

function apply() {
  const value = theme.get();
  if (value === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
  isDark.set(value === 'dark' || (value === 'system' && dark.matches));
}

export function nextTheme() {
  const value = themes[(themes.indexOf(theme.get()) + 1) % themes.length];
  localStorage.setItem(key, value);
  theme.set(value);
  apply();
}

dark.addEventListener('change', apply);
apply();
