// Both journals of one session on the server thread. Synchronous; nothing here awaits.
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { lineFault } from '../abi/records.ts';
import { DEFAULT_MAX_LINE_BYTES, JOURNALS, type JournalFile } from '../abi/session-files.ts';
import { ActiveFile, type Foreign } from './active-file.ts';
import { guarded, nodeDisk, readWhole, syncDirectory, type Disk } from './disk.ts';
import { FEW_SEGMENTS } from './chain-segments.ts';
import { cutAtLine, wholeCut } from './fork-cut.ts';
import { durableOf, type ForkPlan } from './fork-plan.ts';
import { forkHistory, refuseUsed } from './fork.ts';
import { ensureLastingName, isSealedTwin, readSealed, sealedOf, type SealedSegment } from './layout.ts';
import { OrderPages } from './order-pages.ts';
import { RejectStore, type RejectLimits } from './rejects.ts';
import { fileMode, reopen } from './reopen.ts';
import { sealActive, startActive } from './seal.ts';
import { keyOf, knownDigests } from './segment-digests.ts';
import { SegmentFiles } from './segment-files.ts';
import { currentBoot, readMark, writeMark } from './sync-mark.ts';
import { performSync, type PendingSync, type SyncWork } from './sync-work.ts';
import type { CommitNote, ForkBeginning, SegmentRef, SessionJournals } from './types.ts';
import { Writer } from './writer.ts';

export interface JournalOptions {
  /** Longest line with its newline. Default 16 MiB. */
  readonly maxLineBytes?: number;
  /** Unfinished lines held in memory, per journal. Default 256 MiB. */
  readonly maxStagedBytes?: number;
  readonly now?: () => number;
  /** Of a journal that has many segments, a fork copies so much of the active file rather than seal it. Default 8 KiB. */
  readonly copyTailBytes?: number;
  /** Called synchronously after every commit, in order. */
  readonly onCommit?: (note: CommitNote) => void;
  readonly rejectLimits?: RejectLimits;
  readonly disk?: Disk;
  /** The machine's boot id; passed in where a test plays power loss. */
  readonly bootId?: string;
}

/** Opens (and where needed creates) the journals of a session directory that exists. */
export function openSessionJournals(directory: string, options: JournalOptions = {}): SessionJournals {
  return guarded(directory, () => new Session(directory, options));
}

interface Side {
  readonly file: JournalFile;
  readonly sealedFiles: SegmentFiles;
  active: ActiveFile;
  writer: Writer;
  baseBytes: number;
  modifiedMs: number;
  /** `modifiedMs` is that of a commit of ours, not the file's. */
  committed: boolean;
}

const PENDING_EVENTS = 64;
const NOTHING: Buffer = Buffer.alloc(0);

class Session implements SessionJournals {
  readonly #directory: string;
  readonly #disk: Disk;
  readonly #now: () => number;
  readonly #onCommit: ((note: CommitNote) => void) | undefined;
  readonly #maxLineBytes: number;
  readonly #maxStagedBytes: number;
  readonly #copyTailBytes: number;
  readonly #rejects: RejectStore;
  readonly #boot: string;
  readonly #messages: Side;
  readonly #events: Side;
  /** Events that a full disk kept out; stored before the next event. */
  readonly #pending: Record<string, unknown>[] = [];
  #sealed: readonly SealedSegment[];
  #synced: Record<JournalFile, number>;
  #directorySynced = false;

  constructor(directory: string, options: JournalOptions) {
    this.#directory = directory;
    this.#disk = options.disk ?? nodeDisk;
    this.#now = options.now ?? Date.now;
    this.#onCommit = options.onCommit;
    this.#maxLineBytes = options.maxLineBytes ?? DEFAULT_MAX_LINE_BYTES;
    this.#maxStagedBytes = options.maxStagedBytes ?? 256 << 20;
    this.#copyTailBytes = options.copyTailBytes ?? 8192;
    this.#rejects = new RejectStore(directory, options.rejectLimits, this.#disk);
    this.#boot = options.bootId ?? currentBoot();
    this.#sealed = readSealed(directory, this.#disk);
    const mark = readMark(directory, this.#disk);
    const sameBoot = mark !== undefined && mark.boot === this.#boot && this.#boot !== '';
    this.#synced = { 'messages.jsonl': mark?.messages ?? 0, 'events.jsonl': mark?.events ?? 0 };
    const recorded = recordedEnds(directory, this.#disk);
    const found: Record<string, unknown>[] = [];
    const open = (file: JournalFile): Side => this.#openSide(file, sameBoot ? undefined : this.#synced[file], recorded[file], found);
    this.#messages = open(JOURNALS[0]);
    this.#events = open(JOURNALS[1]);
    for (const event of found) this.#report(event);
    if (!sameBoot) this.#markAll();
  }

  get messages(): Writer {
    return this.#messages.writer;
  }
  get events(): Writer {
    return this.#events.writer;
  }

  appendEvent(event: Record<string, unknown>): void {
    while (this.#pending.length > 0) {
      this.#storeEvent(this.#pending[0] as Record<string, unknown>);
      this.#pending.shift();
    }
    this.#storeEvent(event);
  }

  beginFork(): ForkBeginning {
    const begun = [this.#messages, this.#events].map((side) => {
      side.active.refresh();
      // What is on the disk already is not synced again: each sync costs a flush of the device.
      const { ackBytes, syncKey: key, unsynced } = side.active;
      const data = unsynced ? side.active.beginSync() : undefined;
      const work: SyncWork = { key, rejects: [], file: data?.fd, directories: [] };
      return { part: { journal: side.file, endBytes: side.baseBytes + ackBytes, work }, data };
    });
    return {
      parts: begun.map(({ part }) => part),
      settle: () => begun.forEach(({ data }) => data?.settle(undefined)),
      release: () => begun.forEach(({ data }) => data?.release()),
    };
  }

  forkInto(childDirectory: string, atLine?: number, plan?: ForkPlan): void {
    guarded(childDirectory, () => {
      refuseUsed(childDirectory, this.#disk);
      const { durable, cut } = plan ?? this.#planHere(atLine);
      const ends = cut?.ends ?? durable;
      this.#recallDigests();
      const tails = { 'messages.jsonl': NOTHING, 'events.jsonl': NOTHING };
      for (const side of [this.#messages, this.#events]) tails[side.file] = this.#tail(side, ends[side.file], durable[side.file]);
      const pages = new OrderPages(this.#directory, this.#disk);
      try {
        forkHistory({
          parent: this.#directory,
          child: childDirectory,
          sealed: this.#sealed,
          tails,
          cut: cut ?? wholeCut(pages, ends),
          pages,
          disk: this.#disk,
        });
      } finally {
        pages.close();
      }
    });
  }

  seal(plan?: ForkPlan): void {
    guarded(this.#directory, () => {
      const { durable } = plan ?? this.#planHere(undefined);
      this.#recallDigests();
      for (const side of [this.#messages, this.#events]) this.#seal(side, durable[side.file]);
    });
  }

  /** The same on this thread, where nobody else waits. */
  #planHere(atLine: number | undefined): ForkPlan {
    const sides = [this.#messages, this.#events];
    for (const side of sides) {
      side.active.refresh();
      this.#sync(side);
    }
    const durable = durableOf(sides.map(({ file, baseBytes, active }) => ({ journal: file, endBytes: baseBytes + active.ackBytes })));
    if (atLine === undefined) return { durable, cut: undefined };
    const pages = new OrderPages(this.#directory, this.#disk);
    try {
      return { durable, cut: cutAtLine(this.#directory, pages, atLine, durable, this.#disk) };
    } finally {
      pages.close();
    }
  }

  /** Digests that were found out since the segments were sealed; children get them too. */
  #recallDigests(): void {
    if (this.#sealed.every(({ sha256 }) => sha256 !== undefined)) return;
    const known = knownDigests(this.#directory, this.#disk);
    this.#sealed = this.#sealed.map((segment) => ({ ...segment, sha256: segment.sha256 ?? known.get(keyOf(segment)) }));
  }

  /** What a child that ends there gets of the active file by copy: little. Where it is more, the file is sealed, and it gets nothing. */
  #tail(side: Side, endBytes: number, durableBytes: number): Buffer {
    side.active.refresh();
    const sizeBytes = Math.max(0, endBytes - side.baseBytes);
    const segments = sealedOf(this.#sealed, side.file).length;
    if (sizeBytes > 0 && (segments < FEW_SEGMENTS || sizeBytes > this.#copyTailBytes)) {
      this.#seal(side, durableBytes);
      return NOTHING;
    }
    const tail = Buffer.alloc(sizeBytes);
    if (side.active.readAt(0, tail) < sizeBytes) throw side.active.freeze('ends before its last line');
    return tail;
  }

  refresh(): boolean {
    const messages = this.#messages.active.refresh();
    return this.#events.active.refresh() || messages;
  }

  close(): void {
    for (const side of [this.#messages, this.#events]) {
      if (side.committed) side.active.keepTime(side.modifiedMs);
      side.writer.close();
      side.sealedFiles.close();
    }
  }

  #openSide(file: JournalFile, unsyncedFrom: number | undefined, recordedBytes: number, found: Record<string, unknown>[]): Side {
    const path = join(this.#directory, file);
    const mode = fileMode(this.#disk, path, 0o600);
    const sealed = sealedOf(this.#sealed, file);
    const last = sealed.at(-1);
    // A crash came between naming the sealed segment and starting a new active file.
    let sealedMs: number | undefined;
    if (last !== undefined && isSealedTwin(this.#disk, path, join(this.#directory, last.file))) {
      sealedMs = Math.trunc(this.#disk.statSync(path).mtimeMs);
      startActive(this.#disk, this.#directory, file, mode, (readWhole(this.#disk, path) ?? NOTHING).subarray(last.bytes));
      syncDirectory(this.#disk, this.#directory);
    }
    const baseBytes = sealed.reduce((sum, segment) => sum + segment.bytes, 0);
    const kind = file === 'messages.jsonl' ? 'messages' : 'events';
    const opened = reopen({
      directory: this.#directory,
      file,
      disk: this.#disk,
      rejects: this.#rejects,
      mode,
      now: this.#now,
      fault: (line) => lineFault(kind, line),
      unsyncedFrom: unsyncedFrom === undefined ? undefined : Math.max(0, unsyncedFrom - baseBytes),
      unrecordedFrom: Math.max(0, recordedBytes - baseBytes),
    });
    ensureLastingName(this.#directory, file, baseBytes, this.#disk);
    found.push(...opened.events);
    const side: Side = {
      file,
      baseBytes,
      modifiedMs: sealedMs ?? opened.modifiedMs,
      committed: false,
      sealedFiles: new SegmentFiles(this.#sealedRefs(file), this.#disk),
      active: this.#activeFile(file, opened.fd, opened.ackBytes, opened.endBytes),
      writer: undefined as unknown as Writer,
    };
    if (sealedMs !== undefined) side.active.keepTime(sealedMs);
    side.writer = new Writer({
      file,
      maxLineBytes: this.#maxLineBytes,
      maxStagedBytes: this.#maxStagedBytes,
      rejects: this.#rejects,
      now: this.#now,
      report: (event) => this.#report(event),
      active: () => side.active,
      baseBytes: () => side.baseBytes,
      modifiedMs: () => side.modifiedMs,
      segments: () => [...side.sealedFiles.refs, { path, sizeBytes: side.active.ackBytes }],
      readSealed: (position, into) => side.sealedFiles.read(position, into),
      sync: () => this.#sync(side),
      beginSync: () => this.#beginSync(side),
    });
    return side;
  }

  #activeFile(file: JournalFile, fd: number, ackBytes: number, endBytes: number): ActiveFile {
    const kind = file === 'messages.jsonl' ? 'messages' : 'events';
    return new ActiveFile(
      {
        directory: this.#directory,
        file,
        disk: this.#disk,
        fault: (line) => (line.length >= this.#maxLineBytes ? 'too_long' : lineFault(kind, line)),
        onLines: (lines) => this.#committed(file, lines),
        onForeign: (foreign) => this.#foreign(file, foreign),
      },
      fd,
      ackBytes,
      endBytes,
    );
  }

  #committed(file: JournalFile, lines: number): void {
    const side = file === 'messages.jsonl' ? this.#messages : this.#events;
    side.modifiedMs = this.#now();
    side.committed = true;
    this.#onCommit?.({ file, endBytes: side.baseBytes + side.active.ackBytes, lines, timeMs: side.modifiedMs });
  }

  #foreign(file: JournalFile, foreign: Foreign): void {
    if (foreign.invalid === 0) return;
    const base = (file === 'messages.jsonl' ? this.#messages : this.#events).baseBytes;
    this.#report({
      type: 'error',
      code: 'EINVAL',
      target: file,
      reason: `outside:${foreign.fault ?? ''}`,
      lines: foreign.invalid,
      bytes: foreign.endBytes - foreign.startBytes,
      start: base + foreign.startBytes,
      end: base + foreign.endBytes,
    });
  }

  /** Never throws: what it reports has already failed, and that failure is the one to return. */
  #report(event: Record<string, unknown>): void {
    try {
      this.appendEvent(event);
    } catch {
      if (this.#pending.length < PENDING_EVENTS) this.#pending.push({ time: new Date(this.#now()).toISOString(), ...event });
    }
  }

  #storeEvent(event: Record<string, unknown>): void {
    const line = Buffer.from(`${JSON.stringify({ ...event, time: event['time'] ?? new Date(this.#now()).toISOString() })}\n`);
    const fault = this.#events.writer.fault(line.subarray(0, -1));
    if (fault !== undefined)
      throw new CtxError('journal.invalid_event', 'EINVAL', `the event is refused (${fault})`, { where: 'events.jsonl' });
    this.#events.active.append(line, 1);
  }

  /** JRN-11: the data, the refused lines that were reported with it, and (once) the names of the files. */
  #beginSync(side: Side): PendingSync | undefined {
    const { active } = side;
    const sizeBytes = side.baseBytes + active.ackBytes;
    const rejects = this.#rejects.beginSync();
    const directories = this.#directorySynced ? [] : [this.#directory, join(this.#directory, '..')];
    const { unsynced } = active;
    if (!unsynced && rejects.paths.length === 0 && directories.length === 0) return undefined;
    const data = unsynced ? active.beginSync() : undefined;
    return {
      work: { key: active.syncKey, rejects: rejects.paths, file: data?.fd, directories },
      settle: (error) => {
        const failure = data === undefined ? asError(error) : data.settle(error);
        if (failure !== undefined) return failure;
        rejects.settle();
        this.#directorySynced = true;
        if (sizeBytes > this.#synced[side.file] || directories.length > 0) {
          this.#synced[side.file] = Math.max(sizeBytes, this.#synced[side.file]);
          this.#writeMark();
        }
        return undefined;
      },
    };
  }

  #sync(side: Side): void {
    const pending = this.#beginSync(side);
    if (pending === undefined) return;
    let failure: unknown;
    try {
      performSync(pending.work, this.#disk);
    } catch (error) {
      failure = error;
    }
    const reported = pending.settle(failure);
    if (reported !== undefined) throw reported;
  }

  #markAll(): void {
    for (const side of [this.#messages, this.#events]) {
      if (side.active.endBytes > 0) this.#syncData(side.active);
      this.#synced[side.file] = side.baseBytes + side.active.ackBytes;
    }
    this.#writeMark();
  }

  #syncData(active: ActiveFile): void {
    const { fd, settle } = active.beginSync();
    let failure: unknown;
    try {
      this.#disk.fdatasyncSync(fd);
    } catch (error) {
      failure = error;
    }
    const reported = settle(failure);
    if (reported !== undefined) throw reported;
  }

  /** The mark only saves work: without it (a full disk, say) a reopen after power loss checks more. */
  #writeMark(): void {
    try {
      writeMark(
        this.#directory,
        { boot: this.#boot, messages: this.#synced['messages.jsonl'], events: this.#synced['events.jsonl'] },
        this.#disk,
      );
    } catch {
      // Stale is safe.
    }
  }

  /** What is on the disk, up to there; another fork may have sealed some of it since. */
  #seal(side: Side, durableBytes: number): void {
    side.active.refresh();
    const bytes = Math.min(durableBytes - side.baseBytes, side.active.ackBytes);
    if (bytes <= 0) return;
    // A failed fsync is told again.
    if (side.active.syncFailed) this.#sync(side);
    const opened = sealActive({
      directory: this.#directory,
      file: side.file,
      sealed: this.#sealed,
      active: side.active,
      disk: this.#disk,
      rejects: this.#rejects,
      nowMs: this.#now(),
      bytes,
    });
    const old = side.active;
    this.#sealed = opened.sealed;
    side.baseBytes += opened.bytes;
    // JRN-11: the next fsync is of the name, too.
    this.#directorySynced = false;
    ensureLastingName(this.#directory, side.file, side.baseBytes, this.#disk);
    side.active = this.#activeFile(side.file, opened.fd, opened.restBytes, opened.restBytes);
    // Now: a kill leaves no other moment.
    side.active.keepTime(side.modifiedMs);
    side.writer.useActive(side.active);
    side.sealedFiles.set(this.#sealedRefs(side.file));
    old.close();
  }

  #sealedRefs(file: JournalFile): SegmentRef[] {
    return sealedOf(this.#sealed, file).map((segment) => ({ path: join(this.#directory, segment.file), sizeBytes: segment.bytes }));
  }
}

function asError(error: unknown): Error | undefined {
  return error === undefined || error instanceof Error ? error : new Error(JSON.stringify(error));
}

/** How far the order log reaches; it may trail, and an unusable one counts as empty. */
function recordedEnds(directory: string, disk: Disk): Record<JournalFile, number> {
  let pages: OrderPages | undefined;
  try {
    pages = new OrderPages(directory, disk);
    const last = pages.at(pages.length - 1);
    return { 'messages.jsonl': last.messagesEnd, 'events.jsonl': last.eventsEnd };
  } catch (error) {
    // JRN-36: what is derived will say so; lines are taken.
    if (!(error instanceof CtxError)) throw error;
    return { 'messages.jsonl': 0, 'events.jsonl': 0 };
  } finally {
    pages?.close();
  }
}
