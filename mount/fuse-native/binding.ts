// What we use of the npm package fuse-native (2.2.6, libfuse 2.9), typed. It is an optional dependency.
import { createRequire } from 'node:module';
import { CtxError } from '../../src/abi/errors.ts';

/** 0, a count, or a negative errno; then what the operation gives. */
export type Done = (result: number, value?: unknown, more?: unknown) => void;

export interface NativeStat {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly ino: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
}

/** Handlers by operation name; the last argument is the callback. A handler that throws would end the process. */
export type NativeOperations = Readonly<Record<string, (...args: readonly never[]) => void>>;

export interface NativeMount {
  mount(done: (error: Error | null) => void): void;
}

interface NativeOptions {
  readonly fsname: string;
  readonly subtype: string;
  readonly defaultPermissions: boolean;
  readonly attrTimeout: string;
  readonly entryTimeout: string;
  readonly timeout: false;
}

export type NativeClass = new (mountpoint: string, operations: NativeOperations, options: NativeOptions) => NativeMount;

export function loadBinding(): NativeClass {
  try {
    return createRequire(import.meta.url)('fuse-native') as NativeClass;
  } catch (cause) {
    const libfuse = /libfuse/.test(String(cause));
    throw new CtxError(
      'mount.no_fuse_native',
      'ENOSYS',
      libfuse ? 'libfuse 2 is not installed' : 'the optional package fuse-native does not load here',
      {
        next: libfuse ? 'install the package libfuse2, or use --driver kernel' : 'npm install fuse-native, or use --driver kernel',
        cause,
      },
    );
  }
}
