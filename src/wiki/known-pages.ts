// What the daemon knows of a wiki's pages, so that a change it did not see is found: the digest of each, in an append-only file of its own.
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import type { Digest } from '../abi/digest.ts';

type Line =
  | { readonly path: string; readonly digest: Digest }
  | { readonly gone: string }
  /** How far the events of a session were looked at. */
  | { readonly events: string; readonly bytes: number };

/** A file is rewritten when it has so many more lines than it says things. */
const SLACK_LINES = 1_000;

export class KnownPages {
  /** There was no file: nothing was ever known of this wiki. */
  readonly isNew: boolean;
  readonly #file: string;
  readonly #digests = new Map<string, Digest>();
  readonly #events = new Map<string, number>();
  #unsaved = '';

  private constructor(file: string) {
    this.#file = file;
    const text = readOr(file);
    this.isNew = text === undefined;
    // A torn last line says nothing: what it meant is found again.
    const lines = (text ?? '').split('\n').slice(0, -1);
    for (const line of lines) this.#take(line);
    if (lines.length > this.#digests.size + this.#events.size + SLACK_LINES) this.#rewrite();
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

  /** Called after the queue has what became known: a stop in between finds a change again, and the queue says that it has it. */
  save(): void {
    if (this.#unsaved === '' && !this.isNew) return;
    mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
    appendFileSync(this.#file, this.#unsaved, { mode: 0o600 });
    this.#unsaved = '';
  }

  #note(line: Line): void {
    this.#unsaved += `${JSON.stringify(line)}\n`;
  }

  #take(text: string): void {
    let line: Partial<{ path: string; digest: Digest; gone: string; events: string; bytes: number }>;
    try {
      line = JSON.parse(text) as typeof line;
    } catch {
      return;
    }
    if (typeof line.path === 'string' && typeof line.digest === 'string') this.#digests.set(line.path, line.digest);
    else if (typeof line.gone === 'string') this.#digests.delete(line.gone);
    else if (typeof line.events === 'string' && typeof line.bytes === 'number') this.#events.set(line.events, line.bytes);
  }

  #rewrite(): void {
    const lines: Line[] = [...this.#digests].map(([path, digest]) => ({ path, digest }));
    for (const [events, bytes] of this.#events) lines.push({ events, bytes });
    writeFileSync(`${this.#file}.new`, lines.map((line) => `${JSON.stringify(line)}\n`).join(''), { mode: 0o600 });
    renameSync(`${this.#file}.new`, this.#file);
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
