// What the compiler knows of each session: its manifest, its failures, and who waits for its state.
import { CtxError } from '../abi/errors.ts';
import type { Artifact } from './artifact-shelf.ts';
import { absent } from './manifest.ts';
import type { Manifest } from './manifest.ts';
import type { ManifestFiles } from './manifest-files.ts';

export interface Outcome {
  readonly manifest: Manifest;
  readonly artifact: Artifact | undefined;
}

interface Waiter {
  /** Sequence of the request it came with; any later one serves it too. */
  readonly need: number;
  readonly settle: (outcome: Outcome | CtxError) => void;
}

export const NEVER_READ = 'nothing is compiled yet; reading pack.json, pack.md or prompt.json of an active session compiles it';

export class Entry {
  readonly session: string;
  manifest: Manifest;
  /** Of the engine with which this manifest was made; -1: of an earlier run. Another one looks again. */
  generation = -1;
  failure: CtxError | undefined;
  notBeforeMs = 0;
  /** A superseded compile is given up once; the next one runs to its end, so that a busy session is compiled too. */
  gaveWay = false;
  #failures = 0;
  readonly #waiters = new Set<Waiter>();

  constructor(session: string, manifest: Manifest) {
    this.session = session;
    this.manifest = manifest;
  }

  get awaited(): boolean {
    return this.#waiters.size > 0;
  }

  /** ENG-12: each failure in a row doubles the time until the engine is asked again. */
  failed(error: CtxError, nowMs: number, backoffMs: { readonly first: number; readonly most: number }): void {
    this.failure = error;
    this.notBeforeMs = nowMs + Math.min(backoffMs.most, backoffMs.first * 2 ** this.#failures);
    this.#failures += 1;
  }

  forgetFailures(): void {
    this.failure = undefined;
    this.notBeforeMs = 0;
    this.#failures = 0;
  }

  /** Until a compile that began with request `need` or a later one has ended, or the signal aborts. */
  wait(need: number, signal: AbortSignal): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        need,
        settle: (outcome) => {
          this.#waiters.delete(waiter);
          signal.removeEventListener('abort', interrupted);
          if (outcome instanceof CtxError) reject(outcome);
          else resolve(outcome);
        },
      };
      const interrupted = (): void => waiter.settle(new CtxError('engine.interrupted', 'EINTR', 'the reader stopped waiting'));
      this.#waiters.add(waiter);
      signal.addEventListener('abort', interrupted, { once: true });
      if (signal.aborted) interrupted();
    });
  }

  settle(sequence: number, outcome: Outcome | CtxError): void {
    for (const waiter of this.#waiters) if (waiter.need <= sequence) waiter.settle(outcome);
  }
}

/** Beyond this many, sessions that nothing happens to are read from their files again. */
const MOST_ENTRIES = 4096;

export class Entries {
  readonly #files: ManifestFiles;
  readonly #entries = new Map<string, Entry>();

  constructor(files: ManifestFiles) {
    this.#files = files;
  }

  of(session: string): Entry {
    let entry = this.#entries.get(session);
    if (entry === undefined) {
      this.#shrink();
      this.#entries.set(session, (entry = new Entry(session, this.#files.read(session) ?? absent(NEVER_READ))));
    }
    return entry;
  }

  all(): Iterable<Entry> {
    return this.#entries.values();
  }

  delete(session: string): void {
    this.#entries.delete(session);
  }

  #shrink(): void {
    if (this.#entries.size < MOST_ENTRIES) return;
    for (const [session, entry] of this.#entries) {
      if (entry.awaited || ['queued', 'compiling'].includes(entry.manifest.state)) continue;
      this.#entries.delete(session);
      return;
    }
  }
}
