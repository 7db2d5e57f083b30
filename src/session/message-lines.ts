// Parsed messages by line, read in runs and kept while they are near in use. Bounded by bytes, not by lines.
import { viewMessage } from '../abi/records.ts';
import { BLOCK_LINES } from '../context/types.ts';
import type { MessageLine } from '../context/types.ts';
import type { HistoryReader } from '../journal/types.ts';

const KEPT_BYTES = 12 << 20;
const RUN_BYTES = 256 << 10;
const RUN_LINES = 64;
/** Blocks of which `near` keeps the bytes, and the largest of them. */
const RAW_BLOCKS = 32;
const MOST_RAW_BYTES = 256 << 10;
const PIECE_BYTES = 8 << 10;

/** Where the messages of a whole block lie; undefined when that is not known without looking. */
export type MessagesOf = (block: number) => { readonly start: number; readonly end: number } | undefined;

export class MessageLines {
  readonly #history: HistoryReader;
  readonly #messagesOf: MessagesOf;
  readonly #kept = new Map<number, MessageLine>();
  readonly #raw = new Map<number, RawBlock>();
  #keptBytes = 0;

  constructor(history: HistoryReader, messagesOf: MessagesOf) {
    this.#history = history;
    this.#messagesOf = messagesOf;
  }

  /** One message. Reading backwards or forwards is cheap: neighbours are read with it. */
  at(line: number): MessageLine {
    const kept = this.#kept.get(line);
    if (kept !== undefined) return kept;
    this.#readAround(line);
    return this.#kept.get(line) ?? this.#one(line);
  }

  /** One message somewhere in history: its block's bytes are read and cut into lines, and it alone is parsed. */
  near(line: number): MessageLine {
    const kept = this.#kept.get(line);
    if (kept !== undefined) return kept;
    const number = Math.floor((line - 1) / BLOCK_LINES);
    let block = this.#raw.get(number);
    if (block === undefined) {
      const at = this.#messagesOf(number);
      if (at === undefined || at.end - at.start > MOST_RAW_BYTES) return this.at(line);
      const [oldest] = this.#raw.size < RAW_BLOCKS ? [] : this.#raw;
      if (oldest !== undefined) this.#raw.delete(oldest[0]);
      block = new RawBlock(this.#history, at.start, at.end, oldest?.[1]);
      this.#raw.set(number, block);
    }
    const message = parseMessage(line, block.line((line - 1) % BLOCK_LINES));
    this.#keep(message);
    return message;
  }

  /** Consecutive messages, each parsed once. */
  range(first: number, last: number): readonly MessageLine[] {
    const lines: MessageLine[] = [];
    for (let line = first; line <= last; line++) lines.push(this.at(line));
    return lines;
  }

  #one(line: number): MessageLine {
    return parseMessage(line, this.#history.readRange(this.#history.offsetOfLine(line), this.#history.offsetOfLine(line + 1)));
  }

  /** Reads the aligned run of lines around this one, less when they are large. */
  #readAround(line: number): void {
    const history = this.#history;
    let first = line - ((line - 1) % RUN_LINES);
    let last = Math.min(history.lines, first + RUN_LINES - 1);
    let start = history.offsetOfLine(first);
    let end = history.offsetOfLine(last + 1);
    if (end - start > RUN_BYTES) {
      first = last = line;
      start = history.offsetOfLine(line);
      end = history.offsetOfLine(line + 1);
      for (let next = line - 1; next >= 1 && next > line - RUN_LINES; next--) {
        const offset = history.offsetOfLine(next);
        if (end - offset > RUN_BYTES) break;
        first = next;
        start = offset;
      }
    }
    let at = first;
    for (const bytes of splitLines(history.readRange(start, end))) {
      if (!this.#kept.has(at)) this.#keep(parseMessage(at, bytes));
      at += 1;
    }
  }

  #keep(message: MessageLine): void {
    this.#kept.set(message.line, message);
    this.#keptBytes += message.bytes.length + 512;
    if (this.#keptBytes <= KEPT_BYTES) return;
    // The oldest read go first; the one just read stays.
    for (const [line, old] of this.#kept) {
      if (this.#keptBytes <= KEPT_BYTES / 2 || line === message.line) break;
      this.#kept.delete(line);
      this.#keptBytes -= old.bytes.length + 512;
    }
  }
}

/** A block's bytes, and where its first lines end: read and looked through as far as somebody asked. */
class RawBlock {
  readonly #history: HistoryReader;
  readonly #start: number;
  /** Of which this block has a part. */
  readonly #room: Buffer;
  readonly #bytes: Buffer;
  /** Bytes that are read. */
  #read = 0;
  readonly #ends: number[] = [];

  /** In the room of another one that is used no more, where that is large enough. */
  constructor(history: HistoryReader, start: number, end: number, before: RawBlock | undefined) {
    this.#history = history;
    this.#start = start;
    const size = end - start;
    this.#room = before !== undefined && before.#room.length >= size ? before.#room : Buffer.allocUnsafe(Math.ceil(size * 1.25));
    this.#bytes = this.#room.subarray(0, size);
  }

  /** A copy: it must not keep the block alive. */
  line(place: number): Buffer {
    const bytes = this.#bytes;
    const ends = this.#ends;
    // About as much as it takes, for lines of one length.
    if (ends.length <= place) this.#readTo(Math.ceil((bytes.length * (place + 1)) / BLOCK_LINES));
    for (let from = ends.at(-1) ?? 0; ends.length <= place;) {
      const newline = bytes.subarray(0, this.#read).indexOf(10, from);
      if (newline < 0 && this.#read < bytes.length) {
        from = this.#read;
        this.#readTo(from + 1);
        continue;
      }
      from = newline < 0 ? bytes.length : newline + 1;
      ends.push(from);
    }
    return Buffer.from(bytes.subarray(ends[place - 1] ?? 0, ends[place]));
  }

  /** At least so far, in whole pieces. */
  #readTo(end: number): void {
    const to = Math.min(this.#bytes.length, Math.ceil(end / PIECE_BYTES) * PIECE_BYTES);
    if (to <= this.#read) return;
    this.#history.readInto(this.#start + this.#read, this.#bytes.subarray(this.#read, to));
    this.#read = to;
  }
}

/** Whole lines of a buffer that ends in a newline, each with its newline, as views on the buffer. */
export function* splitLines(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const newline = bytes.indexOf(10, at);
    const end = newline < 0 ? bytes.length : newline + 1;
    yield bytes.subarray(at, end);
    at = end;
  }
}

/** A line that is not a JSON object (written around us) reads as an empty message: never an error. */
export function parseMessage(line: number, bytes: Buffer): MessageLine {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    value = undefined;
  }
  return {
    line,
    bytes,
    view: viewMessage(
      typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : { role: 'system' },
    ),
  };
}
