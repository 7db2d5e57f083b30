// What a session does while nobody asks for anything. It only saves time: no byte of any file depends on it.
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { CountPending } from '../tokens/pending.ts';
import type { CachedParts } from './cached-parts.ts';

/** Once a thread: see `PackRun.practise`. */
let practised = false;
/** Of its own: it waits whenever somebody asks for something. */
const PRACTICE_MS = 2000;
const PRACTICE_SLICE_MS = 4;
/** Between steps of what may wait. */
const TIDY_PAUSE_MS = 2;

export interface IdleHooks {
  isClosed(): boolean;
  /** Somebody has their turn. */
  isBusy(): boolean;
  /** In a turn of its own. */
  advancePack(): Promise<void>;
  log(line: string): void;
}

export class IdleWork {
  readonly #cached: CachedParts;
  readonly #hooks: IdleHooks;
  #warmed = false;
  #tidying = false;

  constructor(cached: CachedParts, hooks: IdleHooks) {
    this.#cached = cached;
    this.#hooks = hooks;
  }

  /** After a start the first append would wait for the fold, the tokenizer and the thesaurus: they are fetched before it comes. */
  warmSoon(): void {
    if (this.#warmed) return;
    this.#warmed = true;
    setTimeout(() => void this.#warm(), 0).unref();
  }

  afterTurn(): void {
    void this.#foresee();
    void this.#tidy();
  }

  async #warm(): Promise<void> {
    const parts = this.#cached.opened;
    if (parts === undefined) return;
    try {
      await this.#hooks.advancePack();
      if (practised) return;
      let usedMs = 0;
      const steps = parts.pack.practise();
      for (let due = 0; ;) {
        if (performance.now() >= due) {
          await nextTurn();
          due = performance.now() + PRACTICE_SLICE_MS;
        }
        if (this.#isOver(parts)) return;
        // Never inside somebody's turn: the index may be closed in it.
        if (this.#hooks.isBusy()) {
          await pause(PRACTICE_SLICE_MS);
          continue;
        }
        const began = performance.now();
        const { done } = steps.next();
        usedMs += performance.now() - began;
        if (done === true || usedMs > PRACTICE_MS) break;
      }
      practised ||= parts.pack.epoch !== undefined && parts.pack.epoch.cut > 1;
    } catch {
      // Nobody asked for this: whoever asks meets the same and is told.
    }
  }

  /** Whatever of the next epoch can be known is made ready while the answer is read: until somebody asks for something. */
  async #foresee(): Promise<void> {
    const parts = this.#cached.opened;
    if (parts === undefined) return;
    try {
      const steps = this.#hooks.isClosed() ? undefined : parts.pack.foresee();
      while (steps !== undefined) {
        await nextTurn();
        if (this.#isOver(parts) || this.#hooks.isBusy() || steps.next().done === true) return;
      }
    } catch (error) {
      // Whoever asks for the pack hears of it.
      if (!(error instanceof CountPending)) this.#hooks.log(`pack.foresee: ${String(error)}`);
    }
  }

  /** What may wait for a time in which nobody asks for anything: sealing a segment of the index. */
  async #tidy(): Promise<void> {
    if (this.#tidying || this.#hooks.isClosed()) return;
    const parts = this.#cached.opened;
    if (parts === undefined) return;
    const steps = parts.history.later();
    if (steps === undefined) return;
    this.#tidying = true;
    try {
      for (;;) {
        await pause(TIDY_PAUSE_MS);
        if (this.#isOver(parts)) return;
        if (!this.#hooks.isBusy() && steps.next().done === true) return;
      }
    } catch (error) {
      // A segment that is not sealed answers as well.
      this.#hooks.log(`derive.tidy: ${String(error)}`);
    } finally {
      this.#tidying = false;
    }
  }

  #isOver(parts: CachedParts['now']): boolean {
    return this.#hooks.isClosed() || parts !== this.#cached.opened;
  }
}
