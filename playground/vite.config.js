import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const file = (name) => fileURLToPath(new URL(name, import.meta.url));
const src = (name) => file(`src/${name}`);

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
      input: { index: file('index.html'), admin: file('admin.html') },
      output: {
        // Chunks by origin: the admin page loads neither GraphiQL nor Monaco, and
        // scripts/size.js finds what is our own.
        codeSplitting: {
          includeDependenciesRecursively: false,
          groups: [
            { name: 'react', test: /node_modules\/(react|react-dom|scheduler)\// },
            { name: 'uplot', test: /node_modules\/uplot\// },
            { name: 'trace', test: /\/src\/trace\// },
            { name: 'pane', test: /\/src\/playground\// },
          ],
        },
      },
      // 'use client' in the dependencies means nothing here, but warns a hundred times.
      onwarn(warning, warn) {
        if (warning.code !== 'MODULE_LEVEL_DIRECTIVE') warn(warning);
      },
    },
  },
});
