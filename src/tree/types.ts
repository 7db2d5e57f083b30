// /ctx as nodes: what a name is and what may be done with it. No FUSE here: two drivers serve the same nodes.
// Everything is synchronous except what returns Slow: that is answered when the deriver has finished.
import { CtxError } from '../abi/errors.ts';
import type { ErrnoName } from '../abi/errors.ts';

/** Who asks, as the kernel tells it. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** stat(2). Times are whole seconds and nanoseconds. */
export interface Attr {
  ino: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  sizeBytes: number;
  blocks: number;
  atime: number;
  atimeNsec: number;
  mtime: number;
  mtimeNsec: number;
  ctime: number;
  ctimeNsec: number;
}

/** What SETATTR asks to change; times `'now'` or [seconds, nanoseconds]. */
export interface AttrChange {
  mode?: number;
  uid?: number;
  gid?: number;
  sizeBytes?: number;
  atime?: 'now' | readonly [number, number];
  mtime?: 'now' | readonly [number, number];
  /** Clear set-user-id, and set-group-id of group executables. */
  dropSetId?: boolean;
}

export interface DirectoryEntry {
  readonly name: string;
  /** File type bits (S_IFMT). */
  readonly type: number;
  readonly ino: number;
  /** Present when READDIRPLUS may give the kernel this node at no cost. */
  readonly node?: (() => TreeNode | undefined) | undefined;
}

export type Settled<T> = { readonly value: T } | { readonly error: unknown };

/**
 * Answered later. `ready` is the value that will be the answer when the work succeeds, made now, so that a driver can
 * prepare its reply; `current` is the answer instead when the work finds the content unchanged. `start` posts the
 * work; `done` is called once, on the serving thread. `ticket` is the driver's: the deriver may send the reply itself.
 */
export class Slow<T> {
  readonly ready: T;
  readonly current: { readonly digest: string; readonly value: T } | undefined;
  readonly start: (done: (outcome: Settled<T>) => void, ticket?: ReplyTicket) => void;
  constructor(ready: T, start: Slow<T>['start'], current?: Slow<T>['current']) {
    this.ready = ready;
    this.start = start;
    this.current = current;
  }
}

/** Prepared replies of the driver, opaque to the tree. */
export interface ReplyTicket {
  readonly ready: Uint8Array;
  readonly current: { readonly digest: string; readonly reply: Uint8Array } | undefined;
  /** The reply carries attributes: size and times are filled in from the content. */
  readonly carriesAttributes: boolean;
  readonly unique: readonly [number, number];
}

/** How the kernel may cache what an open file gives. */
export interface OpenMode {
  readonly directIo?: boolean;
  readonly keepCache?: boolean;
  readonly nonSeekable?: boolean;
  readonly cacheDir?: boolean;
  /** Its close says nothing, so that nobody waits for it: who is killed is gone at once, also while the daemon hangs. */
  readonly noFlush?: boolean;
}

/** One open file. `owner` is the kernel's lock owner: it tells apart processes that share a descriptor. */
export abstract class Handle {
  readonly mode: OpenMode = {};
  /** Fills `into` from `offset`; returns the count. */
  read(_offset: number, _into: Buffer): number {
    throw fail('EBADF', 'not open for reading');
  }
  write(_offset: number, _bytes: Buffer, _owner: string, _flags: number): number | Slow<number> {
    throw fail('EBADF', 'not open for writing');
  }
  flush(_owner: string): void | Slow<null> {}
  release(): void {}
  fsync(_dataOnly: boolean): void | null | Slow<null> {}
  /** A write by someone without privilege clears set-id bits. */
  dropSetId(): void {}
  /** Backing descriptor, where there is one (fallocate, lseek, ftruncate, fchmod). */
  descriptor(): number | undefined {
    return undefined;
  }
}

/** One open directory: a snapshot taken at offset 0. */
export class DirectoryHandle extends Handle {
  readonly node: TreeNode;
  entries: readonly DirectoryEntry[] | undefined;
  override readonly mode: OpenMode;
  constructor(node: TreeNode, mode: OpenMode = {}) {
    super();
    this.node = node;
    this.mode = mode;
  }
  override fsync(): void {}
}

export interface Created {
  readonly node: TreeNode;
  readonly handle: Handle;
}

export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

/** A name's object. The defaults refuse; every class overrides what it allows. */
export abstract class TreeNode {
  /** Table index given by the driver; 0 when the kernel does not know this node. */
  nodeid = 0;
  lookups = 0;
  /** How long the kernel may keep the name and the attributes, in ms. */
  entryTtlMs = 1000;
  attrTtlMs = 1000;

  abstract attr(handle?: Handle): Attr;

  lookup(_name: string, _caller: Caller): TreeNode | Slow<TreeNode> {
    throw fail('ENOTDIR', 'not a directory');
  }
  setattr(_change: AttrChange, _caller: Caller, _handle?: Handle): Attr {
    throw fail('EPERM', 'attributes of this file may not be changed');
  }
  readlink(): string {
    throw fail('EINVAL', 'not a symbolic link');
  }
  open(_flags: number, _caller: Caller): Handle | Slow<Handle> {
    throw fail('EISDIR', 'is a directory');
  }
  opendir(_caller: Caller): DirectoryHandle | Slow<DirectoryHandle> {
    throw fail('ENOTDIR', 'not a directory');
  }
  readdir(_handle: DirectoryHandle): readonly DirectoryEntry[] {
    throw fail('ENOTDIR', 'not a directory');
  }
  create(_name: string, _mode: number, _flags: number, _caller: Caller): Created {
    throw fail('EPERM', 'files cannot be created here');
  }
  mknod(_name: string, _mode: number, _rdev: number, _caller: Caller): TreeNode {
    throw fail('EPERM', 'files cannot be created here');
  }
  mkdir(_name: string, _mode: number, _caller: Caller): TreeNode {
    throw fail('EPERM', 'directories cannot be created here');
  }
  symlink(_name: string, _target: string, _caller: Caller): TreeNode {
    throw fail('EPERM', 'symbolic links cannot be created here');
  }
  link(_node: TreeNode, _name: string, _caller: Caller): TreeNode {
    throw fail('EPERM', 'links cannot be created here');
  }
  unlink(_name: string, _caller: Caller): void | Slow<null> {
    throw fail('EPERM', 'this may not be removed');
  }
  rmdir(_name: string, _caller: Caller): void {
    throw fail('EPERM', 'this may not be removed');
  }
  rename(_name: string, _parent: TreeNode, _newName: string, _flags: number, _caller: Caller): void | Slow<null> {
    throw fail('EPERM', 'this may not be renamed');
  }
  getxattr(_name: string): Buffer {
    throw fail('ENODATA', 'no such attribute');
  }
  listxattr(): readonly string[] {
    return [];
  }
  setxattr(_name: string, _value: Buffer, _flags: number): void {
    throw fail('EOPNOTSUPP', 'extended attributes cannot be set here');
  }
  removexattr(_name: string): void {
    throw fail('EOPNOTSUPP', 'extended attributes cannot be removed here');
  }
  /** The kernel dropped its last reference. */
  forget(): void {}
}

/** A refusal of the tree. `tree.<errno>` is the code; the errno is what the caller sees. */
export function fail(errno: ErrnoName, what: string): CtxError {
  return new CtxError(`tree.${errno.toLowerCase()}`, errno, what);
}
