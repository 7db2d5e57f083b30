// One journal on the server thread: pieces become lines, lines are checked, whole lines are stored (abi-spec/journals.md).
import { digestOf } from '../abi/digest.ts';
import { CtxError } from '../abi/errors.ts';
import { lineFault, type LineFault } from '../abi/records.ts';
import type { JournalFile } from '../abi/session-files.ts';
import type { ActiveFile } from './active-file.ts';
import { countNewlines, endsObject, sortLines } from './line-scan.ts';
import type { Reject, RejectStore } from './rejects.ts';
import { Stages, type RefusedWrite, type Stage } from './stages.ts';
import type { PendingSync } from './sync-work.ts';
import type { JournalWriter, SegmentRef, StageKey } from './types.ts';

export interface WriterParts {
  readonly file: JournalFile;
  readonly maxLineBytes: number;
  readonly maxStagedBytes: number;
  readonly rejects: RejectStore;
  now(): number;
  /** Appends an `error` event; never throws. */
  report(event: Record<string, unknown>): void;
  /** What changes with a fork. */
  active(): ActiveFile;
  baseBytes(): number;
  modifiedMs(): number;
  segments(): readonly SegmentRef[];
  readSealed(positionBytes: number, into: Uint8Array): number;
  sync(): void;
  beginSync(): PendingSync | undefined;
}

export class Writer implements JournalWriter {
  readonly file: JournalFile;
  readonly #parts: WriterParts;
  readonly #kind: 'messages' | 'events';
  readonly #maxLineBytes: number;
  readonly #stages: Stages = new Stages();
  #active: ActiveFile;

  constructor(parts: WriterParts) {
    this.file = parts.file;
    this.#parts = parts;
    this.#kind = parts.file === 'messages.jsonl' ? 'messages' : 'events';
    this.#maxLineBytes = parts.maxLineBytes;
    this.#active = parts.active();
  }

  get sizeBytes(): number {
    return this.#parts.baseBytes() + this.#active.ackBytes;
  }
  get modifiedMs(): number {
    return this.#parts.modifiedMs();
  }

  write(key: StageKey, bytes: Buffer): number {
    const length = bytes.length;
    if (length === 0) return 0;
    // Hot path: exactly one whole line and nothing staged by anybody.
    if (
      this.#stages.count === 0 &&
      length <= FULL_REQUEST_BYTES &&
      bytes[length - 1] === 10 &&
      length <= this.#maxLineBytes &&
      bytes.indexOf(10) === length - 1 &&
      lineFault(this.#kind, bytes.subarray(0, length - 1)) === undefined
    ) {
      return this.#active.append(bytes, 1);
    }
    return this.#writeStaged(key, bytes);
  }

  flush(key: StageKey): void {
    const stage = this.#stages.get(key);
    if (stage?.full === true) {
      stage.full = false;
      this.#stages.settle(key, stage);
    }
    if (stage === undefined || stage.discarding || stage.sizeBytes === 0) return;
    // A whole object ends in `}`; anything else is not worth parsing at every dup's close.
    if (!endsObject(stage.pieces)) return;
    const line = Buffer.concat([...stage.pieces, NEWLINE], stage.sizeBytes + 1);
    if (this.fault(line.subarray(0, -1)) !== undefined) return;
    this.#active.append(line, 1);
    this.#stages.clear(stage);
    this.#stages.settle(key, stage);
  }

  release(openFile: string): void {
    for (const stage of this.#stages.take(openFile)) {
      if (stage.sizeBytes > 0) this.#reject(stage.pieces, 'unfinished', 'release', 0, 'EINVAL');
    }
  }

  read(positionBytes: number, into: Buffer): number {
    const end = this.sizeBytes;
    const wanted = Math.min(into.length, end - positionBytes);
    if (wanted <= 0) return 0;
    const base = this.#parts.baseBytes();
    const target = wanted === into.length ? into : into.subarray(0, wanted);
    if (positionBytes >= base) return this.#active.readAt(positionBytes - base, target);
    const sealed = this.#parts.readSealed(positionBytes, target.subarray(0, Math.min(wanted, base - positionBytes)));
    return sealed < base - positionBytes ? sealed : sealed + this.#active.readAt(0, target.subarray(sealed));
  }

  fsync(): void {
    this.#parts.sync();
  }
  beginSync(): PendingSync | undefined {
    return this.#parts.beginSync();
  }
  segments(): readonly SegmentRef[] {
    return this.#parts.segments();
  }
  refresh(): boolean {
    return this.#active.refresh();
  }
  close(): void {
    this.#active.close();
  }

  /** After a fork the journal grows in a new file. Stages stay: they are not part of the journal yet. */
  useActive(active: ActiveFile): void {
    this.#active = active;
  }

  /** Why this line may not be stored here. */
  fault(line: Buffer): LineFault | undefined {
    return line.length >= this.#maxLineBytes ? 'too_long' : lineFault(this.#kind, line);
  }

  #writeStaged(key: StageKey, bytes: Buffer): number {
    const stage = this.#stages.obtain(key);
    const { full, owed } = stage;
    stage.full = false;
    stage.owed = undefined;
    try {
      // JRN-33: a write(2) of several requests ended in a short count, and its caller has not heard of the refusal yet.
      // The cut lies elsewhere when the caller goes on from a copy (other pages), so the start of the bytes tells.
      if (owed !== undefined && startsAlike(owed.start, bytes)) throw owed.error;
      const count = this.#takeWrite(stage, bytes);
      stage.full = count === bytes.length && count > FULL_REQUEST_BYTES;
      return count;
    } catch (error) {
      if (full && owed === undefined && error instanceof CtxError)
        stage.owed = { start: Buffer.from(bytes.subarray(0, OWED_BYTES)), error };
      throw error;
    } finally {
      this.#stages.settle(key, stage);
    }
  }

  #takeWrite(stage: Stage, bytes: Buffer): number {
    const refused = stage.refused;
    stage.refused = undefined;
    // The retry of a refused WRITE whose good lines are stored already: taken, and not stored twice.
    if (refused !== undefined && refused.sizeBytes === bytes.length && refused.digest === digestOf(bytes))
      return this.#retry(stage, refused);
    const start = stage.discarding ? this.#discard(stage, bytes) : 0;
    if (start === bytes.length) return start;
    return this.#takeLines(stage, bytes, start);
  }

  /** After a refusal without a newline: everything through the next newline goes, unless it is one whole valid line itself. */
  #discard(stage: Stage, bytes: Buffer): number {
    const newline = bytes.indexOf(10);
    if (newline >= 0 && this.fault(bytes.subarray(0, newline)) === undefined) {
      endDiscard(stage);
      return 0;
    }
    const end = newline < 0 ? bytes.length : newline + 1;
    try {
      stage.reject?.add(bytes.subarray(0, end));
    } catch {
      // The line is refused either way; a full disk may cost its tail in the reject store.
      stage.reject = undefined;
    }
    if (newline >= 0) endDiscard(stage);
    return end;
  }

  #takeLines(stage: Stage, bytes: Buffer, start: number): number {
    const stagedBytes = stage.sizeBytes;
    const end = bytes.lastIndexOf(10) + 1;
    if (end <= start) {
      if (stagedBytes + bytes.length - start >= this.#maxLineBytes) return this.#refuseOverlong(stage, bytes, start);
      return this.#stage(stage, bytes, start);
    }
    // `joined` holds the staged bytes and every whole line of this WRITE; one copy, and only when something was staged.
    const fresh = bytes.subarray(start, end);
    const joined = stagedBytes === 0 ? fresh : Buffer.concat([...stage.pieces, fresh], stagedBytes + fresh.length);
    let good = 0;
    let lines = 0;
    let fault: LineFault | undefined;
    while (good < joined.length) {
      const newline = joined.indexOf(10, good === 0 ? stagedBytes : good);
      fault = this.fault(joined.subarray(good, newline));
      if (fault !== undefined) break;
      good = newline + 1;
      lines++;
    }
    if (good > 0) {
      const stored = this.#active.append(good === joined.length ? joined : joined.subarray(0, good), lines);
      this.#stages.clear(stage);
      const taken = start + stored - stagedBytes;
      if (fault !== undefined || stored < good) return taken;
      if (bytes.length - end >= this.#maxLineBytes) return taken;
      return this.#stage(stage, bytes, end);
    }
    // A discard came first in this WRITE: what it consumed is a short count; the bad line then starts the next WRITE.
    if (start > 0) return start;
    return this.#refuse(stage, joined, bytes, end, fault ?? 'json');
  }

  #stage(stage: Stage, bytes: Buffer, from: number): number {
    if (from === bytes.length) return from;
    if (this.#stages.sizeBytes + bytes.length - from > this.#parts.maxStagedBytes) {
      if (from > 0) return from;
      throw new CtxError('journal.stages_full', 'EAGAIN', 'too many unfinished lines are held', {
        where: this.file,
        next: 'end the open lines with a newline',
      });
    }
    this.#stages.add(stage, bytes.subarray(from));
    return bytes.length;
  }

  /** EFBIG as soon as a line without a newline is too long. The stage discards through its end. */
  #refuseOverlong(stage: Stage, bytes: Buffer, start: number): number {
    if (start > 0) return start;
    const pieces = [...stage.pieces, bytes];
    this.#stages.clear(stage);
    stage.discarding = true;
    stage.reject = this.#reject(pieces, 'too_long', 'write', 1, 'EFBIG');
    throw refusal(this.file, 'too_long');
  }

  /**
   * The WRITE starts with a bad line: it costs one EINVAL. Later good lines of the same WRITE are stored; its bad lines and
   * its trailing partial go to the reject store as one entry with one event.
   */
  #refuse(stage: Stage, joined: Buffer, bytes: Buffer, end: number, first: LineFault): number {
    const { good, goodLines, bad, badLines } = sortLines(joined, stage.sizeBytes, (line) => this.fault(line) === undefined);
    const tail = bytes.subarray(end);
    if (tail.length > 0) bad.push(tail);
    if (goodLines > 0) {
      const lines = Buffer.concat(good);
      const stored = this.#active.append(lines, goodLines);
      stage.refused = { sizeBytes: bytes.length, digest: digestOf(bytes), rest: lines.subarray(stored) };
    }
    this.#stages.clear(stage);
    const reject = this.#reject(bad, first, 'write', badLines, first === 'too_long' ? 'EFBIG' : 'EINVAL');
    if (tail.length > 0) {
      stage.discarding = true;
      stage.reject = reject;
    }
    throw refusal(this.file, first);
  }

  /** A full disk may have kept some good lines of the refused WRITE out: they are stored now. */
  #retry(stage: Stage, refused: RefusedWrite): number {
    stage.refused = refused;
    while (refused.rest.length > 0) {
      refused.rest = refused.rest.subarray(this.#active.append(refused.rest, countNewlines(refused.rest)));
    }
    stage.refused = undefined;
    return refused.sizeBytes;
  }

  #reject(pieces: readonly Buffer[], reason: string, stage: string, lines: number, code: string): Reject | undefined {
    let reject: Reject | undefined;
    let note: string | undefined;
    try {
      reject = this.#parts.rejects.keep(pieces, { target: this.file, reason, stage, timeMs: this.#parts.now() });
    } catch (error) {
      note = error instanceof Error ? error.message : String(error);
    }
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#parts.report({
      type: 'error',
      code,
      target: this.file,
      reason,
      digest: reject?.digest ?? null,
      bytes,
      ...(lines > 1 ? { lines } : {}),
      reject: reject === undefined ? null : `rejects/${reject.id}`,
      ...(note === undefined ? {} : { note }),
    });
    return reject;
  }
}

/** The kernel cuts a larger write(2) into requests of up to 1 MiB, less what its first page lacks. */
const FULL_REQUEST_BYTES: number = 1024 * 1024 - 4096;
const NEWLINE: Buffer = Buffer.from('\n');

/** How much of an owed refusal's bytes is remembered. */
const OWED_BYTES = 4096;

function startsAlike(start: Buffer, bytes: Buffer): boolean {
  const length = Math.min(start.length, bytes.length);
  return start.subarray(0, length).equals(bytes.subarray(0, length));
}

function endDiscard(stage: Stage): void {
  stage.discarding = false;
  stage.reject = undefined;
}

function refusal(file: JournalFile, fault: LineFault): CtxError {
  if (fault === 'too_long')
    return new CtxError('journal.line_too_long', 'EFBIG', 'the line is longer than the limit', {
      where: file,
      next: 'split the content over several lines',
    });
  return new CtxError('journal.invalid_line', 'EINVAL', `the line is refused (${fault})`, {
    where: file,
    next: 'see the error event and its reject',
  });
}
