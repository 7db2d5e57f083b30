// ENG: the bitwise law. Chunks of at most 512 tokens and at least 64 give the same state as any other such split, so a
// state that was restored, extended or cut equals the one a fresh prefill would make. Shorter chunks would not.
export const CHUNK_TOKENS = 512;
export const LEAST_CHUNK = 64;

/** Sizes of the chunks in which so many tokens are evaluated; the last two share where the last would be too short. */
export function chunkSizes(tokens: number): number[] {
  const sizes: number[] = [];
  for (let left = tokens; left > 0;) {
    const size = Math.min(CHUNK_TOKENS, left);
    const after = left - size;
    const taken = after > 0 && after < LEAST_CHUNK ? size - (LEAST_CHUNK - after) : size;
    sizes.push(taken);
    left -= taken;
  }
  return sizes;
}

/**
 * How many tokens of a held state may be kept for `wanted` tokens, when the first `shared` of its `held` tokens agree.
 * `logits`: the last token must be evaluated, because a saved state holds none.
 */
export function reusableTokens(wanted: number, shared: number, held: number, logits: boolean): number {
  // A prompt below the least chunk is one short chunk: nothing but itself equals it.
  if (wanted < LEAST_CHUNK || held < LEAST_CHUNK) return !logits && wanted === shared && held === shared ? shared : 0;
  const left = wanted - shared;
  if (left === 0 && !logits) return shared;
  return left < LEAST_CHUNK ? wanted - LEAST_CHUNK : shared;
}

export function sharedTokens(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const limit = Math.min(a.length, b.length);
  let at = 0;
  while (at < limit && a[at] === b[at]) at += 1;
  return at;
}
