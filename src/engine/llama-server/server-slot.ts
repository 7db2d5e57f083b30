// The one slot that this driver uses: what is in it, and the states that were saved from it.
import { CtxError } from '../../abi/errors.ts';
import { countOf, listOf, objectOf } from '../json-fields.ts';
import { commonPrefix } from '../prefix.ts';
import type { RemoteServer } from '../remote-server.ts';
import type { Completed } from './completion.ts';
import { SavedSlots } from './saved-slots.ts';

/** A restore that saves fewer tokens than this is not worth a request. */
const LEAST_GAIN = 32;

/** What the slot held when an evaluation began. */
export interface Prepared {
  readonly restored: string | undefined;
  /** Tokens that the server should find in its slot. */
  readonly expected: number;
  readonly refused: string | undefined;
}

export class ServerSlot {
  readonly id = 0;
  readonly #server: RemoteServer;
  readonly #saved: SavedSlots;
  #live: Uint32Array = new Uint32Array();
  /** The server was not started with `--slot-save-path`. */
  #unsaved = false;

  constructor(server: RemoteServer, directory: string | undefined) {
    this.#server = server;
    this.#saved = new SavedSlots(directory);
  }

  /** Restores the saved state that shares most with these tokens, where that is more than the slot has now. */
  async prepare(tokens: Uint32Array, signal: AbortSignal): Promise<Prepared> {
    await this.#look(signal);
    const live = commonPrefix(this.#live, tokens);
    const best = this.#saved.best(tokens);
    if (best === undefined || this.#unsaved || best.shared < live + LEAST_GAIN)
      return { restored: undefined, expected: live, refused: undefined };
    this.#saved.forget(best.name);
    try {
      const reply = objectOf(await this.#act('restore', best.name, signal));
      if (countOf(reply['n_restored']) !== best.tokens.length) {
        // Another state under our name: nothing of it may be used.
        await this.#act('erase', undefined, signal);
        throw new CtxError(
          'engine.state',
          'EINVAL',
          `the saved state holds ${String(reply['n_restored'])} tokens, not ${best.tokens.length}`,
        );
      }
    } catch (error) {
      this.#live = new Uint32Array();
      // The server refused (a missing or foreign file): built from the source. No server at all: the caller's error.
      if (!(error instanceof CtxError) || (error.code !== 'engine.http' && error.code !== 'engine.state')) throw error;
      return { restored: undefined, expected: 0, refused: error.message };
    }
    this.#live = best.tokens;
    this.#saved.record(best.name, best.tokens);
    return { restored: best.name, expected: best.shared, refused: undefined };
  }

  /** Notes what the slot holds after an evaluation; says why a restored state was of no use. */
  settle(tokens: Uint32Array, { reusedTokens, generated }: Completed, prepared: Prepared): string | undefined {
    this.#live = Uint32Array.from([...tokens, ...generated]);
    // The server evaluates the last token of the prompt in any case.
    const proven = reusedTokens >= Math.min(prepared.expected, tokens.length - 1);
    if (prepared.restored === undefined || proven) return prepared.refused;
    this.#saved.forget(prepared.restored);
    return `the server reused ${reusedTokens} of ${prepared.expected} restored tokens`;
  }

  /** Saves the slot's state; says why not, where the server refuses for another reason than that it saves none at all. */
  async save(tokens: Uint32Array, signal: AbortSignal): Promise<string | undefined> {
    if (this.#unsaved || this.#saved.holds(tokens)) return undefined;
    const name = this.#saved.take(tokens);
    try {
      const reply = objectOf(await this.#act('save', name, signal));
      if (countOf(reply['n_saved']) !== tokens.length) return `the server saved ${String(reply['n_saved'])} of ${tokens.length} tokens`;
      this.#saved.record(name, tokens);
    } catch (error) {
      if (!(error instanceof CtxError) || error.code !== 'engine.http') throw error;
      this.#unsaved = / 501\b|answered 501/.test(error.message);
      return this.#unsaved ? undefined : `the state was not saved: ${error.message}`;
    }
    return undefined;
  }

  // Another client, or a restart, may have changed the slot: its length says so well enough, and the counts of the next
  // evaluation say the truth. A server without /slots leaves us with what we remember.
  async #look(signal: AbortSignal): Promise<void> {
    if (this.#live.length === 0) return;
    try {
      const slots = listOf(await this.#server.json('GET', '/slots', undefined, signal, true)).map(objectOf);
      const length = countOf(slots.find(({ id }) => id === this.id)?.['n_prompt_tokens']) ?? 0;
      // The last token that was generated is not evaluated yet.
      this.#live = length <= this.#live.length && length >= this.#live.length - 2 ? this.#live.subarray(0, length) : new Uint32Array();
    } catch (error) {
      if (!(error instanceof CtxError) || error.code !== 'engine.http') throw error;
    }
  }

  #act(action: 'save' | 'restore' | 'erase', filename: string | undefined, signal: AbortSignal): Promise<unknown> {
    // 500 here means that the file is no good: never tried again.
    return this.#server.json('POST', `/slots/${this.id}?action=${action}`, filename === undefined ? {} : { filename }, signal, true);
  }
}
