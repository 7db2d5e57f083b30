// Byte-pair merging of one short piece by the definition: always the lowest rank, leftmost first. Quadratic in the
// piece, so only for short ones; linear.ts takes the rest.
import type { Vocabulary } from './vocabulary.ts';

export const SHORT_PIECE_BYTES = 96;

const NONE = 0x7fffffff;
const starts = new Int32Array(SHORT_PIECE_BYTES + 2);
const ranks = new Int32Array(SHORT_PIECE_BYTES + 2);

/** Encodes `bytes[0..length)`, `length <= SHORT_PIECE_BYTES`; returns the count, tokens go to `into` when given. */
export function mergeShort(vocabulary: Vocabulary, bytes: Uint8Array, length: number, into?: number[]): number {
  let parts = length;
  for (let i = 0; i <= length; i += 1) starts[i] = i;
  for (let i = 0; i + 1 < length; i += 1) ranks[i] = rankOf(vocabulary, bytes, i, i + 2);
  for (;;) {
    let best = NONE;
    let at = -1;
    for (let i = 0; i + 1 < parts; i += 1) {
      if ((ranks[i] as number) < best) {
        best = ranks[i] as number;
        at = i;
      }
    }
    if (at < 0) break;
    starts.copyWithin(at + 1, at + 2, parts + 1);
    ranks.copyWithin(at, at + 1, parts - 1);
    parts -= 1;
    if (at + 1 < parts) ranks[at] = rankOf(vocabulary, bytes, starts[at] as number, starts[at + 2] as number);
    if (at > 0) ranks[at - 1] = rankOf(vocabulary, bytes, starts[at - 1] as number, starts[at + 1] as number);
  }
  if (into !== undefined)
    for (let i = 0; i < parts; i += 1) into.push(vocabulary.find(bytes, starts[i] as number, starts[i + 1] as number));
  return parts;
}

function rankOf(vocabulary: Vocabulary, bytes: Uint8Array, start: number, end: number): number {
  const token = vocabulary.find(bytes, start, end);
  return token < 0 ? NONE : token;
}
