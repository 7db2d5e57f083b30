// `.update-queue` as its writer sees it: appended to in whole lines, through no link, and read again when others wrote.
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { compactQueue, QUEUE_PATH, readQueueLines, type QueuedChange } from './queue.ts';

/** A longer queue is not read for what waits in it: nobody has looked at it for long. */
const MAX_READ_BYTES = 16 << 20;
/** A shorter one is not worth a rewrite. */
const COMPACT_BYTES = 256 << 10;
const TYPICAL_LINE_BYTES = 300;
/** Nobody keeps a queue open for longer, but who has it open through this process. */
const OLD_MS = 60_000;

/** A queue that was compacted, under a name that says how much of it was taken over: a stop loses nothing of it. */
interface OldQueue {
  readonly file: number;
  name: string;
  bytes: number;
  untilMs: number;
}

export class QueueFile {
  readonly #root: string;
  readonly #waiting = new Map<string, QueuedChange>();
  /** Of the lines that were read: taken out again. */
  readonly #done = new Set<string>();
  #seen = { inode: 0, bytes: 0 };
  /** The file that was here before it was compacted: whoever has it open may append still. */
  #old: OldQueue | undefined;
  readonly #kept: string | undefined;

  /** `kept`: what the names of old queues begin with, on the wiki's filesystem; without it nothing is compacted. */
  constructor(root: string, kept?: string) {
    this.#root = root;
    this.#kept = kept;
    if (kept !== undefined) this.#resume(kept);
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
   * What others append to the old file afterwards comes over with the next look, also of another process after a stop.
   */
  compact(leastBytes: number = COMPACT_BYTES): boolean {
    const waiting = this.waiting();
    if (this.#kept === undefined || this.#old !== undefined || this.#seen.bytes < leastBytes) return false;
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
      const name = `${this.#kept}${end}`;
      if (!isLinked(join(this.#root, QUEUE_PATH), name)) {
        rmSync(next);
        return false;
      }
      this.#old = { file, name, bytes: end, untilMs: Date.now() + OLD_MS };
      kept = true;
      // A stop here leaves two names of one file: it is the queue still.
      renameSync(next, join(this.#root, QUEUE_PATH));
    } finally {
      if (!kept) closeSync(file);
    }
    this.#carryOver();
    return true;
  }

  close(): void {
    if (this.#old === undefined) return;
    this.#carryOver();
    // Its name stays: who has it open may outlive this process.
    if (this.#old !== undefined) closeSync(this.#old.file);
    this.#old = undefined;
  }

  /** What was old when another process stopped; the newest, where one of them could not take it over. */
  #resume(kept: string): void {
    for (const name of namesFrom(kept)) {
      const bytes = Number(name.slice(kept.length));
      try {
        const file = openSync(name, constants.O_RDONLY | constants.O_NOFOLLOW);
        const isQueue = statSync(join(this.#root, QUEUE_PATH), { throwIfNoEntry: false })?.ino === fstatSync(file).ino;
        if (isQueue) rmSync(name);
        if (isQueue || this.#old !== undefined) closeSync(file);
        else this.#old = { file, name, bytes, untilMs: Date.now() + OLD_MS };
      } catch {
        // It went, or is none: the queue is as it is.
      }
    }
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
      if (end > 0) {
        this.append(bytes.toString('utf8', 0, end));
        old.bytes += end;
        // A stop before this brings the same lines again, and each counts once by its id.
        const name = `${this.#kept}${old.bytes}`;
        renameSync(old.name, name);
        old.name = name;
      }
    }
    if (Date.now() < old.untilMs) return;
    if (isOpenElsewhere(old.file)) {
      old.untilMs = Date.now() + OLD_MS;
      return;
    }
    rmSync(old.name, { force: true });
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

/** False where no second name can be given: then it is not compacted. */
function isLinked(path: string, name: string): boolean {
  try {
    linkSync(path, name);
    return true;
  } catch {
    return false;
  }
}

function namesFrom(prefix: string): readonly string[] {
  try {
    const names = readdirSync(dirname(prefix)).filter((name) => /^\d+$/.test(name.slice(basename(prefix).length)));
    return names.filter((name) => name.startsWith(basename(prefix))).map((name) => join(dirname(prefix), name));
  } catch {
    return [];
  }
}

/** Whoever opened it through the mount has it open here. */
function isOpenElsewhere(file: number): boolean {
  const { ino, dev } = fstatSync(file);
  return readdirSync('/proc/self/fd').some((name) => {
    try {
      if (Number(name) === file || !readlinkSync(`/proc/self/fd/${name}`).includes(QUEUE_PATH)) return false;
      const stat = fstatSync(Number(name));
      return stat.ino === ino && stat.dev === dev;
    } catch {
      return false;
    }
  });
}

function endsLine(file: number, sizeBytes: number): boolean {
  const last = Buffer.alloc(1);
  return sizeBytes === 0 || readSync(file, last, 0, 1, sizeBytes - 1) === 0 || last[0] === 0x0a;
}
