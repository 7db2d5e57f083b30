// `.update-queue` as its writer sees it: appended to in whole lines, through no link, and read again when others wrote.
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { compactQueue, QUEUE_PATH, readQueueLines, type QueuedChange } from './queue.ts';

/** A longer queue is not read for what waits in it: nobody has looked at it for long. */
const MAX_READ_BYTES = 16 << 20;
/** A shorter one is not worth a rewrite. */
const COMPACT_BYTES = 256 << 10;
const TYPICAL_LINE_BYTES = 300;
/** Nobody keeps a queue open for longer. */
const OLD_MS = 60_000;

export class QueueFile {
  readonly #root: string;
  readonly #waiting = new Map<string, QueuedChange>();
  /** Of the lines that were read: taken out again. */
  readonly #done = new Set<string>();
  #seen = { inode: 0, bytes: 0 };
  /** The file that was here before it was compacted, and how much of it was taken over: whoever has it open may append still. */
  #old: { readonly file: number; bytes: number; readonly untilMs: number } | undefined;

  constructor(root: string) {
    this.#root = root;
  }

  /** Changes that wait, by id. Costs what was appended since the last time. */
  waiting(): ReadonlyMap<string, QueuedChange> {
    if (this.#old !== undefined) this.#carryOver();
    const stat = lstatSync(join(this.#root, QUEUE_PATH), { throwIfNoEntry: false });
    if (stat === undefined) {
      this.#forget(0);
      return this.#waiting;
    }
    if (stat.ino !== this.#seen.inode || stat.size < this.#seen.bytes) this.#forget(stat.ino);
    if (stat.size > this.#seen.bytes) this.#take();
    return this.#waiting;
  }

  /**
   * Leaves out what is dealt with, when that is most of a long file: for the one that appends changes. True when it did.
   * A stop before the rename changes nothing; what others append to the old file afterwards comes over with the next look.
   */
  compact(leastBytes: number = COMPACT_BYTES): boolean {
    const waiting = this.waiting();
    if (this.#old !== undefined || this.#seen.bytes < leastBytes) return false;
    if (waiting.size * TYPICAL_LINE_BYTES > this.#seen.bytes / 2 || this.#seen.bytes > MAX_READ_BYTES) return false;
    const file = this.#open(constants.O_RDONLY);
    const next = join(this.#root, `${QUEUE_PATH}.new`);
    let kept = false;
    try {
      const stat = fstatSync(file);
      const bytes = Buffer.alloc(stat.size);
      const count = readSync(file, bytes, 0, bytes.length, 0);
      const end = bytes.lastIndexOf(0x0a, count - 1) + 1;
      rmSync(next, { force: true });
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      const made = openSync(next, flags, 0o600);
      try {
        fchmodSync(made, stat.mode & 0o7777);
        if (process.getuid?.() === 0) fchownSync(made, stat.uid, stat.gid);
        const text = Buffer.from(compactQueue(bytes.toString('utf8', 0, end)));
        for (let done = 0; done < text.length;) done += writeSync(made, text, done);
        fsyncSync(made);
      } finally {
        closeSync(made);
      }
      renameSync(next, join(this.#root, QUEUE_PATH));
      this.#old = { file, bytes: end, untilMs: Date.now() + OLD_MS };
      kept = true;
    } finally {
      if (!kept) closeSync(file);
    }
    this.#carryOver();
    return true;
  }

  close(): void {
    if (this.#old === undefined) return;
    this.#carryOver();
    if (this.#old !== undefined) closeSync(this.#old.file);
    this.#old = undefined;
  }

  /** Whole lines that came into the old file since. */
  #carryOver(): void {
    const old = this.#old;
    if (old === undefined) return;
    const { size } = fstatSync(old.file);
    if (size > old.bytes) {
      const bytes = Buffer.alloc(size - old.bytes);
      const count = readSync(old.file, bytes, 0, bytes.length, old.bytes);
      const end = bytes.lastIndexOf(0x0a, count - 1) + 1;
      if (end > 0) this.append(bytes.toString('utf8', 0, end));
      old.bytes += end;
    }
    if (Date.now() < old.untilMs) return;
    closeSync(old.file);
    this.#old = undefined;
  }

  /** Whether a change is there, waiting or done. */
  has(id: string): boolean {
    return this.waiting().has(id) || this.#done.has(id);
  }

  #forget(inode: number): void {
    this.#waiting.clear();
    this.#done.clear();
    this.#seen = { inode, bytes: 0 };
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
        if (typeof line === 'string') {
          this.#waiting.delete(line);
          this.#done.add(line);
        } else if (!this.#waiting.has(line.id) && !this.#done.has(line.id)) this.#waiting.set(line.id, line);
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
