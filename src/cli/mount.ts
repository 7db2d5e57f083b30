// ctx mount: starts the daemon and returns when the mount answers. Safe to repeat; recovers a dead mount first.
import { spawn } from 'node:child_process';
import { access, mkdir, rename, stat } from 'node:fs/promises';
import { constants } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';

import { mountState, recover } from '../../mount/lifecycle.ts';
import { resolveMountpoint } from '../../mount/mount-table.ts';
import type { DaemonArguments, DriverName } from '../../mount/types.ts';
import { CtxError } from '../abi/errors.ts';
import { daemonCommand, daemonEnvironment, endDaemon, findDaemons, startDaemon } from './daemon-process.ts';
import { asCtxError, usageError } from './errors.ts';
import { parseStatus, readGuarded } from './mounted.ts';
import { mountRoot, openStore, storeRoot } from './roots.ts';
import { examples, type Shell } from './shell.ts';

const ANSWER_LIMIT_MS = 20_000;
const LOG_LIMIT_BYTES = 8 * 1024 * 1024;
const DRIVERS: readonly DriverName[] = ['kernel', 'fuse-native'];

interface Options {
  readonly store?: string;
  readonly foreground?: boolean;
  readonly driver: string;
  readonly json?: boolean;
}

export function registerMount(program: Command, shell: Shell): void {
  program
    .command('mount')
    .description('mount the store; returns when the mount answers')
    .argument('[mountpoint]', 'default: CTX_ROOT, else /ctx for root and ~/ctx for others')
    .option('--store <dir>', 'backing directory (default: CTX_STORE, else /var/lib/ctxfs for root, the XDG data directory for others)')
    .option('--foreground', 'stay in the foreground (for services)')
    .option('--driver <name>', `mount driver: ${DRIVERS.join(', ')}`, 'kernel')
    .option('--json', 'print mount point, store and pid')
    .addHelpText(
      'after',
      examples(
        ['ctx mount', 'the default places'],
        ['ctx mount ./ctx --store ./store', 'somewhere else'],
        ['ctx mount --foreground', 'under a service manager'],
      ),
    )
    .action(async (mountpoint: string | undefined, options: Options) => {
      const daemon = await plan(shell, mountpoint, options);
      if (await standsAlready(daemon)) return report(shell, daemon, options, 'already mounted');
      await mkdir(daemon.store, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
        throw asCtxError(error, daemon.store);
      });
      await access(daemon.store, constants.W_OK).catch((error: unknown) => {
        throw asCtxError(error, daemon.store);
      });
      const open = await openStore(daemon.store, shell.uid);
      if (open !== undefined) shell.terminal.note(`ctx: ${open.found}; ${open.next}`);
      if (options.foreground === true) return shell.exit(await stayInForeground(daemon));
      const logFile = await prepareLog(daemon.store);
      await startDaemon({ ...daemon, logFile }, logFile);
      await untilItAnswers(daemon, logFile);
      await report(shell, daemon, options, 'mounted');
    });
}

async function plan(shell: Shell, mountpoint: string | undefined, options: Options): Promise<DaemonArguments> {
  const driver = DRIVERS.find((name) => name === options.driver);
  if (driver === undefined) throw usageError(`${options.driver} is not a driver`, `use ${DRIVERS.join(' or ')}`);
  const target = await resolveMountpoint(mountRoot(shell, mountpoint));
  const store = storeRoot(shell, options.store);
  for (const [outer, inner] of [
    [target, store],
    [store, target],
  ] as const) {
    const below = relative(outer, inner);
    if (!below.startsWith('..')) throw usageError(`${inner} lies in ${outer}`, 'keep mount point and store apart');
  }
  return { mountpoint: target, store, driver, foreground: options.foreground === true, logFile: null };
}

/** True when this very mount is live. Leaves a free mount point otherwise, or fails. */
async function standsAlready(daemon: DaemonArguments): Promise<boolean> {
  let state = await mountState(daemon.mountpoint);
  if (state === 'dead') {
    state = await recover(daemon.mountpoint);
    // Its connection is gone: a daemon that is left only holds the store's lock.
    for (const pid of state === 'live' ? [] : await findDaemons(daemon.mountpoint)) await endDaemon(pid, 3_000);
  }
  if (state === 'none') return false;
  const where = { where: daemon.mountpoint };
  if (state === 'other')
    throw new CtxError('mount.busy', 'EBUSY', 'another filesystem is mounted here', { ...where, next: 'choose another mount point' });
  if (state === 'dead')
    throw new CtxError('mount.dead', 'EBUSY', 'a dead mount could not be taken away', { ...where, next: 'run as root: umount -l' });
  const status = parseStatus((await readGuarded(join(daemon.mountpoint, 'status'))) ?? '');
  const serves = status.get('store');
  if (serves === daemon.store) return true;
  throw new CtxError('mount.busy', 'EBUSY', `serves another store (${serves ?? 'unknown'})`, {
    ...where,
    next: 'choose another mount point, or run: ctx umount',
  });
}

async function untilItAnswers(daemon: DaemonArguments, logFile: string): Promise<void> {
  for (const startedMs = Date.now(); Date.now() - startedMs < ANSWER_LIMIT_MS; await sleep(50)) {
    if (((await readGuarded(join(daemon.mountpoint, 'status'))) ?? '').includes('abi=')) return;
  }
  throw new CtxError('mount.silent', 'ETIMEDOUT', `does not answer after ${ANSWER_LIMIT_MS / 1000} s`, {
    where: daemon.mountpoint,
    next: `see ${logFile}, then run: ctx umount`,
  });
}

/** The log lies in the store, one older one beside it. */
async function prepareLog(store: string): Promise<string> {
  const logFile = join(store, 'daemon.log');
  const size = await stat(logFile).then(
    ({ size: bytes }) => bytes,
    () => 0,
  );
  if (size > LOG_LIMIT_BYTES) await rename(logFile, `${logFile}.1`);
  return logFile;
}

async function stayInForeground(daemon: DaemonArguments): Promise<number> {
  const [program, args] = daemonCommand(daemon);
  const child = spawn(program, args, { cwd: '/', env: daemonEnvironment(), stdio: 'inherit' });
  // The daemon unmounts on these; we only pass them on and wait for it.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.kill(name));
  return new Promise((settle, fail) => {
    child.on('error', fail);
    child.on('exit', (code) => settle(code ?? 1));
  });
}

async function report(shell: Shell, daemon: DaemonArguments, options: Options, what: string): Promise<void> {
  const status = parseStatus((await readGuarded(join(daemon.mountpoint, 'status'))) ?? '');
  const { mountpoint, store } = daemon;
  if (options.json === true)
    shell.terminal.json({
      mountpoint,
      store,
      driver: status.get('driver') ?? daemon.driver,
      pid: Number(status.get('pid')),
      fresh: what === 'mounted',
    });
  else shell.terminal.line(`${what}: ${store} on ${mountpoint}`);
}
