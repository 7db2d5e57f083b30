// Where derived bytes lie in the cache: blobs by digest, and the growing files of an epoch.
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { digestOf } from '../abi/digest.ts';
import { CACHE_DIR } from '../abi/session-files.ts';
import type { Content } from '../derive/types.ts';
import type { Extent } from '../journal/types.ts';

/** Blobs beyond the first bound go when they are together larger than the second, or more than the third. */
const KEPT_BLOBS = 64;
const KEPT_BLOB_BYTES = 8 << 20;
const MOST_BLOBS = 1024;
const KEPT_EPOCHS = 4;
const FLUSH_CHARS = 1 << 20;

/** Name in the cache of content with this digest. */
export function blobName(digest: string): string {
  return digest.slice(7, 47);
}

/** Whole outputs by digest. The oldest are forgotten; who holds one open keeps its bytes. */
export class BlobFiles {
  readonly #directory: string;
  /** Sizes by name, the longest unused first. */
  readonly #recent = new Map<string, number>();
  #recentBytes = 0;
  #swept = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  put(bytes: Buffer | string): Extent {
    const name = blobName(digestOf(bytes));
    const path = join(this.#directory, name);
    const sizeBytes = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length;
    if (!this.#swept) this.#sweep();
    if (statSync(path, { throwIfNoEntry: false })?.size !== sizeBytes) {
      makeInCache(this.#directory);
      writeFileSync(`${path}.new`, bytes, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    }
    this.#use(name, sizeBytes);
    this.#forget();
    return { path, offsetBytes: 0, sizeBytes };
  }

  content(bytes: Buffer | string, modifiedMs: number): Content {
    const extent = this.put(bytes);
    return { digest: digestOf(bytes), sizeBytes: extent.sizeBytes, modifiedMs, extents: extent.sizeBytes === 0 ? [] : [extent] };
  }

  #use(name: string, sizeBytes: number): void {
    this.#recentBytes += sizeBytes - (this.#recent.get(name) ?? 0);
    this.#recent.delete(name);
    this.#recent.set(name, sizeBytes);
  }

  #forget(): void {
    for (const [name, sizeBytes] of this.#recent) {
      if (this.#recent.size <= KEPT_BLOBS || (this.#recentBytes <= KEPT_BLOB_BYTES && this.#recent.size <= MOST_BLOBS)) break;
      this.#recent.delete(name);
      this.#recentBytes -= sizeBytes;
      remove(join(this.#directory, name));
    }
  }

  /** What an earlier run left counts as unused. */
  #sweep(): void {
    this.#swept = true;
    let names: string[] = [];
    try {
      names = readdirSync(this.#directory);
    } catch {
      return;
    }
    for (const name of names) {
      const sizeBytes = statSync(join(this.#directory, name), { throwIfNoEntry: false })?.size;
      if (sizeBytes !== undefined) this.#use(name, sizeBytes);
    }
  }
}

/** A file that only grows, with a running digest: a version of it is a length. */
export class GrowingFile {
  readonly path: string;
  readonly #hash: Hash = createHash('sha256');
  #fd: number | undefined;
  #pending: string[] = [];
  #pendingChars = 0;
  #sizeBytes = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** False when what was written is no longer there under its name. */
  get intact(): boolean {
    // What a failed write left lies behind it.
    const sizeBytes = statSync(this.path, { throwIfNoEntry: false })?.size ?? -1;
    return this.#sizeBytes === 0 || sizeBytes === this.#sizeBytes || (this.#pending.length > 0 && sizeBytes > this.#sizeBytes);
  }

  append(text: string): void {
    if (text === '') return;
    this.#pending.push(text);
    this.#pendingChars += text.length;
    if (this.#pendingChars < FLUSH_CHARS) return;
    try {
      this.#flush();
    } catch {
      // What could not be written waits: who asks for the content is told.
    }
  }

  /** The file's content as it is now, with `trailer` after it. */
  content(trailer: string, blobs: BlobFiles, modifiedMs: number): Content {
    this.#flush();
    const digest = `sha256-${this.#hash.copy().update(trailer).digest('hex')}`;
    const extents: Extent[] = this.#sizeBytes === 0 ? [] : [{ path: this.path, offsetBytes: 0, sizeBytes: this.#sizeBytes }];
    if (trailer !== '') extents.push(blobs.put(trailer));
    return { digest, sizeBytes: this.#sizeBytes + Buffer.byteLength(trailer), modifiedMs, extents };
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #flush(): void {
    if (this.#pending.length === 0) return;
    const bytes = Buffer.from(this.#pending.length === 1 ? (this.#pending[0] as string) : this.#pending.join(''));
    if (this.#fd === undefined) {
      makeInCache(dirname(this.path));
      this.#fd = openSync(this.path, 'wx', 0o600);
    }
    // DRV-16: by position, and let go of only when it is written: after a full disk the next reader's flush writes all of it.
    for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at, bytes.length - at, this.#sizeBytes + at);
    this.#pending = [];
    this.#pendingChars = 0;
    this.#hash.update(bytes);
    this.#sizeBytes += bytes.length;
  }
}

/** Fresh names for an epoch's files; those of epochs long past are removed. */
export class EpochNames {
  readonly #directory: string;
  #next = 1;
  readonly #live: string[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** A path prefix that no file has: what an earlier run left is swept, but for the newest. */
  take(): string {
    if (this.#next === 1) this.#sweep();
    const prefix = join(this.#directory, `epoch-${this.#next}`);
    this.#next += 1;
    this.#live.push(prefix);
    while (this.#live.length > KEPT_EPOCHS) removeEpoch(this.#live.shift() as string);
    return prefix;
  }

  /** Of files that nobody was shown. */
  giveBack(prefix: string): void {
    const at = this.#live.indexOf(prefix);
    if (at < 0) return;
    this.#live.splice(at, 1);
    removeEpoch(prefix);
  }

  #sweep(): void {
    makeInCache(this.#directory);
    const found = new Map<number, string[]>();
    for (const name of readdirSync(this.#directory)) {
      const number = Number(/^epoch-([0-9]+)\./.exec(name)?.[1] ?? 0);
      if (number > 0) found.set(number, [...(found.get(number) ?? []), name]);
    }
    const numbers = [...found.keys()].sort((a, b) => a - b);
    this.#next = (numbers.at(-1) ?? 0) + 1;
    for (const number of numbers.slice(0, -KEPT_EPOCHS)) for (const name of found.get(number) ?? []) remove(join(this.#directory, name));
    for (const number of numbers.slice(-KEPT_EPOCHS)) this.#live.push(join(this.#directory, `epoch-${number}`));
  }
}

/** DRV-7: makes the cache (or a directory in it) again when it was deleted, never the session that it belonged to. */
export function makeInCache(directory: string): void {
  if (existsSync(directory)) return;
  if (basename(directory) !== basename(CACHE_DIR)) makeInCache(dirname(directory));
  mkdirSync(directory, { mode: 0o700 });
}

function removeEpoch(prefix: string): void {
  for (const suffix of ['.json', '.md', '.prompt']) remove(`${prefix}${suffix}`);
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Derived bytes: gone is what was wanted.
  }
}
