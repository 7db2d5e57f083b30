// Syncs of journals, one at a time for each file: while one runs, those that come wait together for the next.
import { performSyncLater } from '../src/journal/sync-work.ts';
import type { SyncWork } from '../src/journal/sync-work.ts';

export interface Waiting {
  readonly work: SyncWork;
  /** Called once; undefined: everything is on the disk. */
  done(error: unknown): void;
}

export class SyncQueue {
  readonly #next: Map<number, Waiting[]> = new Map();
  /** JRN-11: the kernel tells of lost pages once; whoever asks later must hear of it too. */
  readonly #failed: Map<number, unknown> = new Map();

  push(waiting: Waiting): void {
    const { key } = waiting.work;
    const queued = this.#next.get(key);
    if (queued !== undefined) {
      queued.push(waiting);
      return;
    }
    this.#next.set(key, []);
    void this.#run(key, [waiting]);
  }

  /** Never rejects. What comes while this batch runs began after it, so only the next one may acknowledge it. */
  async #run(key: number, batch: readonly Waiting[]): Promise<void> {
    try {
      if (!this.#failed.has(key)) await performSyncLater(together(batch));
    } catch (error) {
      this.#failed.set(key, error);
    }
    for (const { done } of batch) done(this.#failed.get(key));
    const next = this.#next.get(key) ?? [];
    this.#next.delete(key);
    if (next.length === 0) return;
    this.#next.set(key, []);
    await this.#run(key, next);
  }
}

function together(batch: readonly Waiting[]): SyncWork {
  const [first, ...rest] = batch.map(({ work }) => work) as [SyncWork, ...SyncWork[]];
  if (rest.length === 0) return first;
  const all = [first, ...rest];
  return {
    key: first.key,
    rejects: [...new Set(all.flatMap((work) => work.rejects))],
    file: all.find((work) => work.file !== undefined)?.file,
    directories: [...new Set(all.flatMap((work) => work.directories))],
  };
}
