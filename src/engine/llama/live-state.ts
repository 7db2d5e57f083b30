// The one sequence of a child: which tokens its state holds, and how far that state equals a fresh prefill.
import { setImmediate } from 'node:timers/promises';
import { CtxError } from '../../abi/errors.ts';
import type { ArtifactFile } from '../types.ts';
import { chunkSizes, reusableTokens, sharedTokens } from './evaluation.ts';
import type { LlamaContext, LlamaSequence } from './native.ts';
import type { Owed, SavedStates, Saving } from './saved-state.ts';

export interface Prepared {
  readonly reusedTokens: number;
  readonly refused: string | undefined;
}

export class LiveState {
  readonly #context: LlamaContext;
  readonly #saved: SavedStates;
  #sequence: LlamaSequence | undefined;
  /** Tokens whose state follows the bitwise law; what was generated one by one after them does not count. */
  #exact: Uint32Array = new Uint32Array();
  /** Of the file that the sequence's state began with: its digest, being taken. */
  #proof: { readonly done: Promise<unknown>; readonly stop: AbortController } | undefined;

  constructor(context: LlamaContext, saved: SavedStates) {
    this.#context = context;
    this.#saved = saved;
  }

  get sequence(): LlamaSequence {
    this.#sequence ??= this.#context.getSequence({ contextShift: { strategy: refuseShift } });
    return this.#sequence;
  }

  /** Leaves the longest usable prefix of `wanted` in the sequence, from what is live or from the offered file. */
  async prepare(wanted: Uint32Array, base: ArtifactFile | undefined, logits: boolean, signal: AbortSignal): Promise<Prepared> {
    const live = this.#usable(wanted, this.#exact, logits);
    const offered = base === undefined ? 0 : this.#usable(wanted, base.tokens, logits);
    let refused: string | undefined;
    if (base !== undefined && offered > live) {
      try {
        await this.#load(base, signal);
      } catch (error) {
        signal.throwIfAborted();
        refused = error instanceof CtxError ? error.message : `the saved state was refused by the loader: ${String(error)}`;
      }
    }
    const reusedTokens = this.#usable(wanted, this.#exact, logits);
    await this.#cut(wanted, reusedTokens);
    return { reusedTokens, refused };
  }

  /** Evaluates the tokens from `from` on, but for the last chunk when `but` asks for it: its logits are wanted. */
  async evaluate(
    wanted: Uint32Array,
    from: number,
    last: 'evaluate' | 'leave',
    signal: AbortSignal,
    onDone: (done: number) => void,
  ): Promise<number[]> {
    const sizes = chunkSizes(wanted.length - from);
    let at = from;
    for (const [index, size] of sizes.entries()) {
      signal.throwIfAborted();
      const chunk = Array.from(wanted.subarray(at, at + size));
      if (last === 'leave' && index === sizes.length - 1) return chunk;
      await this.sequence.evaluateWithoutGeneratingNewTokens(chunk);
      at += size;
      this.#exact = wanted.slice(0, at);
      onDone(at);
    }
    return [];
  }

  /** The chunk that `evaluate` left was evaluated too: the state of all these tokens is exact. */
  settle(wanted: Uint32Array): void {
    this.#exact = wanted;
  }

  /** ENG-14: throws `engine.state`, and drops the state, where it began with a file that is not the one that was saved. */
  async proven(): Promise<void> {
    const wrong = await this.#proof?.done;
    if (wrong === undefined) return void (this.#proof = undefined);
    await this.drop();
    throw wrong;
  }

  async save(wanted: Uint32Array, saveTo: string): Promise<Saving> {
    await this.proven();
    this.#prove(wanted);
    return this.#saved.save(this.sequence, wanted, saveTo);
  }

  /** After any failure inside the engine nothing of the sequence is trusted. */
  async drop(): Promise<void> {
    this.#exact = new Uint32Array();
    this.#forgetProof();
    const sequence = this.#sequence;
    this.#sequence = undefined;
    await sequence?.dispose();
  }

  #forgetProof(): void {
    this.#proof?.stop.abort();
    this.#proof = undefined;
  }

  #usable(wanted: Uint32Array, held: Uint32Array, logits: boolean): number {
    return reusableTokens(wanted.length, sharedTokens(wanted, held), held.length, logits);
  }

  async #load(base: ArtifactFile, signal: AbortSignal): Promise<void> {
    try {
      const owed = await this.#saved.withVerified(base, signal, async (path) => {
        // From here on the live state is gone, whatever the loader says.
        this.#exact = new Uint32Array();
        this.#forgetProof();
        await this.sequence.loadStateFromFile(path, { acceptRisk: true });
        this.#prove(base.tokens);
        this.#exact = base.tokens;
      });
      if (owed !== undefined) this.#proof = begin(owed);
    } catch (error) {
      // A failed load poisons the sequence; a refusal before it leaves the live state as it was.
      if (this.#exact.length === 0) await this.drop();
      throw error;
    }
  }

  async #cut(wanted: Uint32Array, keep: number): Promise<void> {
    const prefix = wanted.slice(0, keep);
    if (keep === 0) {
      this.#forgetProof();
      await this.sequence.clearHistory();
    } else if (this.sequence.nextTokenIndex !== keep || this.#exact.length !== keep)
      await this.sequence.adaptStateToTokens(Array.from(prefix), false);
    this.#exact = prefix;
    this.#prove(prefix);
  }

  /** Proof of reuse: the engine itself must say that it holds exactly these tokens. */
  #prove(tokens: Uint32Array): void {
    const { nextTokenIndex, contextTokens } = this.sequence;
    if (nextTokenIndex === tokens.length && contextTokens.length === tokens.length && sharedTokens(contextTokens, tokens) === tokens.length)
      return;
    throw new CtxError('engine.reuse', 'EIO', `the engine holds ${nextTokenIndex} tokens where ${tokens.length} were restored`, {
      next: 'nothing to do: it is built again from source',
    });
  }
}

/** In turns beside what the engine does; never rejects. */
function begin(owed: Owed): { readonly done: Promise<unknown>; readonly stop: AbortController } {
  const stop = new AbortController();
  const done = setImmediate()
    .then(() => owed(stop.signal))
    .then(
      () => undefined,
      (error: unknown) => error,
    );
  return { done, stop };
}

// The default drops the start of the conversation in silence.
function refuseShift(): never {
  throw new CtxError('engine.context', 'EMSGSIZE', 'the context is full', {
    next: 'give the model a larger context or the pack a smaller budget',
  });
}
