// The compile that runs now: of which pack, how far it is, and whether a newer pack may end it.
import { CtxError } from '../abi/errors.ts';
import type { CompileRequest } from './compile-loop.ts';
import type { Job } from './compile-queue.ts';
import type { PackIdentity } from './manifest.ts';

/** Evaluated tokens that a newer pack may cost. */
const LITTLE_TOKENS = 1024;

export class Running {
  readonly job: Job<CompileRequest>;
  readonly controller: AbortController = new AbortController();
  /** As asked for, then as read. */
  pack: PackIdentity;
  /** Set when the program ends: what was evaluated is saved until then. */
  keep: AbortSignal | undefined;
  #restored: number | undefined;
  #done = 0;
  #total = 0;

  constructor(job: Job<CompileRequest>) {
    this.job = job;
    this.pack = job.request.pack;
  }

  /** The first one says what was there before anything was evaluated. */
  progress(done: number, total: number): void {
    this.#restored ??= done;
    this.#done = done;
    this.#total = total;
  }

  /** Little was evaluated, or a new epoch shares only its beginning with it; and it does not end by itself right now. */
  losesLittle(newer: PackIdentity): boolean {
    const evaluated = this.#done - (this.#restored ?? this.#done);
    const nearlyDone = this.#restored !== undefined && this.#total - this.#done < LITTLE_TOKENS / 2;
    return !nearlyDone && (evaluated <= LITTLE_TOKENS || newer.epoch !== this.pack.epoch);
  }
}

/** What is given up is not waited for, whatever it does with the signal. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = (): void => reject(new CtxError('engine.cancelled', 'EINTR', 'the compile was given up'));
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
