// The operations of fuse-native over the tree. What it cannot tell us (caller, lock owner, rename flags, create flags)
// is filled with what is safe: the daemon's own user, one owner per open file.
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import { DirectoryHandle, fail } from '../../src/tree/types.ts';
import type { Attr, AttrChange, Caller, Handle, TreeNode } from '../../src/tree/types.ts';
import { errnoOf } from '../errno.ts';
import { HandleTable } from '../kernel/tables.ts';
import type { Done, NativeOperations, NativeStat } from './binding.ts';
import { nameFromTree, nameToTree, Paths, settle } from './paths.ts';

export interface OperationsOptions {
  readonly root: TreeNode;
  readonly caller: Caller;
  readonly storePath: string;
  readonly log: (line: string) => void;
}

interface OpenFile {
  readonly handle: Handle;
  readonly flags: number;
}

export function operations(options: OperationsOptions): { readonly handlers: NativeOperations; releaseAll(): void } {
  const { root, caller, log } = options;
  const paths = new Paths(root, caller);
  const table = new HandleTable();
  const flagsOf = new Map<number, number>();

  const opened = (handle: Handle, flags: number): number => {
    const fd = table.add(handle);
    flagsOf.set(fd, flags);
    return fd;
  };
  const file = (fd: number): OpenFile => ({ handle: table.get(fd), flags: flagsOf.get(fd) ?? 0 });
  const release = (fd: number): number => {
    flagsOf.delete(fd);
    table.remove(fd).release();
    if (flagsOf.size === 0) paths.sweep();
    return 0;
  };
  const change = async (path: string, what: AttrChange, handle?: Handle): Promise<number> => {
    (await paths.node(path)).setattr(what, caller, handle);
    return 0;
  };

  type Answer = number | readonly [number, ...unknown[]];
  /** Every handler answers exactly once, whatever happens. */
  const answering =
    <A extends readonly unknown[]>(name: string, run: (...args: A) => Answer | Promise<Answer>) =>
    (...all: readonly unknown[]): void => {
      const done = all.at(-1) as Done;
      void (async () => run(...(all.slice(0, -1) as unknown as A)))().then(
        (answer) => {
          if (typeof answer === 'number') done(answer);
          else done(answer[0], ...answer.slice(1));
        },
        (error: unknown) => {
          const { errno, expected } = errnoOf(error);
          if (!expected) log(`${name}: ${(error as Error).stack ?? String(error)}`);
          done(-errno);
        },
      );
    };

  const table_: Record<string, (...args: readonly unknown[]) => void> = {
    getattr: answering('getattr', async (path: string) => [0, toStat((await paths.node(path)).attr())]),
    readdir: answering('readdir', async (path: string) => {
      const node = await paths.node(path);
      const handle = await settle(node.opendir(caller));
      try {
        return [0, ['.', '..', ...node.readdir(handle).map((entry) => nameFromTree(entry.name))]];
      } finally {
        handle.release();
      }
    }),
    opendir: answering('opendir', async (path: string) => [0, opened(await settle((await paths.node(path)).opendir(caller)), 0)]),
    releasedir: answering('releasedir', (_path: string, fd: number) => release(fd)),
    open: answering('open', async (path: string, flags: number) => [
      0,
      opened(await settle((await paths.node(path)).open(flags, caller)), flags),
    ]),
    create: answering('create', async (path: string, mode: number) => {
      const { parent, name } = await paths.place(path);
      const flags = constants.O_RDWR;
      return [0, opened(parent.create(name, mode, flags, caller).handle, flags)];
    }),
    read: answering('read', (_path: string, fd: number, buffer: Buffer, size: number, offset: number) =>
      file(fd).handle.read(offset, buffer.subarray(0, size)),
    ),
    write: answering('write', (_path: string, fd: number, buffer: Buffer, size: number, offset: number) => {
      const { handle, flags } = file(fd);
      // The buffer is libfuse's and is used again as soon as this is answered.
      return settle(handle.write(offset, buffer.subarray(0, size), '', flags));
    }),
    flush: answering('flush', async (_path: string, fd: number) => {
      await settle(file(fd).handle.flush(''));
      return 0;
    }),
    fsync: answering('fsync', async (_path: string, dataOnly: boolean, fd: number) => {
      await settle(file(fd).handle.fsync(dataOnly));
      return 0;
    }),
    release: answering('release', (_path: string, fd: number) => release(fd)),
    truncate: answering('truncate', (path: string, sizeBytes: number) => change(path, { sizeBytes })),
    ftruncate: answering('ftruncate', (path: string, fd: number, sizeBytes: number) => change(path, { sizeBytes }, file(fd).handle)),
    chmod: answering('chmod', (path: string, mode: number) => change(path, { mode })),
    chown: answering('chown', (path: string, uid: number, gid: number) => change(path, { ...owner('uid', uid), ...owner('gid', gid) })),
    utimens: answering('utimens', (path: string, atimeMs: number, mtimeMs: number) =>
      change(path, { atime: seconds(atimeMs), mtime: seconds(mtimeMs) }),
    ),
    readlink: answering('readlink', async (path: string) => [0, nameFromTree((await paths.node(path)).readlink())]),
    symlink: answering('symlink', async (target: string, path: string) => {
      const { parent, name } = await paths.place(path);
      parent.symlink(name, nameToTree(target), caller);
      return 0;
    }),
    link: answering('link', async (from: string, to: string) => {
      const node = await paths.node(from);
      const { parent, name } = await paths.place(to);
      parent.link(node, name, caller);
      return 0;
    }),
    rename: answering('rename', async (from: string, to: string) => {
      const source = await paths.place(from);
      const target = await paths.place(to);
      await settle(source.parent.rename(source.name, target.parent, target.name, 0, caller));
      return 0;
    }),
    mknod: answering('mknod', async (path: string, mode: number, rdev: number) => {
      const { parent, name } = await paths.place(path);
      parent.mknod(name, mode, rdev, caller);
      return 0;
    }),
    mkdir: answering('mkdir', async (path: string, mode: number) => {
      const { parent, name } = await paths.place(path);
      parent.mkdir(name, mode, caller);
      return 0;
    }),
    unlink: answering('unlink', async (path: string) => {
      const { parent, name } = await paths.place(path);
      await settle(parent.unlink(name, caller));
      return 0;
    }),
    rmdir: answering('rmdir', async (path: string) => {
      const { parent, name } = await paths.place(path);
      parent.rmdir(name, caller);
      return 0;
    }),
    getxattr: answering('getxattr', async (path: string, name: string) => [0, (await paths.node(path)).getxattr(name)]),
    listxattr: answering('listxattr', async (path: string) => [0, (await paths.node(path)).listxattr()]),
    setxattr: answering('setxattr', async (path: string, name: string, value: Buffer, _position: number, flags: number) => {
      (await paths.node(path)).setxattr(name, value, flags);
      return 0;
    }),
    removexattr: answering('removexattr', async (path: string, name: string) => {
      (await paths.node(path)).removexattr(name);
      return 0;
    }),
    statfs: answering('statfs', () => [0, statfs(options.storePath)]),
  };
  return {
    handlers: table_ as unknown as NativeOperations,
    releaseAll() {
      for (const handle of table.drain()) {
        if (handle instanceof DirectoryHandle) continue;
        try {
          handle.release();
        } catch (error) {
          log(`release at the end failed: ${String(error)}`);
        }
      }
    },
  };
}

function toStat(attr: Attr): NativeStat {
  return {
    mode: attr.mode,
    uid: attr.uid,
    gid: attr.gid,
    size: attr.sizeBytes,
    nlink: attr.nlink,
    ino: attr.ino,
    rdev: attr.rdev,
    blksize: 4096,
    blocks: attr.blocks,
    atime: ms(attr.atime, attr.atimeNsec),
    mtime: ms(attr.mtime, attr.mtimeNsec),
    ctime: ms(attr.ctime, attr.ctimeNsec),
  };
}

/** Whole milliseconds are all it carries, and none before 1970. */
function ms(wholeSeconds: number, nsec: number): number {
  return Math.max(0, wholeSeconds * 1000 + Math.floor(nsec / 1e6));
}

function seconds(timeMs: number): readonly [number, number] {
  const whole = Math.floor(timeMs / 1000);
  return [whole, Math.round((timeMs - whole * 1000) * 1e6)];
}

/** chown(2): -1 leaves an id as it is. */
function owner(key: 'uid' | 'gid', id: number): AttrChange {
  return id < 0 || id === 0xffff_ffff ? {} : { [key]: id };
}

function statfs(storePath: string): Record<string, number> {
  const found = fs.statfsSync(storePath);
  if (found.bsize === 0) throw fail('EIO', 'the store answers no statfs');
  // Its fields have 32 bits: larger blocks until the counts fit.
  let scale = 1;
  while (found.blocks / scale > 0xffff_ffff) scale *= 2;
  const bsize = found.bsize * scale;
  const blocks = (count: number): number => Math.floor(count / scale);
  const files = (count: number): number => Math.min(count, 0xffff_ffff);
  return {
    bsize,
    frsize: bsize,
    blocks: blocks(found.blocks),
    bfree: blocks(found.bfree),
    bavail: blocks(found.bavail),
    files: files(found.files),
    ffree: files(found.ffree),
    favail: files(found.ffree),
    namemax: 255,
  };
}
