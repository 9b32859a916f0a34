// Starts and stops the program as a user would: as a process, on ports the kernel chooses.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const program = process.env.COLOPHON_BIN
  ?? fileURLToPath(new URL('../../target/debug/colophon', import.meta.url));

// With backtraces, the first fault of the service would have its answer wait for a second: that long
// it takes to read the program's debug information.
const env = { ...process.env, RUST_BACKTRACE: '0' };

/** A token that may read, and the line by which the service knows it. */
export function token() {
  const made = execFileSync(program, ['token', '--name', 'web', '--scope', 'books:read']);
  return made.toString().trim().split('\n').filter((line) => !line.startsWith('#'));
}

/**
 * A service with the sample, further arguments and variables, which asks for tokens if there are lines of any;
 * `stop` ends it and answers its exit code.
 */
export async function start({ tokens, further = [], variables = {} } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'colophon-'));
  const file = join(folder, 'tokens');
  if (tokens) await writeFile(file, tokens);
  const child = spawn(program, [
    'serve', '--sample', '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0',
    '--database-url', `sqlite://${folder}/books.db?mode=rwc`, '--log-format', 'json',
    ...(tokens ? ['--tokens-file', file] : []), ...further,
  ], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...env, ...variables } });
  const ended = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  const listening = new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = JSON.parse(line);
      if (event['listen.public']) resolve(event);
    });
  });
  // A program that hangs must not hang the tests.
  const late = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const first = await Promise.race([listening, ended]).finally(() => clearTimeout(late));
  if (!first?.['listen.public']) {
    await rm(folder, { recursive: true });
    throw new Error(`${program} ended with ${first} before it listened`);
  }
  return {
    url: `http://${first['listen.public']}`,
    playground: first['listen.playground'],
    admin: `http://${first['listen.admin']}`,
    pid: child.pid,
    async stop() {
      child.kill('SIGTERM');
      const stuck = setTimeout(() => child.kill('SIGKILL'), 30_000);
      const code = await ended;
      clearTimeout(stuck);
      await rm(folder, { recursive: true });
      return code;
    },
  };
}
