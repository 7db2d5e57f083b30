// ctx doctor: what this machine needs for a mount, and the next step for whatever is missing.
import { access, constants, readFile, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Command } from 'commander';

import { runCommand } from '../../mount/command.ts';
import { mountState } from '../../mount/lifecycle.ts';
import { MOUNT_TYPE, parseMountTable, type MountEntry } from '../../mount/mount-table.ts';
import { findDaemons } from './daemon-process.ts';
import { EXIT } from './exit-codes.ts';
import { sizeWords } from './figures.ts';
import { mountRoot, openStore, storeRoot } from './roots.ts';
import { examples, type Shell } from './shell.ts';

/** `warn` is worth knowing; `fail` is what keeps a mount from working. */
interface Finding {
  readonly check: string;
  readonly level: 'ok' | 'warn' | 'fail';
  readonly found: string;
  readonly next?: string;
}

const LOW_DISK_BYTES = 256 * 1024 * 1024;

export function registerDoctor(program: Command, shell: Shell): void {
  program
    .command('doctor')
    .description('check what a mount needs on this machine')
    .option('--json', 'print an array')
    .addHelpText('after', examples(['ctx doctor', 'exit 5 when something is missing']))
    .action(async (options: { json?: boolean }) => {
      const findings = await examine(shell);
      const { terminal } = shell;
      if (options.json === true) terminal.json(findings);
      else {
        for (const { check, level, found, next } of findings) {
          const mark = terminal.style(level === 'ok' ? 'green' : level === 'warn' ? 'yellow' : 'red', level.padEnd(4));
          terminal.line(`${mark}  ${check}: ${found}${next === undefined ? '' : `; ${next}`}`);
        }
      }
      if (findings.some(({ level }) => level === 'fail')) shell.exit(EXIT.findings);
    });
}

async function examine(shell: Shell): Promise<readonly Finding[]> {
  const found = await Promise.all([fuseDevice(shell), fusermount(shell), storeAccess(shell), mounts(shell)]);
  return [...nodeVersion(), ...found.flat()];
}

function nodeVersion(): readonly Finding[] {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fits = major > 20 || (major === 20 && minor >= 19);
  return [fits ? ok('node', process.versions.node) : fail('node', `${process.versions.node} is too old`, 'install Node 20.19 or newer')];
}

async function fuseDevice(shell: Shell): Promise<readonly Finding[]> {
  const check = '/dev/fuse';
  const device = await stat(check).catch(() => undefined);
  if (device === undefined)
    return [fail(check, 'does not exist', 'load the module (modprobe fuse), or give the container --device /dev/fuse')];
  if (await may(check, constants.R_OK | constants.W_OK)) return [ok(check, 'usable')];
  const next =
    shell.uid === 0 ? 'give the container --device /dev/fuse and CAP_SYS_ADMIN' : 'ask an administrator for: chmod 666 /dev/fuse';
  return [fail(check, 'may not be opened by this user', next)];
}

function may(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

async function fusermount(shell: Shell): Promise<readonly Finding[]> {
  const check = 'fusermount3';
  const result = await runCommand('fusermount3', ['--version'], { timeoutMs: 5_000 });
  if (!result.missing) return [ok(check, result.stdout.trim() || 'installed')];
  if (shell.uid === 0) return [ok(check, 'not installed (root needs none)')];
  return [fail(check, 'is not installed', 'ask an administrator for: apt-get install fuse3')];
}

async function storeAccess(shell: Shell): Promise<readonly Finding[]> {
  const store = storeRoot(shell);
  let place = store;
  while (place !== '/' && (await stat(place).catch(() => undefined)) === undefined) place = dirname(place);
  const writable = await may(place, constants.W_OK);
  if (!writable) return [fail('store', `${store} cannot be written (${place})`, 'name another with CTX_STORE, or fix its owner')];
  const { bavail, bsize } = await statfs(place);
  const free = Number(bavail) * Number(bsize);
  const words = `${store}, ${sizeWords(free)} free`;
  const open = await openStore(store, shell.uid);
  if (open !== undefined) return [{ check: 'store', level: 'warn', ...open }];
  return [free < LOW_DISK_BYTES ? { check: 'store', level: 'warn', found: words, next: 'free space, or run: ctx gc' } : ok('store', words)];
}

async function mounts(shell: Shell): Promise<readonly Finding[]> {
  const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8').catch(() => ''));
  // Mounts of other users may lie where this one cannot look, and so seem dead.
  const mine = (entry: MountEntry): boolean =>
    entry.type === MOUNT_TYPE && (shell.uid === 0 || entry.options.split(',').includes(`user_id=${shell.uid}`));
  const places = new Set([mountRoot(shell), ...table.filter(mine).map(({ mountpoint }) => mountpoint)]);
  const findings: Finding[] = [];
  for (const place of places) {
    const state = await mountState(place);
    const daemons = await findDaemons(place);
    const pids = daemons.length === 0 ? '' : ` (daemon ${daemons.join(', ')})`;
    if (state === 'live') findings.push(ok('mount', `${place} is live${pids}`));
    else if (state === 'dead') findings.push(fail('mount', `${place} is dead${pids}`, `run: ctx mount ${place}, or ctx umount ${place}`));
    else if (state === 'other')
      findings.push({
        check: 'mount',
        level: 'warn',
        found: `${place} holds another filesystem`,
        next: 'name another mount point with CTX_ROOT',
      });
    else if (daemons.length > 0)
      findings.push(fail('mount', `${place} is not mounted, yet a daemon runs${pids}`, `run: ctx umount ${place}`));
    else findings.push(ok('mount', `${place} is free`));
  }
  return findings;
}

function ok(check: string, found: string): Finding {
  return { check, level: 'ok', found };
}

function fail(check: string, found: string, next: string): Finding {
  return { check, level: 'fail', found, next };
}
