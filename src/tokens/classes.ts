// Character classes of the split patterns, one byte for each code point. Frozen: never the runtime's own Unicode data,
// so that a count does not change with the Node release (TOK-5).
import { CLASS_RANGES } from './unicode-ranges.ts';

/** Lu, Lt, Lm, Lo, M: may start a word. */
export const UPPER = 1;
/** Ll, Lm, Lo, M: may end a word. */
export const LOWER = 2;
/** \p{L} */
export const LETTER = 4;
/** \p{N} */
export const NUMBER = 8;
/** \s: White_Space, which has U+0085 and has not U+FEFF. */
export const SPACE = 16;
/** \r and \n */
export const NEWLINE = 32;
/** A UTF-16 surrogate: look at the pair. */
export const SURROGATE = 128;

const REPLACEMENT = 0xfffd;
let shared: Uint8Array | undefined;

/** The table, 1.1 MB, built once in about a millisecond. */
export function classTable(): Uint8Array {
  if (shared !== undefined) return shared;
  const table = new Uint8Array(0x110000);
  const parts = CLASS_RANGES.split(' ');
  let next = 0;
  for (let i = 0; i + 2 < parts.length; i += 3) {
    const start = next + parseInt(parts[i] as string, 36);
    const end = start + parseInt(parts[i + 1] as string, 36);
    table.fill(parseInt(parts[i + 2] as string, 36), start, end);
    next = end;
  }
  table.fill(SURROGATE, 0xd800, 0xe000);
  shared = table;
  return table;
}

/** Class of the code point at `at`; a lone surrogate is U+FFFD, as TextEncoder writes it. */
export function classAt(table: Uint8Array, units: Uint16Array, at: number, end: number): number {
  const kind = table[units[at] as number] as number;
  return kind === SURROGATE ? (table[codePointAt(units, at, end)] as number) : kind;
}

/** UTF-16 units of the code point at `at`: 1 or 2. */
export function widthAt(units: Uint16Array, at: number, end: number): number {
  return isPair(units, at, end) ? 2 : 1;
}

/** The code point at `at`; U+FFFD for a lone surrogate. */
export function codePointAt(units: Uint16Array, at: number, end: number): number {
  const unit = units[at] as number;
  if ((unit & 0xf800) !== 0xd800) return unit;
  if (!isPair(units, at, end)) return REPLACEMENT;
  return 0x10000 + ((unit & 0x3ff) << 10) + ((units[at + 1] as number) & 0x3ff);
}

function isPair(units: Uint16Array, at: number, end: number): boolean {
  return ((units[at] as number) & 0xfc00) === 0xd800 && at + 1 < end && ((units[at + 1] as number) & 0xfc00) === 0xdc00;
}
