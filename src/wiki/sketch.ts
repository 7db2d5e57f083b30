// How much two pages say the same: hashes of runs of words, of which each page keeps the smallest (a bottom-k sketch).

export const SKETCH_SIZE = 128;
const RUN_WORDS = 4;
/** Shorter pages have too little to compare. */
export const MIN_WORDS = 40;

export interface Sketch {
  readonly words: number;
  /** Ascending, distinct, at most {@link SKETCH_SIZE}. */
  readonly smallest: Uint32Array;
  /** Of all words in order: equal for pages that differ in markup, case of ASCII letters and white space only. */
  readonly whole: number;
  readonly wholeToo: number;
}

/** Linear in the text. */
export function sketchOf(text: string): Sketch {
  const runs: number[] = [];
  let words = 0;
  let word = 0;
  let inWord = false;
  let whole = 0x811c9dc5;
  let wholeToo = 0x9747b28c;
  // The three words before this one.
  let first = 0;
  let second = 0;
  let third = 0;
  for (let i = 0; i <= text.length; i += 1) {
    // One past the end is a separator.
    let code = i < text.length ? text.charCodeAt(i) : 0x20;
    if (code >= 0x41 && code <= 0x5a) code += 0x20;
    if (code >= 0x80 || (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39)) {
      inWord = true;
      word = Math.imul(word, 0x01000193) ^ code;
      continue;
    }
    if (!inWord) continue;
    whole = Math.imul(whole ^ word, 0x01000193);
    wholeToo = (Math.imul(wholeToo, 31) + word) | 0;
    words += 1;
    if (words >= RUN_WORDS) runs.push(mixed(Math.imul(Math.imul(Math.imul(first, 31) + second, 31) + third, 31) + word));
    first = second;
    second = third;
    third = word;
    word = 0;
    inWord = false;
  }
  return { words, smallest: bottom(runs), whole: whole >>> 0, wholeToo: wholeToo >>> 0 };
}

function mixed(value: number): number {
  let hash = value ^ (value >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function bottom(runs: readonly number[]): Uint32Array {
  // Hashes are spread evenly: a bound finds a few more than needed without sorting all.
  const bound = (2 ** 32 / runs.length) * SKETCH_SIZE * 2;
  let sorted = Uint32Array.from(runs.length > SKETCH_SIZE * 3 ? runs.filter((run) => run < bound) : runs).sort();
  let kept = distinct(sorted);
  if (kept.length < SKETCH_SIZE && sorted.length < runs.length) {
    sorted = Uint32Array.from(runs).sort();
    kept = distinct(sorted);
  }
  return kept;
}

function distinct(sorted: Uint32Array): Uint32Array {
  const kept = new Uint32Array(Math.min(SKETCH_SIZE, sorted.length));
  let count = 0;
  for (let i = 0; i < sorted.length && count < SKETCH_SIZE; i += 1) {
    if (i === 0 || sorted[i] !== sorted[i - 1]) kept[count++] = sorted[i] as number;
  }
  return kept.slice(0, count);
}

/** Estimated share of runs that both have of those that either has (Jaccard): 0 to 1. */
export function similarity(a: Sketch, b: Sketch): number {
  const size = Math.min(SKETCH_SIZE, Math.max(a.smallest.length, b.smallest.length));
  if (size === 0) return 0;
  let i = 0;
  let j = 0;
  let both = 0;
  let seen = 0;
  while (seen < size && (i < a.smallest.length || j < b.smallest.length)) {
    const left = a.smallest[i] ?? Infinity;
    const right = b.smallest[j] ?? Infinity;
    if (left === right) both += 1;
    if (left <= right) i += 1;
    if (right <= left) j += 1;
    seen += 1;
  }
  return both / seen;
}
