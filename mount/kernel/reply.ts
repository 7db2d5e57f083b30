// The outgoing buffer: replies are encoded in place and written with one write(2).
// Through koffi: two thirds of what it costs in Node.
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import type { Attr, OpenMode, TreeNode } from '../../src/tree/types.ts';
import { FOPEN, MAX_WRITE_BYTES, OUT_HEADER } from './protocol.ts';

const { ENOENT, ENODEV, EPERM } = constants.errno;
const TWO_32 = 0x1_0000_0000;
const ENTRY_BYTES = 128;
const DIRENT_BYTES = 24;

interface Calls {
  write(fd: number, from: Buffer, size: number): number;
  errno(): number;
}

export class ReplyBuffer {
  readonly bytes: Buffer = Buffer.alloc(OUT_HEADER + MAX_WRITE_BYTES + 4096);
  readonly #words: Uint32Array = new Uint32Array(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length >> 2);
  readonly #calls: Calls = load();
  readonly #fd: number;
  /** Generation of node ids: differs from mount to mount. */
  readonly #generation: number = Math.floor(Date.now() / 1000);

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Sends what was encoded after the header. False when the request is gone (interrupted). */
  send(unique: readonly [number, number], bodyBytes: number, errno: number = 0): boolean {
    const words = this.#words;
    words[0] = OUT_HEADER + bodyBytes;
    words[1] = -errno;
    words[2] = unique[0];
    words[3] = unique[1];
    if (this.#calls.write(this.#fd, this.bytes, OUT_HEADER + bodyBytes) >= 0) return true;
    const failed = this.#calls.errno();
    if (failed === ENOENT || failed === ENODEV || failed === EPERM) return false;
    throw new Error(`write of /dev/fuse failed with errno ${failed}`);
  }

  /** The reply as it would be sent, to be sent later by someone else. */
  copy(unique: readonly [number, number], bodyBytes: number): Uint8Array {
    const words = this.#words;
    words[0] = OUT_HEADER + bodyBytes;
    words[1] = 0;
    words[2] = unique[0];
    words[3] = unique[1];
    return Uint8Array.prototype.slice.call(this.bytes, 0, OUT_HEADER + bodyBytes);
  }

  #u64(word: number, value: number): void {
    this.#words[word] = value;
    this.#words[word + 1] = Math.floor(value / TWO_32);
  }

  /** fuse_attr (88 bytes) at a word index. */
  #attr(at: number, attr: Attr): void {
    const words = this.#words;
    this.#u64(at, attr.ino);
    this.#u64(at + 2, attr.sizeBytes);
    this.#u64(at + 4, attr.blocks);
    this.#u64(at + 6, attr.atime);
    this.#u64(at + 8, attr.mtime);
    this.#u64(at + 10, attr.ctime);
    words[at + 12] = attr.atimeNsec;
    words[at + 13] = attr.mtimeNsec;
    words[at + 14] = attr.ctimeNsec;
    words[at + 15] = attr.mode;
    words[at + 16] = attr.nlink;
    words[at + 17] = attr.uid;
    words[at + 18] = attr.gid;
    words[at + 19] = attr.rdev;
    words[at + 20] = 4096;
    words[at + 21] = 0;
  }

  #ttl(secondsWord: number, nsecWord: number, ms: number): void {
    this.#u64(secondsWord, Math.floor(ms / 1000));
    this.#words[nsecWord] = (ms % 1000) * 1_000_000;
  }

  /** fuse_entry_out at a byte offset behind the header; returns its size. */
  entry(at: number, node: TreeNode, attr: Attr): number {
    const word = (OUT_HEADER + at) >> 2;
    this.#u64(word, node.nodeid);
    this.#u64(word + 2, this.#generation);
    this.#ttl(word + 4, word + 8, node.entryTtlMs);
    this.#ttl(word + 6, word + 9, node.attrTtlMs);
    this.#attr(word + 10, attr);
    return ENTRY_BYTES;
  }

  attrOut(attr: Attr, ttlMs: number): number {
    const word = OUT_HEADER >> 2;
    this.#ttl(word, word + 2, ttlMs);
    this.#words[word + 3] = 0;
    this.#attr(word + 4, attr);
    return 104;
  }

  openOut(at: number, fh: number, mode: OpenMode): number {
    const word = (OUT_HEADER + at) >> 2;
    this.#u64(word, fh);
    this.#words[word + 2] =
      (mode.directIo === true ? FOPEN.DIRECT_IO : 0) |
      (mode.keepCache === true ? FOPEN.KEEP_CACHE : 0) |
      (mode.nonSeekable === true ? FOPEN.NONSEEKABLE : 0) |
      (mode.cacheDir === true ? FOPEN.CACHE_DIR : 0) |
      (mode.noFlush === true ? FOPEN.NOFLUSH : 0);
    this.#words[word + 3] = 0;
    return 16;
  }

  /** One fuse_dirent (or direntplus when `plus`); 0 when it does not fit below `limit`. */
  dirent(
    at: number,
    limit: number,
    name: string,
    type: number,
    ino: number,
    nextOffset: number,
    plus: { node: TreeNode; attr: Attr } | 'none' | undefined,
  ): number {
    const head = plus === undefined ? 0 : ENTRY_BYTES;
    const size = head + ((DIRENT_BYTES + name.length + 7) & ~7);
    if (at + size > limit) return 0;
    if (plus === 'none') this.bytes.fill(0, OUT_HEADER + at, OUT_HEADER + at + ENTRY_BYTES);
    else if (plus !== undefined) this.entry(at, plus.node, plus.attr);
    const byte = OUT_HEADER + at + head;
    const word = byte >> 2;
    this.#u64(word, typeof plus === 'object' ? plus.attr.ino : ino);
    this.#u64(word + 2, nextOffset);
    this.#words[word + 4] = name.length;
    this.#words[word + 5] = type >> 12;
    this.bytes.write(name, byte + DIRENT_BYTES, 'latin1');
    this.bytes.fill(0, byte + DIRENT_BYTES + name.length, OUT_HEADER + at + size);
    return size;
  }

  word(index: number, value: number): void {
    this.#words[(OUT_HEADER >> 2) + index] = value;
  }
  wide(index: number, value: number): void {
    this.#u64((OUT_HEADER >> 2) + index, value);
  }
}

function load(): Calls {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi').default;
  return {
    write: koffi.load('libc.so.6').func('int64_t write(int fd, const uint8_t *from, size_t size)') as unknown as Calls['write'],
    errno: () => koffi.errno(),
  };
}
