// src/journal: append-only truth. Two sides: the *server thread* writes lines (sync, nothing awaited),
// the *deriver thread* writes the order log and reads history. Nothing here knows FUSE or paths of the mount.
import type { JournalFile } from '../abi/session-files.ts';
import type { ForkPart, ForkPlan } from './fork-plan.ts';
import type { PendingSync } from './sync-work.ts';

/** Where the bytes of a journal lie: sealed segments in order, then the active one. */
export interface SegmentRef {
  readonly path: string;
  /** Bytes of this segment that belong to this session (a fork may see a prefix of a shared segment). */
  readonly sizeBytes: number;
}

export interface CommitNote {
  readonly file: JournalFile;
  /** Journal-wide offset after the commit. */
  readonly endBytes: number;
  readonly lines: number;
  readonly timeMs: number;
}

/** An owner of staged bytes: (open file, lock owner). */
export type StageKey = string;

/** One journal on the server thread. All calls are synchronous; failures are CtxError with the errno to report. */
export interface JournalWriter {
  readonly file: JournalFile;
  /** Acknowledged bytes (whole lines only), over all segments. */
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  /** Accepts bytes of one WRITE; returns how many were taken (a short count ends before the first bad line). */
  write(stage: StageKey, bytes: Buffer): number;
  /** FLUSH: completes this owner's stage when it is one whole valid line without its newline. */
  flush(stage: StageKey): void;
  /** RELEASE of the open file: every stage whose key starts with `openFile + ':'` ends; a remainder becomes an `error` event. */
  release(openFile: string): void;
  /** Reads acknowledged bytes into `into`; returns the count (0 at the end). */
  read(positionBytes: number, into: Buffer): number;
  /** Durable up to the current size, on this thread. A failed fsync is sticky. */
  fsync(): void;
  /** The same as work for another thread; undefined when everything is on the disk. Throws the failure of an earlier one. */
  beginSync(): PendingSync | undefined;
  segments(): readonly SegmentRef[];
  /** Takes in lines that others appended in the store since; true when there were some. One fstat when not. */
  refresh(): boolean;
  close(): void;
}

export interface ForkBeginning {
  readonly parts: readonly ForkPart[];
  /** One of these, once: the parts are on the disk, or the fork is given up. */
  settle(): void;
  release(): void;
}

/** The two journals of a session on the server thread. Opening sets torn tails aside. */
export interface SessionJournals {
  readonly messages: JournalWriter;
  readonly events: JournalWriter;
  /** Appends one event of ours (stored as one line, `time` added). */
  appendEvent(event: Record<string, unknown>): void;
  /** What `planFork` works with, on another thread. The fork is of what is there now. */
  beginFork(): ForkBeginning;
  /**
   * Gives `child` the same history up to `atLine` of messages (default: all): sealed segments by link, the active ones sealed
   * first or, where that is little, copied. With a plan it waits for no fsync of history.
   */
  forkInto(childDirectory: string, atLine?: number, plan?: ForkPlan): void;
  /** Seals the active segments, however little they hold. */
  seal(plan?: ForkPlan): void;
  /** Takes in what others appended in the store (the watcher calls it). */
  refresh(): boolean;
  close(): void;
}

/** One record of the order log: what happened, in the one order that everything derived follows. */
export type OrderRecord =
  | {
      readonly kind: 'messages' | 'events';
      readonly timeMs: number;
      readonly messagesEnd: number;
      readonly eventsEnd: number;
      readonly messageLines: number;
      readonly eventLines: number;
    }
  | {
      readonly kind: 'input';
      readonly timeMs: number;
      readonly messagesEnd: number;
      readonly eventsEnd: number;
      readonly messageLines: number;
      readonly eventLines: number;
      /** Path below the session directory; digest undefined means the file is gone. */
      readonly path: string;
      readonly digest: string | undefined;
    };

/** A version of an input; no bytes: the file is gone. */
export interface InputBytes {
  readonly path: string;
  readonly bytes: Buffer | undefined;
}

/** The order log and recorded inputs on the deriver thread (the only writer of both). */
export interface OrderLog {
  readonly length: number;
  at(index: number): OrderRecord;
  last(): OrderRecord | undefined;
  /** Appends records for commits; fills in what the log trails behind (bytes without a record get one). */
  commit(notes: readonly CommitNote[]): void;
  /** Gives every byte up to these sizes a record. */
  catchUp(messagesBytes: number, eventsBytes: number): void;
  /** Stores the bytes durably by digest, then the record. No record when the digest is unchanged. */
  recordInput(path: string, bytes: Buffer | undefined, timeMs: number): boolean;
  /** The same for several paths, in order, with as few waits for the disk as one takes. True when there was a record. */
  recordInputs(versions: readonly InputBytes[], timeMs: number): boolean;
  inputBytes(digest: string): Buffer;
  /** Stores the bytes of a recorded input anew: its stored copy is damaged or gone. */
  restoreInput(bytes: Buffer): void;
  /** Latest recorded digest of each input as of record `index` (exclusive; default: now). */
  inputsAsOf(index?: number): ReadonlyMap<string, string>;
  /** First record index whose messagesEnd is past `bytes`. Binary search. */
  indexOfMessagesOffset(bytes: number): number;
  /** Chained digest over everything up to the last record. */
  revision(): string;
  /** What is in the file now is on the disk; spares a later `seal` the wait. */
  sync(): Promise<void>;
  /**
   * The records that cover no more than these sizes, and the inputs they name, become sealed pieces, which a fork links; unless
   * they are few (`keptBytes` of each file), which it copies. What they cover must be on the disk. A closed log is left as it is.
   */
  seal(messagesBytes: number, eventsBytes: number, keptBytes?: number): void;
  close(): void;
}

/** Reads history as lines, on the deriver thread or in the pool. */
export interface HistoryReader {
  readonly sizeBytes: number;
  /** Number of whole lines. */
  readonly lines: number;
  /** Byte offset of line n (1-based); `lines + 1` gives the end. */
  offsetOfLine(line: number): number;
  /** 1-based line that contains the byte offset. */
  lineOfOffset(offset: number): number;
  readRange(startBytes: number, endBytes: number): Buffer;
  /** The same, from `startBytes` on, into bytes of the caller's. */
  readInto(startBytes: number, into: Buffer): void;
  /** Where bytes lie in segment files. */
  /** Paths that keep naming these bytes, also after a fork has sealed them. */
  extents(startBytes: number, endBytes: number): readonly Extent[];
  close(): void;
}

export interface Extent {
  readonly path: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}
