// src/tokens: exact token counts. A counter is synchronous and linear on every input.

export interface TokenCounter {
  /** For example `o200k_base`. */
  readonly name: string;
  /** Tokens of the whole text, ordinary encoding (special-token text counts as text). Linear in the length. */
  count(text: string): number;
  /** Token ids (slow path, for tests and the engine). */
  encode(text: string): Uint32Array;
}
