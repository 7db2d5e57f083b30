// Where derived bytes lie in the cache: blobs by digest, and the growing files of an epoch.
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, renameSync, statSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf } from '../abi/digest.ts';
import type { Content } from '../derive/types.ts';
import type { Extent } from '../journal/types.ts';

const KEPT_BLOBS = 64;
const KEPT_EPOCHS = 4;
const FLUSH_CHARS = 1 << 20;

/** Whole outputs by digest. The oldest are forgotten; who holds one open keeps its bytes. */
export class BlobFiles {
  readonly #directory: string;
  readonly #recent = new Set<string>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  put(bytes: Buffer | string): Extent {
    const name = digestOf(bytes).slice(7, 47);
    const path = join(this.#directory, name);
    const sizeBytes = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length;
    if (this.#recent.delete(name)) this.#recent.add(name);
    if (statSync(path, { throwIfNoEntry: false })?.size !== sizeBytes) {
      mkdirSync(this.#directory, { recursive: true });
      writeFileSync(`${path}.new`, bytes, { mode: 0o600 });
      renameSync(`${path}.new`, path);
      this.#recent.add(name);
      this.#forget();
    }
    return { path, offsetBytes: 0, sizeBytes };
  }

  content(bytes: Buffer | string, modifiedMs: number): Content {
    const extent = this.put(bytes);
    return { digest: digestOf(bytes), sizeBytes: extent.sizeBytes, modifiedMs, extents: extent.sizeBytes === 0 ? [] : [extent] };
  }

  #forget(): void {
    for (const name of this.#recent) {
      if (this.#recent.size <= KEPT_BLOBS) break;
      this.#recent.delete(name);
      remove(join(this.#directory, name));
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

  append(text: string): void {
    if (text === '') return;
    this.#pending.push(text);
    this.#pendingChars += text.length;
    if (this.#pendingChars >= FLUSH_CHARS) this.#flush();
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
    this.#pending = [];
    this.#pendingChars = 0;
    this.#fd ??= openSync(this.path, 'wx', 0o600);
    for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at);
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
    while (this.#live.length > KEPT_EPOCHS) {
      const old = this.#live.shift() as string;
      for (const suffix of ['.json', '.md', '.prompt']) remove(`${old}${suffix}`);
    }
    return prefix;
  }

  #sweep(): void {
    mkdirSync(this.#directory, { recursive: true });
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

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Derived bytes: gone is what was wanted.
  }
}
