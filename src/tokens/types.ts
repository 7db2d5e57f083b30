// src/tokens: exact token counts. A counter is synchronous and linear on every input.

export interface TokenCounter {
  /** For example `o200k_base`. */
  readonly name: string;
  /** Tokens of the whole text, ordinary encoding (special-token text counts as text). Linear in the length. */
  count(text: string): number;
  /**
   * Tokens of these messages (JSON, one a string) with these tools and the start of an answer, as the model's own chat template
   * renders them; absent: the reference template counts, and its parts add up.
   */
  prompt?(messages: readonly string[], toolsJson: string | undefined): number;
  /** To be awaited before anything is counted, where another process counts. Fails where it cannot. */
  ready?(): Promise<void>;
}

export interface TokenEncoder extends TokenCounter {
  /** Token ids (slow path, for tests and the engine). */
  encode(text: string): Uint32Array;
}

export const TOKENIZERS = ['o200k_base', 'cl100k_base'] as const;
export type TokenizerName = (typeof TOKENIZERS)[number];

export function isTokenizerName(name: string): name is TokenizerName {
  return (TOKENIZERS as readonly string[]).includes(name);
}
