// `.update-queue` as its writer sees it: appended to in whole lines, through no link, and read again when others wrote.
import { closeSync, constants, fchmodSync, fchownSync, fstatSync, lstatSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { QUEUE_PATH, readQueueLines, type QueuedChange } from './queue.ts';

/** A longer queue is not read for what waits in it: nobody has looked at it for long. */
const MAX_READ_BYTES = 16 << 20;

export class QueueFile {
  readonly #root: string;
  readonly #waiting = new Map<string, QueuedChange>();
  #seen = { inode: 0, bytes: 0 };

  constructor(root: string) {
    this.#root = root;
  }

  /** Changes that wait, by id. Costs what was appended since the last time. */
  waiting(): ReadonlyMap<string, QueuedChange> {
    const stat = lstatSync(join(this.#root, QUEUE_PATH), { throwIfNoEntry: false });
    if (stat === undefined) {
      this.#waiting.clear();
      this.#seen = { inode: 0, bytes: 0 };
      return this.#waiting;
    }
    if (stat.ino !== this.#seen.inode || stat.size < this.#seen.bytes) {
      this.#waiting.clear();
      this.#seen = { inode: stat.ino, bytes: 0 };
    }
    if (stat.size > this.#seen.bytes) this.#take();
    return this.#waiting;
  }

  /** Whole lines that came since. */
  #take(): void {
    const file = this.#open(constants.O_RDONLY);
    try {
      const { size } = fstatSync(file);
      const from = size - this.#seen.bytes > MAX_READ_BYTES ? size : this.#seen.bytes;
      const bytes = Buffer.alloc(size - from);
      const count = readSync(file, bytes, 0, bytes.length, from);
      const end = bytes.lastIndexOf(0x0a, count - 1) + 1;
      for (const line of readQueueLines(bytes.toString('utf8', 0, end))) {
        if (typeof line === 'string') this.#waiting.delete(line);
        else if (!this.#waiting.has(line.id)) this.#waiting.set(line.id, line);
      }
      this.#seen = { ...this.#seen, bytes: from + end };
    } finally {
      closeSync(file);
    }
  }

  /** One write. A new queue belongs to the owner of the wiki, and whoever may write there may write it. */
  append(text: string): void {
    const file = this.#open(constants.O_RDWR | constants.O_APPEND | constants.O_CREAT);
    try {
      const stat = fstatSync(file);
      if (stat.size === 0) {
        const root = lstatSync(this.#root);
        fchmodSync(file, root.mode & 0o666);
        if (process.getuid?.() === 0) fchownSync(file, root.uid, root.gid);
      }
      // What a full disk or a killed writer left without its newline is not to be glued to this.
      const bytes = Buffer.from(endsLine(file, stat.size) ? text : `\n${text}`);
      for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
    } finally {
      closeSync(file);
    }
  }

  #open(flags: number): number {
    const file = openSync(join(this.#root, QUEUE_PATH), flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600);
    if (fstatSync(file).isFile()) return file;
    closeSync(file);
    throw new CtxError('wiki.queue', 'EINVAL', 'is no regular file', { where: QUEUE_PATH, next: 'remove it' });
  }
}

function endsLine(file: number, sizeBytes: number): boolean {
  const last = Buffer.alloc(1);
  return sizeBytes === 0 || readSync(file, last, 0, 1, sizeBytes - 1) === 0 || last[0] === 0x0a;
}
