import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const src = (name) => fileURLToPath(new URL(`src/${name}`, import.meta.url));

export default defineConfig({
  // Relative URLs, for proxies that serve the playground under a path of theirs.
  base: './',
  resolve: {
    alias: {
      'monaco-editor/esm/vs/editor/edcore.main.js': src('monaco.js'),
      'prettier/parser-babel': src('prettier-json.js'),
      'prettier/plugins/estree': src('prettier-json.js'),
      // The same plugin under its old name.
      'prettier/parser-graphql': 'prettier/plugins/graphql',
    },
  },
  worker: {
    format: 'es',
    // The worker would load Prettier for "Format Document", which src/monaco.js
    // leaves out.
    rolldownOptions: { external: /^prettier\// },
  },
  build: {
    // Inlined assets become data: URLs, which the page's Content-Security-Policy
    // would have to allow.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // The notices that the bundled packages' licences demand.
    license: { fileName: 'assets/licenses.md' },
    // Monaco is one big chunk whatever is done.
    chunkSizeWarningLimit: 3000,
    rolldownOptions: {
      // 'use client' in the dependencies means nothing here, but warns a hundred times.
      onwarn(warning, warn) {
        if (warning.code !== 'MODULE_LEVEL_DIRECTIVE') warn(warning);
      },
    },
  },
});
