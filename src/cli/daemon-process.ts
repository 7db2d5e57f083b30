// The daemon as a process: start it and wait for its word, find it, end it. Its argument is one JSON object, so that
// /proc/<pid>/cmdline alone tells which daemon serves which mount point, even when the mount is dead.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { DaemonArguments } from '../../mount/types.ts';
import { CtxError } from '../abi/errors.ts';

const DAEMON_PATH = fileURLToPath(new URL('../../mount/daemon.js', import.meta.url));
const START_LIMIT_MS = 60_000;
/** A killed daemon only frees its memory; on a machine under load that takes its time too. */
const KILLED_LIMIT_MS = 30_000;

/** The command line of the daemon (also for a service that runs it in the foreground). */
export function daemonCommand(daemon: DaemonArguments): readonly [string, readonly string[]] {
  return [process.execPath, [DAEMON_PATH, JSON.stringify(daemon)]];
}

/**
 * Several threads allocate large buffers: with glibc's defaults each keeps arenas of its own and the thresholds creep up, so
 * that a third of the memory is never given back.
 */
export function daemonEnvironment(): NodeJS.ProcessEnv {
  return { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '131072', MALLOC_TRIM_THRESHOLD_: '131072', ...process.env };
}

/** Starts the daemon in its own session and resolves when it says `ready`; what it says instead is the error. */
export async function startDaemon(daemon: DaemonArguments, logFile: string): Promise<number> {
  const [program, args] = daemonCommand(daemon);
  const log = openSync(logFile, 'a', 0o600);
  // cwd '/': a daemon must not keep the caller's directory busy, and never stands inside its own mount.
  const child = spawn(program, args, { detached: true, cwd: '/', env: daemonEnvironment(), stdio: ['ignore', 'pipe', log] });
  closeSync(log);
  const stdout = child.stdout as Readable;
  const failure = (what: string): CtxError =>
    new CtxError('mount.daemon', 'EIO', what, { where: daemon.mountpoint, next: `see ${logFile}, then run: ctx doctor` });
  const said = await new Promise<string>((settle, fail) => {
    let text = '';
    const timer = setTimeout(() => {
      child.kill('SIGTERM');
      fail(failure(`the daemon was not ready after ${START_LIMIT_MS / 1000} s`));
    }, START_LIMIT_MS);
    stdout.setEncoding('utf8');
    stdout.on('data', (piece: string) => {
      text += piece;
      if (text.includes('\n')) settle(text.slice(0, text.indexOf('\n')));
    });
    child.on('error', (error) => fail(failure(`the daemon did not start: ${error.message}`)));
    child.on('exit', (code, signal) =>
      fail(failure(`the daemon ended at once (${signal ?? `exit ${code ?? '?'}`})${text === '' ? '' : `: ${text.trim()}`}`)),
    );
    child.once('exit', () => clearTimeout(timer));
    stdout.once('data', () => clearTimeout(timer));
  });
  child.removeAllListeners();
  stdout.removeAllListeners();
  stdout.destroy();
  child.unref();
  if (said !== 'ready') throw saidError(said) ?? failure(said.replace(/^error: /, ''));
  return child.pid ?? 0;
}

/** `error: code: what and where; next`, as the daemon describes a failure that it knows. */
function saidError(said: string): CtxError | undefined {
  const [, code, what] = /^error: ([a-z_]+\.[a-z_]+): (.*)$/.exec(said) ?? [];
  return code === undefined || what === undefined ? undefined : new CtxError(code, 'EIO', what);
}

/** Daemons that serve this (resolved) mount point, by their command lines. */
export async function findDaemons(mountpoint: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc').catch(() => [])) {
    if (!/^[0-9]+$/.test(name)) continue;
    if ((await daemonOf(Number(name)))?.mountpoint === mountpoint) found.push(Number(name));
  }
  return found;
}

/** What the process serves; undefined when it is not one of our daemons. */
export async function daemonOf(pid: number): Promise<DaemonArguments | undefined> {
  const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  const at = words.findIndex((word) => word.endsWith('/mount/daemon.js'));
  const json = at < 0 ? undefined : words[at + 1];
  if (json === undefined) return undefined;
  try {
    return JSON.parse(json) as DaemonArguments;
  } catch {
    return undefined;
  }
}

/** Waits for a daemon to end; past the grace it is told to, then made to. True when it is gone. */
export async function endDaemon(pid: number, graceMs: number): Promise<boolean> {
  if (await ended(pid, graceMs)) return true;
  signal(pid, 'SIGTERM');
  if (await ended(pid, graceMs)) return true;
  signal(pid, 'SIGKILL');
  return ended(pid, KILLED_LIMIT_MS);
}

async function ended(pid: number, limitMs: number): Promise<boolean> {
  for (let waitedMs = 0; ; waitedMs += 20) {
    if ((await daemonOf(pid)) === undefined) return true;
    if (waitedMs >= limitMs) return false;
    await sleep(20);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended meanwhile.
  }
}
