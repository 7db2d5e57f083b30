// What waits for the engine: at most one job a session, the newest of it, and no more sessions than the bound.

export interface Job<R> {
  readonly session: string;
  readonly request: R;
  /** Grows with every request: who waits for one is served by any later one. */
  readonly sequence: number;
  /** Somebody reads state.bin and waits. */
  readonly awaited: boolean;
  readonly notBeforeMs: number;
}

export class CompileQueue<R> {
  readonly #jobs = new Map<string, Job<R>>();
  readonly #most: number;
  #sequence = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#jobs.size;
  }

  of(session: string): Job<R> | undefined {
    return this.#jobs.get(session);
  }

  /**
   * ENG-11: replaces what the session had waiting, and keeps its place. Returns the job, and the one that had to go because
   * too many sessions wait (the longest waiting that nobody awaits; else the new one itself).
   */
  put(session: string, request: R, awaited: boolean, notBeforeMs: number): { readonly job: Job<R>; readonly dropped: Job<R> | undefined } {
    const before = this.#jobs.get(session);
    const job: Job<R> = { session, request, sequence: (this.#sequence += 1), awaited: awaited || before?.awaited === true, notBeforeMs };
    this.#jobs.set(session, job);
    if (this.#jobs.size <= this.#most) return { job, dropped: undefined };
    const dropped = [...this.#jobs.values()].find((other) => !other.awaited && other !== job) ?? job;
    this.#jobs.delete(dropped.session);
    return { job, dropped };
  }

  /** Awaited ones first, then the longest waiting. `wait` ms until the next may start where none may now. */
  take(nowMs: number): { readonly job: Job<R> } | { readonly waitMs: number } | undefined {
    const jobs = [...this.#jobs.values()];
    const due = jobs.filter((job) => job.notBeforeMs <= nowMs);
    const job = due.find(({ awaited }) => awaited) ?? due[0];
    if (job !== undefined) {
      this.#jobs.delete(job.session);
      return { job };
    }
    return jobs.length === 0 ? undefined : { waitMs: Math.min(...jobs.map(({ notBeforeMs }) => notBeforeMs)) - nowMs };
  }

  drop(session: string): void {
    this.#jobs.delete(session);
  }

  clear(): readonly Job<R>[] {
    const jobs = [...this.#jobs.values()];
    this.#jobs.clear();
    return jobs;
  }
}
