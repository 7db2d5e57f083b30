// The order log on the deriver thread, its only writer: one record a commit, so that messages, events and inputs have one
// order for good. It may trail the data, so no acknowledged line depends on it.
import { constants, fdatasync } from 'node:fs';
import { join } from 'node:path';
import { digestOf } from '../abi/digest.ts';
import { CtxError, isFull } from '../abi/errors.ts';
import type { JournalFile } from '../abi/session-files.ts';
import { ACTIVE_OF, chainName, FEW_SEGMENTS, finishChain, readChain, sealChain, type ChainKind } from './chain-segments.ts';
import { guarded, nodeDisk, syncDirectory, writeFully, type Disk } from './disk.ts';
import { encodeInput, INPUTS_FILE, loadInput, readInputs, storeInputs, type RecordedInput } from './inputs.ts';
import { JournalBytes } from './journal-bytes.ts';
import { OrderPages, recordsWithin } from './order-pages.ts';
import { recoverOrder, type OrderFinding } from './order-recovery.ts';
import {
  chainOf,
  CHAIN_BYTES,
  encodeHead,
  encodeHeader,
  endChain,
  HEADER_BYTES,
  KIND_EVENTS,
  KIND_INPUT,
  KIND_MESSAGES,
  MAX_RECORD_BYTES,
  MAX_RECORD_LINES,
  ORDER_FILE,
  RECORD_BYTES,
  startChain,
  type RawRecord,
} from './order-record.ts';
import { currentBoot } from './sync-mark.ts';
import type { CommitNote, InputBytes, OrderLog, OrderRecord } from './types.ts';

export interface OrderLogOptions {
  readonly now?: () => number;
  readonly disk?: Disk;
  readonly bootId?: string;
  /** What opening had to repair. */
  readonly onFinding?: (finding: OrderFinding) => void;
}

export function openOrderLog(directory: string, options: OrderLogOptions = {}): OrderLog {
  return guarded(directory, () => new Log(directory, options));
}

/** Commits of one journal that follow each other within this time become one record. */
const COALESCE_MS = 1000;

class Log implements OrderLog {
  readonly #directory: string;
  readonly #disk: Disk;
  readonly #now: () => number;
  readonly #pages: OrderPages;
  readonly #boot: string;
  #fd: number;
  #inputsFd: number;
  readonly #bytes: Record<JournalFile, JournalBytes>;
  readonly #inputs: RecordedInput[];
  readonly #current: Map<string, string> = new Map<string, string>();
  readonly #chunk: Buffer = Buffer.allocUnsafe(MAX_RECORD_BYTES);
  #inputsBytes: number;
  /** Lines of `inputs.jsonl` begin with this one (from 0). */
  #inputsFirst: number;
  /** The header is in the file: a log that was just sealed gets it with its next record. */
  #headed = true;
  #closed = false;
  /** Records that are known to be on the disk. */
  #durableLength = 0;
  /** The names of the active files are on the disk. */
  #named = true;
  #last: RawRecord;
  #chain: Buffer;
  /** Encoded records that are not in the file yet. */
  #batch: Buffer[] = [];
  #length: number;
  #asOf: { readonly count: number; readonly map: ReadonlyMap<string, string> } | undefined;

  constructor(directory: string, options: OrderLogOptions) {
    this.#directory = directory;
    this.#disk = options.disk ?? nodeDisk;
    this.#now = options.now ?? Date.now;
    this.#boot = options.bootId ?? currentBoot();
    finishChain(directory, 'order', this.#disk);
    finishChain(directory, 'inputs', this.#disk);
    this.#bytes = {
      'messages.jsonl': new JournalBytes(directory, 'messages.jsonl', this.#disk),
      'events.jsonl': new JournalBytes(directory, 'events.jsonl', this.#disk),
    };
    this.#fd = this.#disk.openSync(join(directory, ORDER_FILE), constants.O_RDWR | constants.O_CREAT, 0o600);
    this.#inputsFd = this.#disk.openSync(join(directory, INPUTS_FILE), constants.O_RDWR | constants.O_CREAT, 0o600);
    const inputs = readInputs(directory, this.#disk);
    if (inputs.fileBytes > inputs.sizeBytes) this.#disk.ftruncateSync(this.#inputsFd, inputs.sizeBytes);
    this.#inputsBytes = inputs.sizeBytes;
    this.#inputsFirst = inputs.first;
    this.#inputs = inputs.inputs;
    const kept = recoverOrder({
      directory,
      disk: this.#disk,
      fd: this.#fd,
      boot: this.#boot,
      bytes: this.#bytes,
      inputLines: inputs.lines,
      onFinding: options.onFinding ?? (() => undefined),
    });
    this.#pages = new OrderPages(directory, this.#disk);
    this.#length = kept.length;
    this.#durableLength = this.#pages.first;
    this.#last = kept.last;
    this.#chain = kept.chain;
    // A line without its record (a crash between the two, or records that had to be dropped): it gets one now.
    for (let index = this.#last.inputs; index < this.#inputs.length; index++) {
      this.#addInput(inputs.lines[index] as Buffer, (this.#inputs[index] as RecordedInput).timeMs);
    }
    this.#writeBatch();
    for (const input of this.#inputs) apply(this.#current, input);
  }

  get length(): number {
    return this.#length;
  }

  at(index: number): OrderRecord {
    return this.#view(this.#pages.at(index));
  }

  last(): OrderRecord | undefined {
    return this.#length === 0 ? undefined : this.#view(this.#last);
  }

  commit(notes: readonly CommitNote[]): void {
    guarded(this.#directory, () => this.#commit(notes));
  }

  #commit(notes: readonly CommitNote[]): void {
    for (let first = 0; first < notes.length;) {
      const note = notes[first] as CommitNote;
      let end = first + 1;
      while (
        end < notes.length &&
        (notes[end] as CommitNote).file === note.file &&
        (notes[end] as CommitNote).timeMs - note.timeMs < COALESCE_MS
      )
        end++;
      const last = notes[end - 1] as CommitNote;
      this.#cover(note.file, last.endBytes, last.timeMs);
      first = end;
    }
    this.#tryBatch();
  }

  catchUp(messagesBytes: number, eventsBytes: number): void {
    // Records that a full disk kept back are tried again.
    if (this.#batch.length === 0 && messagesBytes <= this.#last.messagesEnd && eventsBytes <= this.#last.eventsEnd) return;
    const now = this.#now();
    guarded(this.#directory, () => {
      this.#cover('messages.jsonl', messagesBytes, now);
      this.#cover('events.jsonl', eventsBytes, now);
      this.#tryBatch();
    });
  }

  recordInput(path: string, bytes: Buffer | undefined, timeMs: number): boolean {
    return this.recordInputs([{ path, bytes }], timeMs);
  }

  recordInputs(versions: readonly InputBytes[], timeMs: number): boolean {
    const changed = versions
      .map(({ path, bytes }) => ({ path, bytes, digest: bytes === undefined ? undefined : digestOf(bytes) }))
      .filter(({ path, digest }) => this.#current.get(path) !== digest);
    if (changed.length === 0) return false;
    guarded(this.#directory, () => {
      const stored = changed.flatMap(({ digest, bytes }) =>
        digest === undefined || bytes === undefined ? [] : [[digest, bytes] as const],
      );
      storeInputs(this.#directory, stored, this.#disk);
      this.#recordInputs(changed.map(({ path, digest }) => ({ path, digest, timeMs })));
    });
    return true;
  }

  /** The bytes are durable before the lines, the lines before their records. */
  #recordInputs(inputs: readonly RecordedInput[]): void {
    const lines = inputs.map(encodeInput);
    const bytes = Buffer.concat(lines);
    writeFully(this.#disk, this.#inputsFd, bytes, this.#inputsBytes);
    this.#disk.fdatasyncSync(this.#inputsFd);
    if (this.#inputsBytes === 0 || !this.#named) syncDirectory(this.#disk, this.#directory);
    this.#named = true;
    this.#inputsBytes += bytes.length;
    for (const [i, input] of inputs.entries()) {
      this.#inputs.push(input);
      apply(this.#current, input);
      this.#addInput(lines[i] as Buffer, input.timeMs);
    }
    this.#writeBatch();
    this.#disk.fdatasyncSync(this.#fd);
  }

  inputBytes(digest: string): Buffer {
    return loadInput(this.#directory, digest, this.#disk);
  }

  restoreInput(bytes: Buffer): void {
    guarded(this.#directory, () => storeInputs(this.#directory, [[digestOf(bytes), bytes]], this.#disk, true));
  }

  inputsAsOf(index: number = this.#length): ReadonlyMap<string, string> {
    const count = index >= this.#length ? this.#inputs.length : this.#pages.at(index - 1).inputs;
    if (count === this.#inputs.length) return new Map(this.#current);
    if (this.#asOf?.count === count) return this.#asOf.map;
    const map = new Map<string, string>();
    for (const input of this.#inputs.slice(0, count)) apply(map, input);
    this.#asOf = { count, map };
    return map;
  }

  indexOfMessagesOffset(bytes: number): number {
    return this.#pages.firstPast(bytes, (record) => record.messagesEnd);
  }

  sync(): Promise<void> {
    const length = this.#length - this.#batch.length;
    if (this.#closed || length === this.#durableLength) return Promise.resolve();
    return new Promise((resolve, reject) => {
      fdatasync(this.#fd, (error) => {
        // Closed meanwhile: then it is on the disk.
        if (error?.code === 'EBADF') return resolve();
        if (error !== null) return reject(error);
        this.#durableLength = Math.max(this.#durableLength, length);
        resolve();
      });
    });
  }

  seal(messagesBytes: number, eventsBytes: number, keptBytes = 0): void {
    if (this.#closed) return;
    guarded(this.#directory, () => {
      this.#writeBatch();
      const pages = this.#pages;
      const { first } = pages;
      const end = recordsWithin(pages, messagesBytes, eventsBytes);
      const inputs = pages.at(end - 1).inputs;
      this.#sealInputs(inputs, keptBytes);
      if (end === first || (pages.sealed.length >= FEW_SEGMENTS && (end - first) * RECORD_BYTES <= keptBytes)) return;
      const rest: Buffer[] = [];
      for (let index = end; index < this.#length; index++) rest.push(Buffer.from(pages.bytesAt(index)));
      if (this.#durableLength < end) this.#disk.fdatasyncSync(this.#fd);
      this.#durableLength = Math.max(this.#durableLength, end);
      const bytes = rest.length === 0 ? Buffer.alloc(0) : Buffer.concat([encodeHeader(this.#boot, end), ...rest]);
      this.#fd = this.#sealFile('order', chainName('order', first, end - first, 0), bytes, this.#fd);
      this.#headed = bytes.length > 0;
      pages.reload();
    });
  }

  #sealInputs(end: number, keptBytes: number): void {
    const pieces = readChain(this.#directory, 'inputs', this.#disk).length;
    if (this.#inputsBytes === 0 || (pieces >= FEW_SEGMENTS && this.#inputsBytes <= keptBytes)) return;
    const lines = readInputs(this.#directory, this.#disk).lines.slice(this.#inputsFirst);
    const sealed = Buffer.concat(lines.slice(0, Math.max(0, end - this.#inputsFirst)));
    if (sealed.length === 0) return;
    const rest = Buffer.concat(lines.slice(end - this.#inputsFirst));
    const name = chainName('inputs', this.#inputsFirst, end - this.#inputsFirst, sealed.length);
    this.#inputsFd = this.#sealFile('inputs', name, rest, this.#inputsFd);
    this.#inputsFirst = end;
    this.#inputsBytes = rest.length;
  }

  /** Gives the descriptor of the file that goes on. */
  #sealFile(kind: ChainKind, name: string, rest: Buffer, fd: number): number {
    sealChain(this.#directory, kind, name, rest, this.#disk);
    const next = this.#disk.openSync(join(this.#directory, ACTIVE_OF[kind]), 'r+');
    this.#disk.closeSync(fd);
    this.#named = false;
    return next;
  }

  revision(): string {
    return this.#chain.toString('hex');
  }

  close(): void {
    this.#closed = true;
    // A flush that nobody needs costs a fork a tenth of its time.
    if (this.#durableLength < this.#length) this.#disk.fdatasyncSync(this.#fd);
    this.#disk.closeSync(this.#fd);
    this.#disk.closeSync(this.#inputsFd);
    this.#pages.close();
    for (const bytes of Object.values(this.#bytes)) bytes.close();
  }

  #view(raw: RawRecord): OrderRecord {
    const { timeMs, messagesEnd, eventsEnd, messageLines, eventLines } = raw;
    const common = { timeMs, messagesEnd, eventsEnd, messageLines, eventLines };
    if (raw.kind !== KIND_INPUT) return { kind: raw.kind === KIND_MESSAGES ? 'messages' : 'events', ...common };
    const input = this.#inputs[raw.inputs - 1];
    if (input === undefined)
      throw new CtxError('journal.input_missing', 'EIO', 'an order record names an input that is not there', {
        where: this.#directory,
        next: 'run ctx fsck',
      });
    return { kind: 'input', ...common, path: input.path, digest: input.digest };
  }

  /** Records for every whole line of `file` up to `endBytes`, split at line ends. One read and one digest of the bytes. */
  #cover(file: JournalFile, endBytes: number, timeMs: number): void {
    const messages = file === 'messages.jsonl';
    const source = this.#bytes[file];
    for (;;) {
      const start = messages ? this.#last.messagesEnd : this.#last.eventsEnd;
      const got = start >= endBytes ? 0 : source.read(start, this.#chunk.subarray(0, Math.min(MAX_RECORD_BYTES, endBytes - start)));
      if (got === 0) return;
      const { lines, bytes } = wholeLines(this.#chunk, got);
      if (lines > 0) {
        this.#add(messages, bytes, lines, timeMs, [this.#chunk.subarray(0, bytes)]);
        continue;
      }
      // One line longer than a record's bound.
      const pieces = longLine(source, start, endBytes);
      if (pieces === undefined) return;
      this.#add(
        messages,
        pieces.reduce((sum, piece) => sum + piece.length, 0),
        1,
        timeMs,
        pieces,
      );
    }
  }

  #add(messages: boolean, bytes: number, lines: number, timeMs: number, pieces: readonly Buffer[]): void {
    const last = this.#last;
    this.#push(
      messages
        ? { ...last, kind: KIND_MESSAGES, timeMs, messagesEnd: last.messagesEnd + bytes, messageLines: last.messageLines + lines }
        : { ...last, kind: KIND_EVENTS, timeMs, eventsEnd: last.eventsEnd + bytes, eventLines: last.eventLines + lines },
      pieces,
    );
  }

  #addInput(line: Buffer, timeMs: number): void {
    this.#push({ ...this.#last, kind: KIND_INPUT, timeMs, inputs: this.#last.inputs + 1 }, [line]);
  }

  #push(record: RawRecord, pieces: readonly Buffer[]): void {
    record.timeMs = Math.max(0, Math.trunc(record.timeMs));
    const encoded = Buffer.allocUnsafe(RECORD_BYTES);
    encodeHead(record, encoded, 0);
    const hash = startChain(this.#chain, encoded, 0);
    for (const piece of pieces) hash.update(piece);
    endChain(hash).copy(encoded, RECORD_BYTES - CHAIN_BYTES);
    this.#chain = chainOf(encoded, 0);
    this.#last = record;
    this.#length++;
    this.#batch.push(encoded);
  }

  /** DRV-16: what is acknowledged is there: on a full disk its records are read from memory. Lost, they are made again. */
  #tryBatch(): void {
    try {
      this.#writeBatch();
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#pages.setLength(this.#length - this.#batch.length, [...this.#batch]);
    }
  }

  /** At explicit positions: a short write is written over by the next one, and a torn end is cut on open. */
  #writeBatch(): void {
    if (this.#batch.length === 0) return;
    const written = this.#length - this.#batch.length - this.#pages.first;
    if (!this.#headed) writeFully(this.#disk, this.#fd, encodeHeader(this.#boot, this.#pages.first), 0);
    this.#headed = true;
    writeFully(
      this.#disk,
      this.#fd,
      this.#batch.length === 1 ? (this.#batch[0] as Buffer) : Buffer.concat(this.#batch),
      HEADER_BYTES + written * RECORD_BYTES,
    );
    this.#batch = [];
    this.#pages.setLength(this.#length);
  }
}

function apply(map: Map<string, string>, input: RecordedInput): void {
  if (input.digest === undefined) map.delete(input.path);
  else map.set(input.path, input.digest);
}

/** Whole lines at the front of a chunk, at most a record's worth. */
function wholeLines(chunk: Buffer, sizeBytes: number): { lines: number; bytes: number } {
  let lines = 0;
  let bytes = 0;
  for (let at = chunk.indexOf(10); at >= 0 && at < sizeBytes && lines < MAX_RECORD_LINES; at = chunk.indexOf(10, bytes)) {
    lines++;
    bytes = at + 1;
  }
  return { lines, bytes };
}

/** The line that starts here, in pieces; undefined when its newline is not there. */
function longLine(source: JournalBytes, startBytes: number, endBytes: number): Buffer[] | undefined {
  const pieces: Buffer[] = [];
  for (let at = startBytes; at < endBytes;) {
    const piece = Buffer.allocUnsafe(Math.min(1 << 20, endBytes - at));
    const got = source.read(at, piece);
    if (got === 0) return undefined;
    const newline = piece.subarray(0, got).indexOf(10);
    if (newline >= 0) return [...pieces, piece.subarray(0, newline + 1)];
    pieces.push(piece.subarray(0, got));
    at += got;
  }
  return undefined;
}
