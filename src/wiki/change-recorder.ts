// Which changes of pages go into the queue: each once, with who made it. What only came and went on the way to a page goes out again.
import type { Digest } from '../abi/digest.ts';
import type { KnownPages } from './known-pages.ts';
import { formatChange, formatDone, type QueuedChange } from './queue.ts';
import type { QueueFile } from './queue-file.ts';

/** Who changed a page, as the mount saw it. */
export interface Writer {
  readonly uid: number;
  /** 0: the driver does not tell. */
  readonly pid: number;
  readonly program?: string;
  readonly session?: string;
}

export interface RecorderOptions {
  readonly known: KnownPages;
  readonly queue: QueueFile;
  /** Whether a path is a page whose changes the log is to tell. */
  readonly isRecorded: (path: string) => boolean;
  /** The page as it is now; undefined when there is none. */
  readonly digest: (path: string) => Digest | undefined;
  /** Entries that the log had before a change of that moment. Undefined: nobody knows. */
  readonly logged?: (atMs: number, path?: string) => readonly string[];
  readonly now: () => number;
  readonly newId: () => string;
}

interface Entry {
  readonly change: QueuedChange;
  readonly writer: Writer | undefined;
  /** What was known of the page before. */
  readonly before: Digest | undefined;
  readonly atMs: number;
  written: boolean;
}

export class ChangeRecorder {
  readonly #options: RecorderOptions;
  /** Entries of each page that may wait still, oldest first. */
  readonly #entries = new Map<string, Entry[]>();
  /** When the digest that is known was taken: a write that began before may be in it already. */
  readonly #takenMs = new Map<string, number>();
  #unwritten: (Entry | { readonly done: string })[] = [];

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  get pending(): number {
    return this.#unwritten.length;
  }

  /** A file was closed (or made, or linked) that was first written at `sinceMs`. */
  written(path: string, writer: Writer | undefined, sinceMs: number): void {
    if (!this.#options.isRecorded(path)) return;
    const digest = this.#options.digest(path);
    // Gone again: its removal is told as well.
    if (digest === undefined) return;
    this.#explain(path, writer, sinceMs);
    const last = this.#waiting(path).at(-1);
    if (last?.change.op === 'remove' && isSame(last.writer, writer)) {
      // Removed and made anew by one program: that is how git, and some editors, write.
      this.#cancel(path, last);
      this.#know(path, last.before);
    }
    const before = this.#options.known.get(path);
    const takenMs = this.#takenMs.get(path) ?? 0;
    if (digest === before && (sinceMs > takenMs || isSame(last?.writer, writer))) {
      // An earlier look saw what this tells of already; the log may have had less then.
      if (last === undefined || sinceMs > takenMs || !isSame(last.writer, writer)) return;
      const now = this.#logged(this.#options.now(), path);
      if (!last.written) Object.assign(last.change, now);
      else if (now.logged?.join() !== last.change.logged?.join()) this.#push({ path, op: 'write', digest }, writer, before);
      return;
    }
    this.#know(path, digest);
    const entry = this.#waiting(path).at(-1);
    if (entry !== undefined && !entry.written && isSame(entry.writer, writer) && entry.change.op !== 'remove')
      Object.assign(entry.change, { digest, ...this.#logged(this.#options.now(), path) });
    else this.#push({ path, op: before === undefined ? 'create' : 'write', digest }, writer, before);
  }

  removed(path: string, writer: Writer | undefined, atMs: number): void {
    this.#explain(path, writer, atMs);
    const before = this.#options.known.get(path);
    if (before === undefined) return;
    this.#know(path, undefined);
    if (!this.#cameAndWent(path)) this.#push({ path, op: 'remove' }, writer, before);
  }

  renamed(from: string, to: string, writer: Writer | undefined, atMs: number): void {
    const { isRecorded, digest, known } = this.#options;
    if (!isRecorded(to)) return this.removed(from, writer, atMs);
    this.#explain(from, writer, atMs);
    const before = known.get(from);
    const now = digest(to);
    // It has moved on already: what it is called then is told next.
    if (now === undefined) return this.removed(from, writer, atMs);
    if (before === undefined || this.#cameAndWent(from)) {
      this.#know(from, undefined);
      return this.written(to, writer, atMs);
    }
    this.#explain(to, writer, atMs);
    this.#know(from, undefined);
    this.#know(to, now);
    this.#push({ path: to, op: 'rename', from, digest: now }, writer, before);
  }

  /** Something happened in the session that the log is to tell. The id is made of where, so that it is queued once. */
  event(event: Omit<QueuedChange, 'op' | 'logged'> & { readonly id: string }, atMs: number): void {
    if (this.#options.queue.has(event.id)) return;
    const change: QueuedChange = { ...event, op: 'event', ...this.#logged(atMs) };
    this.#unwritten.push({ change, writer: undefined, before: undefined, atMs: this.#options.now(), written: false });
  }

  /** A page may have changed behind the mount. Where the mount saw it too, its report takes the place of this one. */
  looked(path: string, writer?: Writer): void {
    if (!this.#options.isRecorded(path)) return;
    const digest = this.#options.digest(path);
    const before = this.#options.known.get(path);
    if (digest === before) return;
    this.#know(path, digest);
    if (digest === undefined) {
      if (!this.#cameAndWent(path)) this.#push({ path, op: 'remove' }, writer, before);
    } else this.#push({ path, op: before === undefined ? 'create' : 'write', digest }, writer, before);
  }

  /** At the start: what changed while nobody looked. A change that the queue has already is only taken note of. */
  reconcile(paths: Iterable<string>, baseline: boolean, writer?: Writer): void {
    const { known, queue, digest } = this.#options;
    const recorded = new Set([...paths].filter((path) => this.#options.isRecorded(path)));
    const queued = new Map<string, string | undefined>();
    for (const change of queue.waiting().values()) {
      queued.set(change.path, change.op === 'remove' ? undefined : change.digest);
      if (change.from !== undefined) queued.set(change.from, undefined);
    }
    for (const path of new Set([...recorded, ...known.paths()])) {
      const now = recorded.has(path) ? digest(path) : undefined;
      if (!baseline && !(queued.has(path) && queued.get(path) === now)) this.looked(path, writer);
      else this.#know(path, now);
    }
  }

  /** The log tells of these changes. */
  done(ids: readonly string[]): void {
    this.#unwritten.push(...ids.map((done) => ({ done })));
    this.flush();
  }

  /** Appends what was recorded. The queue first: what is known without it would be lost. */
  flush(): void {
    const { queue, known, now } = this.#options;
    if (this.#unwritten.length > 0) {
      const time = new Date(now()).toISOString();
      queue.append(this.#unwritten.map((line) => ('done' in line ? formatDone(line.done, time) : formatChange(line.change))).join(''));
      for (const line of this.#unwritten) if (!('done' in line)) line.written = true;
      this.#unwritten = [];
    }
    known.save();
  }

  #push(what: Pick<QueuedChange, 'path' | 'op' | 'from' | 'digest'>, writer: Writer | undefined, before: Digest | undefined): void {
    const atMs = this.#options.now();
    const who =
      writer === undefined
        ? {}
        : {
            ...(writer.session === undefined ? {} : { session: writer.session }),
            uid: writer.uid,
            ...(writer.pid === 0 ? {} : { pid: writer.pid }),
            ...(writer.program === undefined ? {} : { program: writer.program }),
          };
    const change: QueuedChange = {
      id: this.#options.newId(),
      time: new Date(atMs).toISOString(),
      ...what,
      ...who,
      ...this.#logged(atMs, what.path),
    };
    const entry: Entry = { change, writer, before, atMs, written: false };
    this.#unwritten.push(entry);
    this.#entries.set(what.path, [...this.#waiting(what.path), entry]);
  }

  #logged(atMs: number, path?: string): Pick<QueuedChange, 'logged'> {
    const logged = this.#options.logged?.(atMs, path);
    return logged === undefined ? {} : { logged };
  }

  /** Entries of a page that nobody took out of the queue. */
  #waiting(path: string): readonly Entry[] {
    const entries = this.#entries.get(path);
    if (entries === undefined) return [];
    const waiting = entries.some(({ written }) => written) ? this.#options.queue.waiting() : undefined;
    const left = entries.filter(({ written, change }) => !written || waiting?.has(change.id) === true);
    if (left.length === 0) this.#entries.delete(path);
    else if (left.length < entries.length) this.#entries.set(path, left);
    return left;
  }

  /** A change that was first met behind the mount, and whose maker is known now, is told as theirs. */
  #explain(path: string, writer: Writer | undefined, sinceMs: number): void {
    const last = this.#waiting(path).at(-1);
    if (writer === undefined || last === undefined || last.writer !== undefined || last.atMs < sinceMs) return;
    this.#cancel(path, last);
    this.#know(path, last.before);
  }

  /** A page that the log does not know, and never will: its entries leave the queue. */
  #cameAndWent(path: string): boolean {
    const waiting = this.#waiting(path);
    if (waiting[0]?.change.op !== 'create') return false;
    for (const entry of waiting) this.#cancel(path, entry);
    return true;
  }

  #cancel(path: string, entry: Entry): void {
    if (entry.written) this.#unwritten.push({ done: entry.change.id });
    else this.#unwritten = this.#unwritten.filter((line) => line !== entry);
    const left = (this.#entries.get(path) ?? []).filter((each) => each !== entry);
    if (left.length > 0) this.#entries.set(path, left);
    else this.#entries.delete(path);
  }

  #know(path: string, digest: Digest | undefined): void {
    this.#takenMs.set(path, this.#options.now());
    if (digest === undefined) this.#options.known.delete(path);
    else this.#options.known.set(path, digest);
  }
}

/** One process; where the driver names none, one user. */
function isSame(a: Writer | undefined, b: Writer | undefined): boolean {
  return a !== undefined && b !== undefined && a.uid === b.uid && a.pid === b.pid;
}
