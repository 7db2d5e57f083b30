// Numbers of the FUSE kernel protocol (Linux uapi fuse.h, version 7.31 to 7.43). Sizes in bytes.

export const OP = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
  TMPFILE: 51,
} as const;

export const NAME_OF_OP: ReadonlyMap<number, string> = new Map(Object.entries(OP).map(([name, number]) => [number, name]));

export const IN_HEADER = 40;
export const OUT_HEADER = 16;

/** INIT flags, bit numbers; 32 and up go into flags2. */
const INIT_BIT = {
  ASYNC_READ: 0,
  ATOMIC_O_TRUNC: 3,
  BIG_WRITES: 5,
  AUTO_INVAL_DATA: 12,
  DO_READDIRPLUS: 13,
  READDIRPLUS_AUTO: 14,
  PARALLEL_DIROPS: 18,
  ABORT_ERROR: 21,
  MAX_PAGES: 22,
  HANDLE_KILLPRIV_V2: 28,
  INIT_EXT: 30,
  DIRECT_IO_ALLOW_MMAP: 36,
  REQUEST_TIMEOUT: 42,
} as const;

export const WANTED_INIT_BITS: readonly number[] = Object.values(INIT_BIT);
export const INIT_EXT_BIT: number = INIT_BIT.INIT_EXT;
export const REQUEST_TIMEOUT_BIT: number = INIT_BIT.REQUEST_TIMEOUT;

export const FATTR = {
  MODE: 1,
  UID: 2,
  GID: 4,
  SIZE: 8,
  ATIME: 16,
  MTIME: 32,
  FH: 64,
  ATIME_NOW: 128,
  MTIME_NOW: 256,
  KILL_SUIDGID: 2048,
} as const;

export const FOPEN = { DIRECT_IO: 1, KEEP_CACHE: 2, NONSEEKABLE: 4, CACHE_DIR: 8, NOFLUSH: 32 } as const;

export const GETATTR_FH = 1;
/** The write comes from the page cache: someone wrote to a mapping. */
export const WRITE_CACHE = 1;
export const WRITE_LOCKOWNER = 2;
export const WRITE_KILL_SUIDGID = 4;
export const OPEN_KILL_SUIDGID = 1;
export const FSYNC_DATASYNC = 1;

/** Byte offsets of size, blocks and times in a reply that carries fuse_entry_out. */
export const ENTRY_ATTR: { readonly SIZE: number; readonly BLOCKS: number; readonly TIMES: number; readonly NSECS: number } = {
  SIZE: 16 + 40 + 8,
  BLOCKS: 16 + 40 + 16,
  TIMES: 16 + 40 + 24,
  NSECS: 16 + 40 + 48,
};

export const MAX_WRITE_BYTES: number = 1024 * 1024;
export const REQUEST_BUFFER_BYTES: number = MAX_WRITE_BYTES + 64 * 1024;
export const ROOT_NODEID = 1;
