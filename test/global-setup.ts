// Runs once around the tests that use the built program: builds dist when it is stale, gives all of them one temporary
// directory (TMPDIR), and fails the run when a mount or a daemon of theirs is left there.
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, realpathSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { recover } from '../mount/lifecycle.ts';
import { parseMountTable } from '../mount/mount-table.ts';

const run = promisify(execFile);

export async function setup(): Promise<() => Promise<void>> {
  await build();
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'ctxfs-test-')));
  chmodSync(directory, 0o755);
  process.env['TMPDIR'] = directory;
  return () => teardown(directory);
}

// Type errors are a step of their own in npm run check; tests of one room still run while another room is being edited.
async function build(): Promise<void> {
  const root = new URL('..', import.meta.url).pathname;
  await run('npx', ['tsc', '-p', 'tsconfig.build.json'], { cwd: root, timeout: 180_000 }).catch((error: Error & { stdout?: string }) => {
    process.stderr.write(`test setup: the build reports errors:\n${error.stdout ?? error.message}\n`);
  });
}

async function teardown(directory: string): Promise<void> {
  const left: string[] = [];
  const below = (path: string): boolean => path.startsWith(`${directory}/`);
  for (const { mountpoint } of parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'))) {
    if (!below(mountpoint)) continue;
    left.push(`mount ${mountpoint}`);
    await run('umount', ['-l', mountpoint], { timeout: 10_000 }).catch(() => recover(mountpoint));
  }
  for (const pid of await readdir('/proc')) {
    const words = /^[0-9]+$/.test(pid) ? await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') : '';
    if (!words.includes('/mount/daemon.js') || !words.includes(`${directory}/`)) continue;
    left.push(`daemon ${pid}`);
    process.kill(Number(pid), 'SIGKILL');
  }
  if (left.length > 0) {
    process.exitCode = 1;
    throw new Error(`tests left behind: ${left.join(', ')}`);
  }
  await rm(directory, { recursive: true, force: true });
}
