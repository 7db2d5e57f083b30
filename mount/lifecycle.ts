// Mounting, probing, unmounting and recovering. Nothing here touches the mount itself in this process:
// a serving process that asks its own mount deadlocks, and a hung mount blocks whoever asks it.
import { constants } from 'node:fs';
import { mkdir, open, readFile, readdir, stat } from 'node:fs/promises';
import { CtxError } from '../src/abi/errors.ts';
import { attachAsRoot, attachWithFusermount } from './attach.ts';
import { runCommand, type CommandResult } from './command.ts';
import { MOUNT_TYPE, mountAt, resolveMountpoint, type MountEntry } from './mount-table.ts';
import type { Attached, MountState } from './types.ts';

export interface AttachOptions {
  /** More mount options, for example `max_read=131072`. */
  readonly options?: readonly string[];
  /** Let other users in; default: yes for root, and for a user when /etc/fuse.conf has user_allow_other. */
  readonly allowOther?: boolean;
  /** Mount over a directory that is not empty (its files are hidden meanwhile). */
  readonly nonEmpty?: boolean;
}

export interface DetachOptions {
  /** Take the name away now, and the rest when the last user has closed its files. */
  readonly lazy?: boolean;
}

export interface ProbeOptions {
  /** A mount that does not answer within this time counts as dead. */
  readonly timeoutMs?: number;
}

const PROBE_TIMEOUT_MS = 5_000;
const COMMAND_TIMEOUT_MS = 15_000;

/**
 * Opens a FUSE connection and mounts it. The mount answers nothing until the caller serves the descriptor.
 * A missing mount point is created; a dead mount of ours is recovered first.
 */
export async function attach(mountpoint: string, options: AttachOptions = {}): Promise<Attached> {
  const target = await prepareMountpoint(mountpoint, options.nonEmpty ?? false);
  const unprivileged = process.geteuid?.() !== 0;
  const allowOther = options.allowOther ?? (unprivileged ? await usersMayAllowOther() : true);
  const list = ['nosuid', 'nodev', 'default_permissions', ...(allowOther ? ['allow_other'] : []), ...(options.options ?? [])];
  const fd = unprivileged ? await attachWithFusermount(target, list) : await attachAsRoot(target, list);
  return { fd, mountpoint: target, unprivileged };
}

/**
 * Makes a place ready to be mounted on and gives its resolved path: a dead mount of ours is recovered, a missing
 * directory created; a live or foreign mount, a file and a directory that holds files are refused.
 */
export async function prepareMountpoint(mountpoint: string, nonEmpty = false): Promise<string> {
  const target = await resolveMountpoint(mountpoint);
  let state = await mountState(target);
  if (state === 'dead') state = await recover(target);
  if (state !== 'none') {
    const what = state === 'live' ? 'ctxfs is already mounted here' : 'another filesystem is mounted here';
    const next = state === 'live' ? 'use it, or run ctx umount first' : 'choose another mount point';
    throw new CtxError('mount.busy', 'EBUSY', what, { where: target, next });
  }
  await makeDirectory(target, nonEmpty);
  return target;
}

/** What stands at the mount point. Reads the mount table and asks the filesystem through a child process: never blocks. */
export async function mountState(mountpoint: string, options: ProbeOptions = {}): Promise<MountState> {
  const entry = await mountAt(await resolveMountpoint(mountpoint));
  if (entry === undefined) return 'none';
  if (entry.type !== MOUNT_TYPE) return 'other';
  return (await probe(entry, options.timeoutMs)) === 'answers' ? 'live' : 'dead';
}

/** Unmounts. Nothing mounted is success; a mount that is in use is EBUSY unless lazy. */
export async function detach(mountpoint: string, options: DetachOptions = {}): Promise<void> {
  const target = await resolveMountpoint(mountpoint);
  if ((await mountAt(target)) === undefined) return;
  const result = await unmount(target, options.lazy ?? false);
  // Judged by the table: a daemon that ends on its own may have taken the mount away first.
  if (result.status === 0 || (await mountAt(target)) === undefined) return;
  const busy = /busy/i.test(result.stderr);
  throw new CtxError(
    busy ? 'mount.in_use' : 'mount.umount_failed',
    busy ? 'EBUSY' : result.missing ? 'ENOSYS' : 'EPERM',
    result.timedOut ? 'umount did not return' : result.stderr.trim(),
    {
      where: target,
      next: busy
        ? 'close the programs that use it (fuser -vm shows them), or unmount with --lazy'
        : 'unmount as the user who mounted it, or as root',
    },
  );
}

/**
 * Takes dead mounts of ours away: a hung connection is aborted first (which frees every process blocked in it),
 * then unmounted lazily. Live and foreign mounts are left alone. Returns the state afterwards.
 */
export async function recover(mountpoint: string, options: ProbeOptions = {}): Promise<MountState> {
  const target = await resolveMountpoint(mountpoint);
  // Daemons that died one after another may have left a stack; 16 is far past any real one.
  for (let layer = 0; layer < 16; layer++) {
    const entry = await mountAt(target);
    if (entry === undefined) return 'none';
    if (entry.type !== MOUNT_TYPE) return 'other';
    const health = await probe(entry, options.timeoutMs);
    if (health === 'answers') return 'live';
    if (health === 'hangs') await abortConnection(entry);
    await detach(target, { lazy: true });
  }
  return 'dead';
}

type Health = 'answers' | 'gone' | 'hangs';

/** STATFS is never answered from a cache, so it tells whether the daemon is there. */
async function probe(entry: MountEntry, timeoutMs: number = PROBE_TIMEOUT_MS): Promise<Health> {
  const result = await runCommand('stat', ['-f', '-c', '%T', '--', entry.mountpoint], { timeoutMs });
  if (result.timedOut) return 'hangs';
  return result.status === 0 ? 'answers' : 'gone';
}

async function unmount(target: string, lazy: boolean): Promise<CommandResult> {
  const timeoutMs = COMMAND_TIMEOUT_MS;
  if (process.geteuid?.() === 0) {
    // -c: the path is resolved already, and umount must not ask the mount about it.
    return runCommand('umount', ['-i', '-c', ...(lazy ? ['-l'] : []), '--', target], { timeoutMs });
  }
  return runCommand('fusermount3', [lazy ? '-uz' : '-u', '--', target], { timeoutMs });
}

/** Every process blocked in the connection gets an error and goes on; a daemon that still lives reads ENODEV. */
async function abortConnection(entry: MountEntry): Promise<void> {
  if (process.geteuid?.() === 0) {
    // MNT_FORCE aborts the connection, and unmounts too when nothing holds the mount; the caller looks again.
    await runCommand('umount', ['-i', '-c', '-f', '--', entry.mountpoint], { timeoutMs: COMMAND_TIMEOUT_MS });
    return;
  }
  try {
    const abort = await open(`/sys/fs/fuse/connections/${entry.minor}/abort`, constants.O_WRONLY);
    try {
      await abort.write('1');
    } finally {
      await abort.close();
    }
  } catch (cause) {
    // ENOENT: fusectl is not mounted, or the connection has ended meanwhile; the lazy unmount follows either way.
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new CtxError('mount.not_yours', 'EPERM', 'a hung mount belongs to another user', {
      where: entry.mountpoint,
      next: 'run ctx umount as that user or as root',
      cause,
    });
  }
}

async function makeDirectory(target: string, nonEmpty: boolean): Promise<void> {
  try {
    await mkdir(target, { recursive: true });
    if (!(await stat(target)).isDirectory()) throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const isFile = code === 'ENOTDIR' || code === 'EEXIST';
    throw new CtxError('mount.mountpoint', isFile ? 'ENOTDIR' : 'EACCES', isFile ? 'is not a directory' : 'cannot be created', {
      where: target,
      next: 'choose a directory that you may write, as ctx mount DIRECTORY',
      cause,
    });
  }
  if (!nonEmpty && (await readdir(target)).length > 0) {
    throw new CtxError('mount.not_empty', 'ENOTEMPTY', 'holds files that the mount would hide', {
      where: target,
      next: 'empty it or choose another mount point',
    });
  }
}

async function usersMayAllowOther(): Promise<boolean> {
  const text = await readFile('/etc/fuse.conf', 'utf8').catch(() => '');
  return text.split('\n').some((line) => line.trim() === 'user_allow_other');
}
