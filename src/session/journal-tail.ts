// The end of a journal, read without an index: what a gate and the update queue look at.
import { closeSync, openSync, readSync } from 'node:fs';

import type { JournalFile } from '../abi/session-files.ts';
import { readableSegments } from '../journal/index.ts';

const PIECE_BYTES = 256 * 1024;

export class JournalTail {
  readonly sizeBytes: number;
  readonly #segments: readonly { readonly path: string; readonly startBytes: number; readonly endBytes: number }[];

  /** As the journal is now. */
  constructor(directory: string, journal: JournalFile) {
    let end = 0;
    this.#segments = readableSegments(directory)[journal].map(({ path, sizeBytes }) => ({
      path,
      startBytes: end,
      endBytes: (end += sizeBytes),
    }));
    this.sizeBytes = end;
  }

  read(startBytes: number, endBytes: number): Buffer {
    const parts: Buffer[] = [];
    for (const segment of this.#segments) {
      const from = Math.max(startBytes, segment.startBytes);
      const to = Math.min(endBytes, segment.endBytes);
      if (from < to) parts.push(readRange(segment.path, from - segment.startBytes, to - from));
    }
    return Buffer.concat(parts);
  }

  /** Whole lines with the offset of their end, the newest first, from at most so many bytes at the end: those whose beginning is seen. */
  *linesBackwards(mostBytes: number): Generator<{ readonly line: string; readonly endBytes: number }> {
    const least = Math.max(0, this.sizeBytes - mostBytes);
    let rest = Buffer.alloc(0);
    for (let end = this.sizeBytes; end > least;) {
      const start = Math.max(least, end - PIECE_BYTES);
      rest = Buffer.concat([this.read(start, end), rest]);
      end = start;
      for (let last = rest.lastIndexOf(0x0a); last > 0;) {
        const before = rest.lastIndexOf(0x0a, last - 1);
        if (before < 0) break;
        yield { line: rest.toString('utf8', before + 1, last), endBytes: start + last + 1 };
        rest = rest.subarray(0, before + 1);
        last = before;
      }
    }
    const last = rest.lastIndexOf(0x0a);
    if (least === 0 && last >= 0) yield { line: rest.toString('utf8', 0, last), endBytes: last + 1 };
  }
}

function readRange(path: string, offsetBytes: number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  const file = openSync(path, 'r');
  try {
    let done = 0;
    while (done < sizeBytes) {
      const count = readSync(file, bytes, done, sizeBytes - done, offsetBytes + done);
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  } finally {
    closeSync(file);
  }
}
