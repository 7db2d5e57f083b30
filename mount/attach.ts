// The two ways to a mounted /dev/fuse descriptor: mount(8) as root, fusermount3 as an ordinary user.
import { closeSync, constants, openSync } from 'node:fs';
import { CtxError } from '../src/abi/errors.ts';
import { runCommand, type CommandResult } from './command.ts';
import { socketPair } from './received-fd.ts';

const TIMEOUT_MS = 15_000;
const S_IFDIR = '40000';

/** Opens /dev/fuse here and lets mount(8) inherit it as fd 3: no native code. */
export async function attachAsRoot(target: string, options: readonly string[]): Promise<number> {
  let fd: number;
  try {
    fd = openSync('/dev/fuse', constants.O_RDWR);
  } catch (cause) {
    throw deviceError(cause);
  }
  const list = ['fd=3', `rootmode=${S_IFDIR}`, 'user_id=0', 'group_id=0', 'subtype=ctxfs', ...options].join(',');
  const result = await runCommand('mount', ['-i', '-c', '-t', 'fuse', '-o', list, 'ctxfs', target], {
    timeoutMs: TIMEOUT_MS,
    inheritFd: fd,
  });
  if (result.status === 0) return fd;
  closeSync(fd);
  throw mountError('mount', result, target);
}

/** fusermount3 opens /dev/fuse as setuid root, mounts, and sends the descriptor back over a socket pair. */
export async function attachWithFusermount(target: string, options: readonly string[]): Promise<number> {
  const pair = await socketPair();
  try {
    const list = ['fsname=ctxfs', 'subtype=ctxfs', ...options].join(',');
    const result = await runCommand('fusermount3', ['-o', list, '--', target], {
      timeoutMs: TIMEOUT_MS,
      inheritFd: pair.childFd,
      env: { _FUSE_COMMFD: '3' },
    });
    // The message waits in the socket after fusermount3 has ended, so this receive never blocks.
    const fd = result.status === 0 ? pair.receive() : undefined;
    if (fd !== undefined) return fd;
    throw mountError('fusermount3', result, target);
  } finally {
    pair.close();
  }
}

function deviceError(cause: unknown): CtxError {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'EACCES' || code === 'EPERM') {
    return new CtxError('mount.device', 'EACCES', 'may not be opened', {
      where: '/dev/fuse',
      next: 'give the container the device (--device /dev/fuse, CAP_SYS_ADMIN)',
      cause,
    });
  }
  return new CtxError('mount.device', 'ENODEV', 'is not there', {
    where: '/dev/fuse',
    next: 'load the kernel module (modprobe fuse)',
    cause,
  });
}

function mountError(program: string, result: CommandResult, target: string): CtxError {
  if (result.missing) {
    return new CtxError('mount.program_missing', 'ENOSYS', `${program} is not installed`, {
      where: target,
      next: program === 'mount' ? 'install util-linux' : 'install the package fuse3, or mount as root',
    });
  }
  const what = result.timedOut ? `${program} did not return` : result.stderr.trim() || `${program} ended with status ${result.status}`;
  const denied = /permission|not permitted/i.test(what);
  return new CtxError('mount.refused', denied ? 'EPERM' : 'EIO', what, {
    where: target,
    next: program === 'mount' ? 'mounting needs CAP_SYS_ADMIN' : 'the mount point must be yours and writable, and /dev/fuse open to you',
  });
}
