// Contributions in stream order. events.jsonl is looked through once for them; what was found is kept in the cache.
import { join } from 'node:path';
import { understood } from '../abi/records.ts';
import { isContributionType } from '../context/contributions.ts';
import type { Contribution } from '../context/types.ts';
import type { HistoryMarks } from '../journal/index.ts';
import type { HistoryReader, OrderLog } from '../journal/types.ts';
import { readSummed, writeSummed } from './summed-file.ts';

const VERSION = 'contributions/2';
const PIECE_BYTES = 4 << 20;
const MARK: Buffer = Buffer.from('context.');

interface Kept {
  readonly version: string;
  /** HistoryMarks. */
  readonly of: string;
  readonly eventBytes: number;
  readonly eventLines: number;
  readonly found: readonly Contribution[];
}

export class ContributionLog {
  readonly #path: string;
  readonly #events: HistoryReader;
  readonly #log: OrderLog;
  readonly #marks: HistoryMarks;
  #found: Contribution[] = [];
  #eventBytes = 0;
  #eventLines = 0;
  #savedBytes = 0;

  constructor(directory: string, events: HistoryReader, log: OrderLog, marks: HistoryMarks) {
    this.#path = join(directory, 'contributions.json');
    this.#events = events;
    this.#log = log;
    this.#marks = marks;
    const kept = readKept(this.#path);
    if (kept !== undefined && marks.holds(kept.of)) {
      this.#found = [...kept.found];
      this.#eventBytes = this.#savedBytes = kept.eventBytes;
      this.#eventLines = kept.eventLines;
    }
  }

  get all(): readonly Contribution[] {
    return this.#found;
  }

  /** Looks through what was recorded since. Linear in the new bytes of events.jsonl; other events are not parsed. */
  update(): void {
    const end = this.#log.last()?.eventsEnd ?? 0;
    while (this.#eventBytes < end) {
      const bytes = this.#events.readRange(this.#eventBytes, pieceEnd(this.#events, this.#eventBytes, end));
      this.#scan(bytes);
      this.#eventBytes += bytes.length;
    }
  }

  /** Contributions among events (afterEventLine, throughEventLine]. */
  between(afterEventLine: number, throughEventLine: number): readonly Contribution[] {
    const found = this.#found;
    let low = 0;
    for (let high = found.length; low < high;) {
      const middle = (low + high) >>> 1;
      if ((found[middle] as Contribution).eventLine <= afterEventLine) low = middle + 1;
      else high = middle;
    }
    let end = low;
    while (end < found.length && (found[end] as Contribution).eventLine <= throughEventLine) end += 1;
    return low === end ? [] : found.slice(low, end);
  }

  /** Keeps what was found, by rename. */
  save(): void {
    if (this.#savedBytes === this.#eventBytes) return;
    const kept: Kept = {
      version: VERSION,
      of: this.#marks.now(),
      eventBytes: this.#eventBytes,
      eventLines: this.#eventLines,
      found: this.#found,
    };
    writeSummed(this.#path, kept);
    this.#savedBytes = this.#eventBytes;
  }

  #scan(bytes: Buffer): void {
    let line = this.#eventLines;
    let next = bytes.indexOf(MARK);
    for (let at = 0; at < bytes.length;) {
      const newline = bytes.indexOf(10, at);
      const end = newline < 0 ? bytes.length : newline + 1;
      line += 1;
      if (next >= 0 && next < end) {
        this.#read(bytes.subarray(at, end), line, this.#eventBytes + at);
        next = bytes.indexOf(MARK, end);
      }
      at = end;
    }
    this.#eventLines = line;
  }

  #read(bytes: Buffer, eventLine: number, offset: number): void {
    let event: unknown;
    try {
      event = JSON.parse(bytes.toString('utf8'));
    } catch {
      return;
    }
    const type = typeof event === 'object' && event !== null ? (event as { type?: unknown }).type : undefined;
    if (!isContributionType(type)) return;
    this.#found.push({
      eventLine,
      afterLine: this.#afterLine(offset),
      type,
      event: understood(event) as Readonly<Record<string, unknown>>,
    });
  }

  /** Messages recorded before the event at this offset. */
  #afterLine(offset: number): number {
    const log = this.#log;
    let low = 0;
    for (let high = log.length; low < high;) {
      const middle = (low + high) >>> 1;
      if (log.at(middle).eventsEnd > offset) high = middle;
      else low = middle + 1;
    }
    return log.at(low).messageLines;
  }
}

function pieceEnd(events: HistoryReader, start: number, end: number): number {
  if (end - start <= PIECE_BYTES) return end;
  const line = events.lineOfOffset(start + PIECE_BYTES);
  const lineStart = events.offsetOfLine(line);
  return lineStart > start ? lineStart : events.offsetOfLine(line + 1);
}

function readKept(path: string): Kept | undefined {
  const value = readSummed(path) as Kept | undefined;
  return value?.version === VERSION ? value : undefined;
}
