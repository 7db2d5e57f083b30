// Runs once around the tests that use the built program: builds dist when it is stale, gives all of them one temporary
// directory (TMPDIR), and fails the run when a mount or a daemon of theirs is left there. What is left is taken away, also when
// the run is ended from outside.
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmdirSync, statSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { parseMountTable } from '../mount/mount-table.ts';

const run = promisify(execFile);

export async function setup(): Promise<() => Promise<void>> {
  await build();
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'ctxfs-test-')));
  chmodSync(directory, 0o755);
  process.env['TMPDIR'] = directory;
  const unbind = bindCheckout();
  process.once('SIGTERM', () => {
    unbind();
    process.stderr.write(`taken away: ${takeAway(directory).join(', ')}\n`);
  });
  return async () => {
    unbind();
    await teardown(directory);
  };
}

// Type errors are a step of their own in npm run check; tests of one room still run while another room is being edited.
async function build(): Promise<void> {
  const root = new URL('..', import.meta.url).pathname;
  try {
    await run(process.execPath, ['scripts/build.mjs'], { cwd: root, timeout: 900_000 });
    // What scripts/quickstart goes by: it must not build while other tests run what is there.
    await writeFile(join(root, 'dist/.built'), '');
  } catch (error) {
    const { stdout, message } = error as Error & { stdout?: string };
    process.stderr.write(`test setup: the build reports errors:\n${stdout ?? message}\n`);
  }
}

/** Tests of other users run this checkout, also where they cannot reach it (a clone in /root): it is bound, read-only, beside TMPDIR. */
function bindCheckout(): () => void {
  const root = new URL('..', import.meta.url).pathname;
  if (process.geteuid?.() !== 0 || isOpenToOthers(root)) return () => undefined;
  const place = mkdtempSync('/tmp/ctxfs-checkout-');
  chmodSync(place, 0o755);
  const { status } = spawnSync('mount', ['-o', 'bind,ro', root, place], { timeout: 30_000, stdio: 'inherit' });
  if (status === 0) process.env['CTX_TEST_CHECKOUT'] = `${place}/`;
  return () => {
    if (status === 0) spawnSync('umount', ['-l', place], { timeout: 30_000, stdio: 'inherit' });
    rmdirSync(place);
  };
}

function isOpenToOthers(directory: string): boolean {
  if ((statSync(directory).mode & 0o001) === 0) return false;
  const above = dirname(directory);
  return above === directory || isOpenToOthers(above);
}

async function teardown(directory: string): Promise<void> {
  const left = takeAway(directory);
  if (left.length > 0) {
    process.exitCode = 1;
    throw new Error(`tests left behind: ${left.join(', ')}`);
  }
  await rm(directory, { recursive: true, force: true });
}

/** In one go, for the moment before the process ends. Daemons first: whoever asks a mount whose daemon is gone has an answer. */
function takeAway(directory: string): readonly string[] {
  const left: string[] = [];
  for (const pid of readdirSync('/proc')) {
    const words = /^[0-9]+$/.test(pid) ? commandOf(pid) : '';
    if (!words.includes('/mount/daemon.js') || !words.includes(`${directory}/`)) continue;
    left.push(`daemon ${pid}`);
    process.kill(Number(pid), 'SIGKILL');
  }
  for (const { mountpoint } of parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'))) {
    if (!mountpoint.startsWith(`${directory}/`)) continue;
    left.push(`mount ${mountpoint}`);
    const [program, flags] = process.geteuid?.() === 0 ? ['umount', ['-i', '-c', '-l']] : ['fusermount3', ['-uz']];
    spawnSync(program, [...flags, mountpoint], { timeout: 30_000, stdio: 'inherit' });
  }
  return left;
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    // It ended meanwhile.
    return '';
  }
}
