// A real collector with the repository's configuration, and the spans that have arrived at it.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const repository = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const program = process.env.COLOPHON_TEST_COLLECTOR ?? repository('target/collector/otelcol-colophon');

export async function startCollector() {
  const folder = await mkdtemp(join(tmpdir(), 'collector-'));
  const file = join(folder, 'otlp.jsonl');
  const child = spawn(program, ['--config', repository('collector/config.yaml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      COLLECTOR_OTLP_GRPC: '127.0.0.1:0',
      COLLECTOR_OTLP_HTTP: '127.0.0.1:0',
      COLLECTOR_HEALTH: '127.0.0.1:0',
      COLLECTOR_METRICS_PORT: '0',
      COLLECTOR_VERBOSITY: 'basic',
      COLOPHON_METRICS_TARGET: '127.0.0.1:1',
      COLLECTOR_FILE: file,
      COLLECTOR_SCRAPED_FILE: join(folder, 'scraped.jsonl'),
      COLLECTOR_STORAGE: join(folder, 'storage'),
    },
  });
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  let endpoint;
  const ready = new Promise((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (line.includes('Starting HTTP server')) [, endpoint] = line.match(/"endpoint": "([^"]+)"/);
      if (line.includes('Everything is ready')) resolve(true);
    });
  });
  const late = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const isReady = await Promise.race([ready, ended.then(() => false)]).finally(() => clearTimeout(late));
  if (!isReady) throw new Error(`${program} ended before it was ready`);
  return {
    endpoint: `http://${endpoint}`,
    /** The spans of a trace, once so many have arrived. */
    async spans(traceId, count) {
      for (const until = Date.now() + 20_000; ; await sleep(50)) {
        const spans = spansOf(await readFile(file, 'utf8').catch(() => ''), traceId);
        if (spans.length >= count) return spans;
        if (Date.now() > until) throw new Error(`${spans.length} of ${count} spans of ${traceId} arrived`);
      }
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}

function spansOf(lines, traceId) {
  // The last line may be in the writing.
  const batches = lines.slice(0, lines.lastIndexOf('\n') + 1).split('\n').filter(Boolean);
  return batches.flatMap((line) => JSON.parse(line).resourceSpans ?? [])
    .flatMap((resource) => resource.scopeSpans).flatMap((scope) => scope.spans)
    .filter((span) => span.traceId === traceId)
    .map((span) => ({
      name: span.name,
      duration: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e9,
      attributes: Object.fromEntries((span.attributes ?? []).map(({ key, value }) => [key, plain(value)])),
    }));
}

const plain = ({ stringValue, intValue, doubleValue, boolValue }) =>
  stringValue ?? (intValue === undefined ? doubleValue ?? boolValue : Number(intValue));
