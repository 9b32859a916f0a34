// Fails if the code that is not GraphiQL's, Monaco's or React's takes more than 80 kB gzipped.
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const limit = 80_000;
const folder = new URL('../dist/assets/', import.meta.url);
/** The chunks of the groups in vite.config.js, and the admin page's entry. */
const counted = /^(admin|pane|trace|uplot)-[\w-]+\.(js|css)$/;

let total = 0;
for (const name of readdirSync(folder).filter((it) => counted.test(it)).sort()) {
  const size = gzipSync(readFileSync(new URL(name, folder)), { level: 9 }).length;
  total += size;
  console.log(`${String(size).padStart(7)}  ${name}`);
}
console.log(`${String(total).padStart(7)}  of at most ${limit} bytes, gzipped`);
if (total === 0) throw new Error('nothing is built: run npm run build');
if (total > limit) throw new Error('the pages are larger than they may be');
