// Digests of sealed segments, one session after another: some time after a fork, or at once for who asks.
import * as path from 'node:path';
import { digestParts } from '../src/journal/index.ts';

/** Forks often come several at a time; what follows them may wait. */
const IDLE_MS = 5000;

export class DigestQueue {
  readonly #log: (line: string) => void;
  readonly #waiting: Set<string> = new Set();
  readonly #abort: AbortController = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();
  #progress = '';

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  soon(directory: string): void {
    this.#waiting.add(directory);
    if (this.#abort.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      for (const waiting of this.#waiting) {
        // Nobody waits for it: who needs a digest asks again and is told.
        this.now(waiting).catch((error: unknown) => this.#log(`digest of ${path.basename(waiting)}: ${String(error)}`));
      }
    }, IDLE_MS).unref();
  }

  now(directory: string): Promise<void> {
    this.#waiting.delete(directory);
    const turn = this.#turn.then(() => this.#run(directory));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #run(directory: string): Promise<void> {
    try {
      await digestParts(directory, {
        signal: this.#abort.signal,
        onProgress: (done, all) => (this.#progress = `digesting=${path.basename(directory)} ${Math.round((done / all) * 100)}%`),
      });
    } catch (error) {
      // Renamed, removed, or the end of the daemon.
      if (!this.#abort.signal.aborted && (error as { code?: unknown }).code !== 'ENOENT') throw error;
    } finally {
      this.#progress = '';
    }
  }

  progress(): readonly string[] {
    return this.#progress === '' ? [] : [this.#progress];
  }

  close(): void {
    this.#abort.abort();
    clearTimeout(this.#timer);
  }
}
