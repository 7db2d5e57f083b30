// The serving loop: reads requests from /dev/fuse and answers them from the tree. Nothing here awaits:
// what the deriver answers is Slow, and its reply is sent when the deriver's message is drained.
import * as fs from 'node:fs';
import { allocate, seek } from '../../src/tree/libc.ts';
import { DirectoryHandle, fail, Handle, S_IFDIR, Slow, TreeNode } from '../../src/tree/types.ts';
import type { AttrChange, Caller, DirectoryEntry } from '../../src/tree/types.ts';
import { errnoNumber, errnoOf } from '../errno.ts';
import { HandleTable, NodeTable } from './tables.ts';
import {
  FATTR,
  FSYNC_DATASYNC,
  GETATTR_FH,
  IN_HEADER,
  INIT_EXT_BIT,
  MAX_WRITE_BYTES,
  NAME_OF_OP,
  OP,
  OPEN_KILL_SUIDGID,
  OUT_HEADER,
  REQUEST_BUFFER_BYTES,
  REQUEST_TIMEOUT_BIT,
  WANTED_INIT_BITS,
  WRITE_CACHE,
  WRITE_KILL_SUIDGID,
  WRITE_LOCKOWNER,
} from './protocol.ts';
import { RequestReader } from './request-reader.ts';
import { ReplyBuffer } from './reply.ts';

export interface ServerOptions {
  readonly fd: number;
  readonly root: TreeNode;
  readonly storePath: string;
  /** Seconds after which the kernel aborts a connection that does not answer (0: never). */
  readonly requestTimeoutSeconds: number;
  /** Runs before each request: drains the deriver's messages. */
  readonly beforeRequest: () => void;
  /** Runs before each sleep: see {@link RequestReader}. */
  readonly beforeSleep: () => number;
  readonly log: (line: string) => void;
}

const NO_REPLY = -1;
const TWO_32 = 0x1_0000_0000;

export class KernelServer {
  readonly #options: ServerOptions;
  readonly #in: Buffer = Buffer.alloc(REQUEST_BUFFER_BYTES);
  readonly #words: Uint32Array = new Uint32Array(this.#in.buffer, this.#in.byteOffset, this.#in.length >> 2);
  readonly #out: ReplyBuffer;
  readonly #nodes: NodeTable;
  readonly #handles: HandleTable = new HandleTable();
  /** Requests that wait for the deriver: `low:high` of their unique number. */
  readonly #pending: Set<string> = new Set();
  #length = 0;
  #lastOwner: readonly [number, number, string] = [0, 0, '0:0'];

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#out = new ReplyBuffer(options.fd);
    this.#nodes = new NodeTable(options.root);
  }

  /** Serves until the mount is gone. */
  run(): void {
    const reader = new RequestReader(this.#options.fd, this.#options.beforeSleep);
    for (;;) {
      try {
        this.#length = reader.next(this.#in);
      } catch (error) {
        this.#options.log(error instanceof Error ? error.message : String(error));
        return;
      }
      if (this.#length === 0) return;
      this.#options.beforeRequest();
      this.#serve();
    }
  }

  releaseAll(): void {
    for (const handle of this.#handles.drain()) {
      try {
        handle.release();
      } catch (error) {
        this.#options.log(`release at the end failed: ${String(error)}`);
      }
    }
  }

  #serve(): void {
    const words = this.#words;
    const opcode = words[1] as number;
    const unique = [words[2] as number, words[3] as number] as const;
    try {
      const size = this.#dispatch(opcode, unique);
      if (size !== NO_REPLY) this.#out.send(unique, size);
    } catch (error) {
      this.#refuse(unique, error, opcode);
    }
  }

  #refuse(unique: readonly [number, number], error: unknown, opcode: number): void {
    const { errno, expected } = errnoOf(error);
    if (!expected) this.#options.log(`${NAME_OF_OP.get(opcode) ?? opcode}: ${(error as Error).stack ?? String(error)}`);
    this.#out.send(unique, 0, errno);
  }

  #u64(word: number): number {
    return (this.#words[word] as number) + (this.#words[word + 1] as number) * TWO_32;
  }
  #caller(): Caller {
    return { uid: this.#words[6] as number, gid: this.#words[7] as number, pid: this.#words[8] as number };
  }
  #nodeOf(): TreeNode {
    return this.#nodes.get(this.#u64(4));
  }
  #handleOf(): Handle {
    return this.#handles.get(this.#u64(10));
  }
  /** NUL-terminated name at a byte offset behind the header. */
  #name(at: number): string {
    const start = IN_HEADER + at;
    const end = this.#in.indexOf(0, start);
    return this.#in.toString('latin1', start, end < 0 || end > this.#length ? this.#length : end);
  }

  /**
   * Answers now, or leaves the request to the deriver, which sends the prepared reply itself: this thread sleeps in
   * read(2). Its message is drained before any request that could name what the reply told the kernel about.
   */
  #when<T>(
    unique: readonly [number, number],
    value: T | Slow<T>,
    encode: (value: T) => number,
    undo: (value: T) => void,
    carriesAttributes: boolean,
  ): number {
    if (!(value instanceof Slow)) return encode(value);
    const key = `${unique[0]}:${unique[1]}`;
    const { ready, current } = value;
    const currentReply =
      current === undefined ? undefined : { digest: current.digest, reply: this.#out.copy(unique, encode(current.value)) };
    const ticket = { ready: this.#out.copy(unique, encode(ready)), current: currentReply, carriesAttributes, unique };
    this.#pending.add(key);
    value.start((outcome) => {
      // EINTR was sent and arrived: the deriver's reply met nobody.
      const told = this.#pending.delete(key) && !('error' in outcome);
      if (!told || outcome.value !== ready) undo(ready);
      if (current !== undefined && (!told || outcome.value !== current.value)) undo(current.value);
    }, ticket);
    return NO_REPLY;
  }

  #entry(node: TreeNode): number {
    const attr = node.attr();
    return this.#out.entry(0, this.#nodes.reference(node), attr);
  }

  #dispatch(opcode: number, unique: readonly [number, number]): number {
    const words = this.#words;
    const out = this.#out;
    switch (opcode) {
      case OP.LOOKUP:
        return this.#when(
          unique,
          this.#nodeOf().lookup(this.#name(0), this.#caller()),
          (node) => this.#entry(node),
          (node) => this.#nodes.forget(node.nodeid, 1),
          true,
        );
      case OP.FORGET:
        this.#nodes.forget(this.#u64(4), this.#u64(10));
        return NO_REPLY;
      case OP.BATCH_FORGET: {
        const count = words[10] as number;
        for (let index = 0; index < count; index++) this.#nodes.forget(this.#u64(12 + index * 4), this.#u64(14 + index * 4));
        return NO_REPLY;
      }
      case OP.GETATTR: {
        const node = this.#nodeOf();
        const handle = ((words[10] as number) & GETATTR_FH) !== 0 ? this.#handles.get(this.#u64(12)) : undefined;
        return out.attrOut(node.attr(handle), node.attrTtlMs);
      }
      case OP.WRITE:
        return this.#write(unique);
      case OP.READ:
        return this.#read();
      case OP.OPEN: {
        const handle = this.#nodeOf().open(words[10] as number, this.#caller());
        if (handle instanceof Slow) return this.#openLater(unique, handle);
        if (((words[11] as number) & OPEN_KILL_SUIDGID) !== 0) handle.dropSetId();
        return out.openOut(0, this.#handles.add(handle), handle.mode);
      }
      case OP.FLUSH:
        return this.#done(unique, this.#handleOf().flush(this.#owner(words[14] as number, words[15] as number)));
      case OP.RELEASE:
        this.#handles.remove(this.#u64(10)).release();
        return 0;
      case OP.FSYNC:
        return this.#done(unique, this.#handleOf().fsync(((words[12] as number) & FSYNC_DATASYNC) !== 0));
      case OP.SETATTR:
        return this.#setattr();
      case OP.OPENDIR: {
        let fh = 0;
        return this.#when(
          unique,
          this.#nodeOf().opendir(this.#caller()),
          (handle) => {
            fh = this.#handles.add(handle);
            return out.openOut(0, fh, handle.mode);
          },
          () => this.#handles.remove(fh),
          false,
        );
      }
      case OP.READDIR:
        return this.#readdir(false);
      case OP.READDIRPLUS:
        return this.#readdir(true);
      case OP.RELEASEDIR:
        this.#handles.remove(this.#u64(10)).release();
        return 0;
      case OP.FSYNCDIR:
        return 0;
      case OP.CREATE: {
        const flags = words[10] as number;
        const { node, handle } = this.#nodeOf().create(this.#name(16), words[11] as number, flags, this.#caller());
        const size = this.#entry(node);
        return size + out.openOut(size, this.#handles.add(handle), handle.mode);
      }
      case OP.MKDIR:
        return this.#entry(this.#nodeOf().mkdir(this.#name(8), words[10] as number, this.#caller()));
      case OP.MKNOD:
        return this.#entry(this.#nodeOf().mknod(this.#name(16), words[10] as number, words[11] as number, this.#caller()));
      case OP.SYMLINK: {
        const name = this.#name(0);
        return this.#entry(this.#nodeOf().symlink(name, this.#name(name.length + 1), this.#caller()));
      }
      case OP.READLINK: {
        const target = this.#nodeOf().readlink();
        return out.bytes.write(target, OUT_HEADER, 'latin1');
      }
      case OP.LINK:
        return this.#entry(this.#nodeOf().link(this.#nodes.get(this.#u64(10)), this.#name(8), this.#caller()));
      case OP.UNLINK:
        return this.#done(unique, this.#nodeOf().unlink(this.#name(0), this.#caller()));
      case OP.RMDIR:
        this.#nodeOf().rmdir(this.#name(0), this.#caller());
        return 0;
      case OP.RENAME:
        return this.#rename(unique, 8, 0);
      case OP.RENAME2:
        return this.#rename(unique, 16, words[12] as number);
      case OP.STATFS:
        return this.#statfs();
      case OP.GETXATTR:
        return this.#sized(this.#nodeOf().getxattr(this.#name(8)), words[10] as number);
      case OP.LISTXATTR: {
        const list = this.#nodeOf()
          .listxattr()
          .map((name) => `${name}\0`)
          .join('');
        return this.#sized(Buffer.from(list), words[10] as number);
      }
      case OP.SETXATTR: {
        const name = this.#name(8);
        const start = IN_HEADER + 8 + name.length + 1;
        this.#nodeOf().setxattr(name, this.#in.subarray(start, start + (words[10] as number)), words[11] as number);
        return 0;
      }
      case OP.REMOVEXATTR:
        this.#nodeOf().removexattr(this.#name(0));
        return 0;
      case OP.FALLOCATE: {
        const handle = this.#handleOf();
        const fd = handle.descriptor();
        if (fd === undefined) throw fail('EOPNOTSUPP', 'space cannot be reserved here');
        allocate(fd, words[16] as number, this.#u64(12), this.#u64(14));
        return 0;
      }
      case OP.LSEEK: {
        const fd = this.#handleOf().descriptor();
        if (fd === undefined) return this.#plainSeek();
        out.wide(0, seek(fd, this.#u64(12), words[14] as number));
        return 8;
      }
      case OP.INTERRUPT:
        return this.#interrupt();
      case OP.INIT:
        return this.#init();
      case OP.NOTIFY_REPLY:
        return NO_REPLY;
      case OP.SYNCFS:
      case OP.DESTROY:
        return 0;
      default:
        throw fail('ENOSYS', 'not implemented');
    }
  }

  /** The reply names the handle; it holds what it reads before any READ of it can come. */
  #openLater(unique: readonly [number, number], opening: Slow<Handle>): number {
    let fh = 0;
    return this.#when(
      unique,
      opening,
      (handle) => {
        fh = this.#handles.add(handle);
        return this.#out.openOut(0, fh, handle.mode);
      },
      () => this.#handles.remove(fh).release(),
      false,
    );
  }

  #write(unique: readonly [number, number]): number {
    const words = this.#words;
    const size = words[14] as number;
    const flags = words[15] as number;
    const owner = (flags & WRITE_LOCKOWNER) !== 0 ? this.#owner(words[16] as number, words[17] as number) : '';
    const start = IN_HEADER + 40;
    const handle = this.#handleOf();
    // JRN-34: pages of a mapping are no lines: taken as an append they would repeat what is there.
    if ((flags & WRITE_CACHE) !== 0 && handle.mode.directIo === true) throw fail('EPERM', 'this file is not written through a mapping');
    if ((flags & WRITE_KILL_SUIDGID) !== 0) handle.dropSetId();
    const count = handle.write(this.#u64(12), this.#in.subarray(start, start + size), owner, words[18] as number);
    return count instanceof Slow ? this.#when(unique, count, this.#written, () => {}, false) : this.#written(count);
  }

  readonly #written = (taken: number): number => {
    this.#out.word(0, taken);
    this.#out.word(1, 0);
    return 8;
  };

  /** A lock owner as text; the same writer comes again and again. */
  #owner(low: number, high: number): string {
    if (low !== this.#lastOwner[0] || high !== this.#lastOwner[1]) this.#lastOwner = [low, high, `${low}:${high}`];
    return this.#lastOwner[2];
  }

  #read(): number {
    const size = Math.min(this.#words[14] as number, MAX_WRITE_BYTES);
    return this.#handleOf().read(this.#u64(12), this.#out.bytes.subarray(OUT_HEADER, OUT_HEADER + size));
  }

  #setattr(): number {
    const words = this.#words;
    const node = this.#nodeOf();
    const valid = words[10] as number;
    const change: AttrChange = {};
    if ((valid & FATTR.MODE) !== 0) change.mode = words[27] as number;
    if ((valid & FATTR.UID) !== 0) change.uid = words[29] as number;
    if ((valid & FATTR.GID) !== 0) change.gid = words[30] as number;
    if ((valid & FATTR.SIZE) !== 0) change.sizeBytes = this.#u64(14);
    if ((valid & FATTR.ATIME_NOW) !== 0) change.atime = 'now';
    else if ((valid & FATTR.ATIME) !== 0) change.atime = [this.#i64(18), words[24] as number];
    if ((valid & FATTR.MTIME_NOW) !== 0) change.mtime = 'now';
    else if ((valid & FATTR.MTIME) !== 0) change.mtime = [this.#i64(20), words[25] as number];
    const handle = (valid & FATTR.FH) !== 0 ? this.#handles.get(this.#u64(12)) : undefined;
    if ((valid & FATTR.KILL_SUIDGID) !== 0) change.dropSetId = true;
    return this.#out.attrOut(node.setattr(change, this.#caller(), handle), node.attrTtlMs);
  }

  #i64(word: number): number {
    return (this.#words[word] as number) + ((this.#words[word + 1] as number) | 0) * TWO_32;
  }

  #readdir(plus: boolean): number {
    const handle = this.#handleOf();
    if (!(handle instanceof DirectoryHandle)) throw fail('ENOTDIR', 'not a directory');
    const offset = this.#u64(12);
    const size = Math.min(this.#words[14] as number, MAX_WRITE_BYTES);
    if (offset === 0 || handle.entries === undefined) {
      const dot = { type: S_IFDIR, ino: handle.node.attr().ino };
      handle.entries = [{ ...dot, name: '.' }, { ...dot, name: '..' }, ...handle.node.readdir(handle)];
    }
    return this.#encodeDirectory(handle.entries, offset, size, plus);
  }

  #encodeDirectory(entries: readonly DirectoryEntry[], offset: number, limit: number, plus: boolean): number {
    let at = 0;
    for (let index = offset; index < entries.length; index++) {
      const entry = entries[index] as DirectoryEntry;
      if (plus && at + 152 + entry.name.length + 7 > limit) break;
      const node = plus ? entryNode(entry) : undefined;
      const size = this.#out.dirent(at, limit, entry.name, entry.type, entry.ino, index + 1, plus ? this.#plusOf(node) : undefined);
      if (size === 0) break;
      at += size;
    }
    return at;
  }

  #plusOf(node: TreeNode | undefined): { node: TreeNode; attr: ReturnType<TreeNode['attr']> } | 'none' {
    if (node === undefined) return 'none';
    try {
      const attr = node.attr();
      return { node: this.#nodes.reference(node), attr };
    } catch {
      return 'none';
    }
  }

  #rename(unique: readonly [number, number], nameAt: number, flags: number): number {
    const name = this.#name(nameAt);
    const parent = this.#nodes.get(this.#u64(10));
    return this.#done(unique, this.#nodeOf().rename(name, parent, this.#name(nameAt + name.length + 1), flags, this.#caller()));
  }

  /** The answer of what gives nothing back. */
  #done(unique: readonly [number, number], value: void | null | Slow<null>): number {
    return value instanceof Slow
      ? this.#when<null>(
          unique,
          value,
          () => 0,
          () => {},
          false,
        )
      : 0;
  }

  #sized(value: Buffer, wanted: number): number {
    if (wanted === 0) {
      this.#out.word(0, value.length);
      this.#out.word(1, 0);
      return 8;
    }
    if (value.length > wanted) throw fail('ERANGE', 'the buffer is too small');
    return value.copy(this.#out.bytes, OUT_HEADER);
  }

  #plainSeek(): number {
    const size = this.#nodeOf().attr().sizeBytes;
    const offset = this.#u64(12);
    if (offset >= size) throw fail('ENXIO', 'past the end');
    this.#out.wide(0, (this.#words[14] as number) === 4 ? size : offset);
    return 8;
  }

  #statfs(): number {
    const stat = fs.statfsSync(this.#options.storePath);
    const out = this.#out;
    [stat.blocks, stat.bfree, stat.bavail, stat.files, stat.ffree].forEach((value, index) => out.wide(index * 2, value));
    [stat.bsize, 255, stat.bsize, 0, 0, 0, 0, 0, 0, 0].forEach((value, index) => out.word(10 + index, value));
    return 80;
  }

  #interrupt(): number {
    const low = this.#words[10] as number;
    const high = this.#words[11] as number;
    const key = `${low}:${high}`;
    // Not sent: the deriver's reply was first, and what it told the kernel of stands.
    if (this.#pending.has(key) && this.#out.send([low, high], 0, errnoNumber('EINTR'))) this.#pending.delete(key);
    return NO_REPLY;
  }

  #init(): number {
    const words = this.#words;
    const [major, minor, readahead] = [words[10] as number, words[11] as number, words[12] as number];
    const offered = (bit: number): boolean => (((bit < 32 ? words[13] : words[14]) as number) & (1 << (bit % 32))) !== 0;
    if (major !== 7 || minor < 31) throw fail('EOPNOTSUPP', `the kernel speaks FUSE ${major}.${minor}; 7.31 or newer is needed`);
    const extended = offered(INIT_EXT_BIT);
    const chosen = WANTED_INIT_BITS.filter(
      (bit) => (bit < 32 || extended) && offered(bit) && (bit !== REQUEST_TIMEOUT_BIT || this.#options.requestTimeoutSeconds > 0),
    );
    const flags = chosen.filter((bit) => bit < 32).reduce((sum, bit) => sum + 2 ** bit, 0);
    const flags2 = chosen.filter((bit) => bit >= 32).reduce((sum, bit) => sum + 2 ** (bit - 32), 0);
    const out = this.#out;
    for (let word = 0; word < 16; word++) out.word(word, 0);
    out.word(0, 7);
    out.word(1, Math.min(minor, 43));
    out.word(2, readahead);
    out.word(3, flags);
    out.word(4, 64 | (48 << 16));
    out.word(5, MAX_WRITE_BYTES);
    out.word(6, 1);
    out.word(7, MAX_WRITE_BYTES / 4096);
    out.word(8, flags2);
    out.word(9, 0);
    out.word(10, this.#options.requestTimeoutSeconds);
    return 64;
  }
}

function entryNode(entry: DirectoryEntry): TreeNode | undefined {
  try {
    return entry.node?.();
  } catch {
    // Gone since the listing: the kernel asks again by name.
    return undefined;
  }
}
