// Streams whole lines out of a byte range: linear time, one chunk of memory plus the longest line.

export type ReadAt = (positionBytes: number, into: Uint8Array) => number;

const CHUNK_BYTES = 1 << 20;

/** Calls `onLine` for every line (without its newline) that ends inside [start, end). Returns the offset after the last one. */
export function scanLines(read: ReadAt, startBytes: number, endBytes: number, onLine: (line: Buffer, startBytes: number) => void): number {
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(1, endBytes - startBytes)));
  let carried: Buffer[] = [];
  let carriedBytes = 0;
  let lineStart = startBytes;
  let position = startBytes;
  while (position < endBytes) {
    const got = read(position, chunk.subarray(0, Math.min(chunk.length, endBytes - position)));
    if (got === 0) break;
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0 && at < got; at = chunk.indexOf(10, from)) {
      const piece = chunk.subarray(from, at);
      onLine(carriedBytes === 0 ? piece : Buffer.concat([...carried, piece]), lineStart);
      carried = [];
      carriedBytes = 0;
      from = at + 1;
      lineStart = position + from;
    }
    if (from < got) {
      carried.push(Buffer.from(chunk.subarray(from, got)));
      carriedBytes += got - from;
    }
    position += got;
  }
  return lineStart;
}

/** Offset after the last newline in [floor, end), or `floor`. Reads backwards, so its cost is the torn tail's length. */
export function lastLineEnd(read: ReadAt, floorBytes: number, endBytes: number): number {
  const chunk = Buffer.allocUnsafe(64 * 1024);
  let high = endBytes;
  while (high > floorBytes) {
    const low = Math.max(floorBytes, high - chunk.length);
    const got = read(low, chunk.subarray(0, high - low));
    const at = chunk.subarray(0, got).lastIndexOf(10);
    if (at >= 0) return low + at + 1;
    high = low;
  }
  return floorBytes;
}

/** First NUL byte in [start, end), or -1: a hole left by pages that never reached the disk. Runs at memory speed. */
export function firstNul(read: ReadAt, startBytes: number, endBytes: number): number {
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(1, endBytes - startBytes)));
  for (let position = startBytes; position < endBytes;) {
    const got = read(position, chunk.subarray(0, Math.min(chunk.length, endBytes - position)));
    if (got === 0) return -1;
    const at = chunk.subarray(0, got).indexOf(0);
    if (at >= 0) return position + at;
    position += got;
  }
  return -1;
}

export function countNewlines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines++;
  return lines;
}

export interface LineRuns {
  readonly good: Buffer[];
  readonly bad: Buffer[];
  goodLines: number;
  badLines: number;
}

/** Sorts whole lines into runs of good and of bad ones. `searchFrom`: the first line holds no newline before it. */
export function sortLines(bytes: Buffer, searchFrom: number, isGood: (line: Buffer) => boolean): LineRuns {
  const runs: LineRuns = { good: [], bad: [], goodLines: 0, badLines: 0 };
  let runStart = 0;
  let runGood = false;
  for (let from = 0, newline: number; from < bytes.length; from = newline + 1) {
    newline = bytes.indexOf(10, from === 0 ? searchFrom : from);
    const good = newline > from && isGood(bytes.subarray(from, newline));
    if (good !== runGood && from > 0) {
      (runGood ? runs.good : runs.bad).push(bytes.subarray(runStart, from));
      runStart = from;
    }
    runGood = good;
    if (good) runs.goodLines++;
    else runs.badLines++;
  }
  (runGood ? runs.good : runs.bad).push(bytes.subarray(runStart));
  return runs;
}

/** Whether the last byte that is not white space is `}`: anything else is not worth parsing as an object. */
export function endsObject(pieces: readonly Buffer[]): boolean {
  for (const piece of [...pieces].reverse()) {
    for (let at = piece.length - 1; at >= 0; at--) {
      const byte = piece[at];
      if (byte !== 32 && byte !== 9 && byte !== 13) return byte === 125;
    }
  }
  return false;
}
