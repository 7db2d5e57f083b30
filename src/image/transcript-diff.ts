// Two journals compared by what they share first: stretches with the same digest are not read, so a common history of any size costs
// nothing (IMG-17). What is behind the point where they part is shown, bounded; nothing is ever merged.
import type { OciDigest } from './oci.ts';

/** A journal of an image or of a session. */
export interface JournalSide {
  readonly bytes: number;
  /** Whole lines in all; undefined: nobody counted them. */
  readonly lines: number | undefined;
  /** What it is made of, in order, as far as that is known. */
  readonly stretches: readonly { readonly digest: OciDigest; readonly size: number }[];
  /** Fewer bytes at the end only. */
  read(offset: number, bytes: number): Promise<Buffer>;
}

export interface ShownLine {
  /** From 1, as in `messages:12`. */
  readonly line: number;
  readonly text: string;
  /** Bytes of the line that are not shown. */
  readonly cut: number;
}

export interface JournalRest {
  readonly lines: number;
  readonly bytes: number;
  /** The first of them. */
  readonly shown: readonly ShownLine[];
}

export interface JournalDiff {
  /** Lines that both begin with. */
  readonly common: number;
  readonly commonBytes: number;
  readonly a: JournalRest;
  readonly b: JournalRest;
}

const PIECE_BYTES = 1 << 20;
const MOST_LINES = 20;
const MOST_LINE_BYTES = 2000;
/** How much of a prefix that is known by record only is looked at. */
const CHECKED_BYTES = 1 << 20;

/** `recorded`: bytes that the sides share as a session's own record says; believed when what ends there is the same. */
export async function diffJournals(a: JournalSide, b: JournalSide, recorded = 0, mostLines: number = MOST_LINES): Promise<JournalDiff> {
  const known = Math.max(sharedBytes(a, b), (await holds(a, b, recorded)) ? recorded : 0);
  const commonBytes = await partAt(a, b, known);
  const restA = await restOf(a, commonBytes, mostLines);
  const restB = await restOf(b, commonBytes, mostLines);
  const common =
    a.lines === undefined ? (b.lines === undefined ? await countLines(a, commonBytes) : b.lines - restB.lines) : a.lines - restA.lines;
  const numbered = (rest: JournalRest): JournalRest => ({
    ...rest,
    shown: rest.shown.map((shown) => ({ ...shown, line: shown.line + common })),
  });
  return { common, commonBytes, a: numbered(restA), b: numbered(restB) };
}

function sharedBytes(a: JournalSide, b: JournalSide): number {
  let bytes = 0;
  for (const [index, { digest, size }] of a.stretches.entries()) {
    if (b.stretches[index]?.digest !== digest) break;
    bytes += size;
  }
  return bytes;
}

async function holds(a: JournalSide, b: JournalSide, recorded: number): Promise<boolean> {
  if (recorded === 0 || recorded > a.bytes || recorded > b.bytes) return false;
  const start = Math.max(0, recorded - CHECKED_BYTES);
  const [one, other] = await Promise.all([a.read(start, recorded - start), b.read(start, recorded - start)]);
  return one.equals(other) && one.at(-1) === 10;
}

/** The end of the last line that both have in common. */
async function partAt(a: JournalSide, b: JournalSide, start: number): Promise<number> {
  const most = Math.min(a.bytes, b.bytes);
  let lineEnd = start;
  for (let at = start; at < most;) {
    const want = Math.min(PIECE_BYTES, most - at);
    const [one, other] = await Promise.all([a.read(at, want), b.read(at, want)]);
    const got = Math.min(one.length, other.length);
    if (got === 0) break;
    const same = one.subarray(0, got).equals(other.subarray(0, got)) ? got : firstDifference(one, other, got);
    const newline = one.subarray(0, same).lastIndexOf(10);
    if (newline >= 0) lineEnd = at + newline + 1;
    if (same < want) break;
    at += same;
  }
  return lineEnd;
}

function firstDifference(a: Buffer, b: Buffer, bytes: number): number {
  let [from, to] = [0, bytes];
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if (a.subarray(from, middle).equals(b.subarray(from, middle))) from = middle;
    else to = middle;
  }
  return from;
}

async function restOf(side: JournalSide, start: number, mostLines: number): Promise<JournalRest> {
  const shown: ShownLine[] = [];
  let lines = 0;
  // Of the line that is being read: what is shown of it, and how long it is.
  let head: Buffer[] = [];
  let [headBytes, lineBytes] = [0, 0];
  const take = (bytes: Buffer): void => {
    lineBytes += bytes.length;
    if (lines >= mostLines || headBytes >= MOST_LINE_BYTES) return;
    const kept = bytes.subarray(0, MOST_LINE_BYTES - headBytes);
    head.push(Buffer.from(kept));
    headBytes += kept.length;
  };
  const end = (): void => {
    lines++;
    if (lines <= mostLines) shown.push({ line: lines, text: Buffer.concat(head).toString('utf8'), cut: lineBytes - headBytes });
    [head, headBytes, lineBytes] = [[], 0, 0];
  };
  for (let at = start; at < side.bytes;) {
    const piece = await side.read(at, Math.min(PIECE_BYTES, side.bytes - at));
    if (piece.length === 0) break;
    at += piece.length;
    let from = 0;
    for (let newline = piece.indexOf(10); newline >= 0; newline = piece.indexOf(10, from)) {
      take(piece.subarray(from, newline));
      end();
      from = newline + 1;
    }
    take(piece.subarray(from));
  }
  if (lineBytes > 0) end();
  return { lines, bytes: side.bytes - start, shown };
}

async function countLines(side: JournalSide, bytes: number): Promise<number> {
  let lines = 0;
  for (let at = 0; at < bytes;) {
    const piece = await side.read(at, Math.min(PIECE_BYTES, bytes - at));
    if (piece.length === 0) break;
    at += piece.length;
    for (let newline = piece.indexOf(10); newline >= 0; newline = piece.indexOf(10, newline + 1)) lines++;
  }
  return lines;
}
