// One thing at a time for a session: the fold is one walk through one history.
import { CtxError } from '../abi/errors.ts';
import { CountPending } from '../tokens/pending.ts';

/** What one reader waits for an engine that counts: what it counted is remembered for the next. */
const MOST_COUNTING_MS = 5 * 60_000;

function slowCount(where: string): CtxError {
  return new CtxError('tokens.engine', 'ETIMEDOUT', `the engine takes more than ${MOST_COUNTING_MS / 60_000} minutes to count this pack`, {
    where,
    next: 'read it again: what was counted is remembered',
  });
}

export interface TurnHooks {
  readonly directory: string;
  /** Fails when the session is closed. */
  mustBeOpen(): void;
  /** Which tokenizer counts may be known only now. */
  counted(): void;
  /** Before every turn. */
  begin(): void;
  /** What a failed turn does: throw the error, or the work from nothing. */
  failed<T>(error: unknown, work: () => Promise<T>): Promise<T>;
  /** After every turn. */
  done(): void;
}

export class Turns {
  readonly #hooks: TurnHooks;
  #queue: Promise<unknown> = Promise.resolve();
  #building = '';

  constructor(hooks: TurnHooks) {
    this.#hooks = hooks;
  }

  /** What has its turn now; empty between two. */
  get building(): string {
    return this.#building;
  }

  /** TOK-11: who needs a count that is not there yet leaves its turn to others, and begins again with it. */
  async take<T>(what: string, work: () => Promise<T>): Promise<T> {
    for (let waitedMs = 0; ;) {
      try {
        return await this.#once(what, work);
      } catch (error) {
        if (!(error instanceof CountPending)) throw error;
        if (waitedMs > MOST_COUNTING_MS) throw slowCount(this.#hooks.directory);
        const began = performance.now();
        await error.answered;
        waitedMs += performance.now() - began;
        this.#hooks.mustBeOpen();
        this.#hooks.counted();
      }
    }
  }

  /** When all that were asked for have had theirs. */
  async over(): Promise<void> {
    await this.#queue.catch(() => undefined);
  }

  #once<T>(what: string, work: () => Promise<T>): Promise<T> {
    this.#hooks.mustBeOpen();
    const turn = this.#queue.then(async () => {
      this.#building = what;
      try {
        this.#hooks.begin();
        return await work().catch((error: unknown) => this.#hooks.failed(error, work));
      } finally {
        this.#building = '';
        this.#hooks.done();
      }
    });
    this.#queue = turn.catch(() => undefined);
    return turn;
  }
}
