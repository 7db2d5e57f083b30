// What the daemon knows of a wiki's pages, so that a change it did not see is found: the digest of each, in an append-only file of its own.
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import type { Digest } from '../abi/digest.ts';

type Line =
  | { readonly path: string; readonly digest: Digest }
  | { readonly gone: string }
  /** How far the events of a session were looked at. */
  | { readonly events: string; readonly bytes: number }
  /** Entries that the log had, by id, with their days. */
  | { readonly log: Readonly<Record<string, string>> };

/** A file is rewritten when it has so many more lines than it says things. */
const SLACK_LINES = 1_000;

export class KnownPages {
  /** There was no file: nothing was ever known of this wiki. */
  readonly isNew: boolean;
  readonly #file: string;
  readonly #digests = new Map<string, Digest>();
  readonly #events = new Map<string, number>();
  #log: ReadonlyMap<string, string> | undefined;
  #unsaved = '';
  #lines = 0;

  private constructor(file: string) {
    this.#file = file;
    const text = readOr(file);
    this.isNew = text === undefined;
    // A torn last line says nothing: what it meant is found again.
    const lines = (text ?? '').split('\n').slice(0, -1);
    for (const line of lines) this.#take(line);
    this.#lines = lines.length;
  }

  static open(file: string): KnownPages {
    return new KnownPages(file);
  }

  get(path: string): Digest | undefined {
    return this.#digests.get(path);
  }
  paths(): readonly string[] {
    return [...this.#digests.keys()];
  }

  set(path: string, digest: Digest): void {
    if (this.#digests.get(path) === digest) return;
    this.#digests.set(path, digest);
    this.#note({ path, digest });
  }

  delete(path: string): void {
    if (this.#digests.delete(path)) this.#note({ gone: path });
  }

  eventsSeen(session: string): number | undefined {
    return this.#events.get(session);
  }

  seeEvents(session: string, bytes: number): void {
    this.#events.set(session, bytes);
    this.#note({ events: session, bytes });
  }

  /** What the log had at the last look; undefined: nobody looked. */
  logSeen(): ReadonlyMap<string, string> | undefined {
    return this.#log;
  }

  seeLog(entries: ReadonlyMap<string, string>): void {
    this.#log = entries;
    this.#note({ log: Object.fromEntries(entries) });
  }

  /** Called after the queue has what became known: a stop in between finds a change again, and the queue says that it has it. */
  save(): void {
    if (this.#unsaved === '' && !this.isNew) return;
    mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
    if (this.#lines > this.#digests.size + this.#events.size + SLACK_LINES) return this.#rewrite();
    appendFileSync(this.#file, this.#unsaved, { mode: 0o600 });
    this.#unsaved = '';
  }

  #note(line: Line): void {
    this.#unsaved += `${JSON.stringify(line)}\n`;
    this.#lines += 1;
  }

  #take(text: string): void {
    let line: Partial<{ path: string; digest: Digest; gone: string; events: string; bytes: number; log: Record<string, string> }>;
    try {
      line = JSON.parse(text) as typeof line;
    } catch {
      return;
    }
    if (typeof line.path === 'string' && typeof line.digest === 'string') this.#digests.set(line.path, line.digest);
    else if (typeof line.gone === 'string') this.#digests.delete(line.gone);
    else if (typeof line.events === 'string' && typeof line.bytes === 'number') this.#events.set(line.events, line.bytes);
    else if (typeof line.log === 'object') this.#log = new Map(Object.entries(line.log));
  }

  #rewrite(): void {
    const lines: Line[] = [...this.#digests].map(([path, digest]) => ({ path, digest }));
    for (const [events, bytes] of this.#events) lines.push({ events, bytes });
    if (this.#log !== undefined) lines.push({ log: Object.fromEntries(this.#log) });
    writeFileSync(`${this.#file}.new`, lines.map((line) => `${JSON.stringify(line)}\n`).join(''), { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
    this.#lines = lines.length;
    this.#unsaved = '';
  }
}

function readOr(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
