// The split patterns of cl100k_base and o200k_base as scanners over UTF-16: each finds the end of the piece that starts
// at `at`. Same pieces as the packaged regular expressions (abi-spec/tokens.md), in time linear in the whole text:
// every scan either becomes the piece or is repeated at most once.
import { LETTER, LOWER, NEWLINE, NUMBER, SPACE, SURROGATE, UPPER, classAt, widthAt } from './classes.ts';

/** Returns the end of the piece that starts at `at`; `at < end`. */
export type Split = (table: Uint8Array, units: Uint16Array, at: number, end: number) => number;

export const splitO200k: Split = (table, units, at, end) => {
  const kind = classAt(table, units, at, end);
  if ((kind & (LETTER | NUMBER | NEWLINE)) === 0) {
    // [^\r\n\p{L}\p{N}]? taken: one sign, space or mark, then a word.
    const word = cased(table, units, at + widthAt(units, at, end), end);
    if (word > 0) return contraction(units, word, end);
    if ((kind & UPPER) !== 0) return contraction(units, cased(table, units, at, end), end);
    const caps = run(table, units, at + widthAt(units, at, end), end, UPPER);
    if (caps > at + widthAt(units, at, end)) return contraction(units, caps, end);
  } else if ((kind & LETTER) !== 0) {
    const word = cased(table, units, at, end);
    return contraction(units, word > 0 ? word : run(table, units, at, end, UPPER), end);
  } else if ((kind & NUMBER) !== 0) return digits(table, units, at, end);
  const signs = punctuation(table, units, at, end, 0x2f);
  return signs > at ? signs : blank(table, units, at, end);
};

export const splitCl100k: Split = (table, units, at, end) => {
  const short = contraction(units, at, end);
  if (short > at) return short;
  const kind = classAt(table, units, at, end);
  if ((kind & LETTER) !== 0) return run(table, units, at, end, LETTER);
  if ((kind & NUMBER) !== 0) return digits(table, units, at, end);
  if ((kind & NEWLINE) === 0) {
    const from = at + widthAt(units, at, end);
    const word = run(table, units, from, end, LETTER);
    if (word > from) return word;
  }
  const signs = punctuation(table, units, at, end, 0x0a);
  return signs > at ? signs : blank(table, units, at, end);
};

/** First position at or after `at` whose code point has none of the `mask` bits. */
function run(table: Uint8Array, units: Uint16Array, at: number, end: number, mask: number): number {
  let i = at;
  while (i < end) {
    const kind = table[units[i] as number] as number;
    if ((kind & mask) !== 0) i += 1;
    else if (kind === SURROGATE && (classAt(table, units, i, end) & mask) !== 0) i += widthAt(units, i, end);
    else break;
  }
  return i;
}

/**
 * `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`; 0 when it does not match.
 * The first class takes all it can; when no lower-case letter follows, it gives back as far as the last character
 * that is in both classes, and the match ends behind that one.
 */
function cased(table: Uint8Array, units: Uint16Array, at: number, end: number): number {
  let i = at;
  let behindBoth = 0;
  while (i < end) {
    const first = table[units[i] as number] as number;
    const kind = first === SURROGATE ? classAt(table, units, i, end) : first;
    if ((kind & UPPER) === 0) return (kind & LOWER) === 0 ? behindBoth : run(table, units, i, end, LOWER);
    i += first === SURROGATE ? widthAt(units, i, end) : 1;
    if ((kind & LOWER) !== 0) behindBoth = i;
  }
  return behindBoth;
}

/** `(?i:'s|'t|'re|'ve|'m|'ll|'d)?`; U+017F folds to s. */
function contraction(units: Uint16Array, at: number, end: number): number {
  if (at + 1 >= end || units[at] !== 0x27) return at;
  const one = (units[at + 1] as number) | 0x20;
  if (one === 0x73 || one === 0x74 || one === 0x6d || one === 0x64 || units[at + 1] === 0x17f) return at + 2;
  if (at + 2 >= end) return at;
  const two = (units[at + 2] as number) | 0x20;
  return (two === 0x65 && (one === 0x72 || one === 0x76)) || (one === 0x6c && two === 0x6c) ? at + 3 : at;
}

/** `\p{N}{1,3}` */
function digits(table: Uint8Array, units: Uint16Array, at: number, end: number): number {
  let i = at;
  for (let count = 0; count < 3 && i < end && (classAt(table, units, i, end) & NUMBER) !== 0; count += 1) i += widthAt(units, i, end);
  return i;
}

/** ` ?[^\s\p{L}\p{N}]+[\r\n/]*` (`extra` is the slash, or a newline for none); `at` when it does not match. */
function punctuation(table: Uint8Array, units: Uint16Array, at: number, end: number, extra: number): number {
  const from = units[at] === 0x20 ? at + 1 : at;
  let i = from;
  while (i < end) {
    const first = table[units[i] as number] as number;
    const kind = first === SURROGATE ? classAt(table, units, i, end) : first;
    if ((kind & (SPACE | LETTER | NUMBER)) !== 0) break;
    i += first === SURROGATE ? widthAt(units, i, end) : 1;
  }
  if (i === from) return at;
  while (i < end && (units[i] === 0x0a || units[i] === 0x0d || units[i] === extra)) i += 1;
  return i;
}

/** `\s*[\r\n]+|\s+(?!\S)|\s+`: white space is in the BMP, so one unit is one character. */
function blank(table: Uint8Array, units: Uint16Array, at: number, end: number): number {
  let i = at;
  let behindNewline = 0;
  while (i < end) {
    const kind = table[units[i] as number] as number;
    if ((kind & SPACE) === 0) break;
    i += 1;
    if ((kind & NEWLINE) !== 0) behindNewline = i;
  }
  if (behindNewline > 0) return behindNewline;
  return i === end || i - at === 1 ? i : i - 1;
}
