// The file that one journal grows in: one O_APPEND descriptor, whole lines in, positions out.
// Invariant: [0, ackBytes) is whole lines; [ackBytes, endBytes) is a partial line that somebody else wrote.
import * as fs from 'node:fs';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import type { JournalFile } from '../abi/session-files.ts';
import { errnoName, type Disk } from './disk.ts';
import { lockJournal } from './flock.ts';
import { countNewlines, scanLines } from './line-scan.ts';
import { freshSyncKey } from './sync-work.ts';

/** Lines that another process appended in the store, found by a size that was not ours. */
export interface Foreign {
  readonly startBytes: number;
  readonly endBytes: number;
  readonly lines: number;
  readonly invalid: number;
  readonly fault: string | undefined;
}

export interface ActiveFileOptions {
  readonly directory: string;
  readonly file: JournalFile;
  readonly disk: Disk;
  /** Why a line may not be in this journal; undefined when it may. */
  fault(line: Buffer): string | undefined;
  /** Lines were added; called once per change, after the sizes moved. */
  onLines(lines: number): void;
  onForeign(foreign: Foreign): void;
}

/** O_NOFOLLOW: a journal is a file of its session's directory, never a name for one somewhere else. */
export const ACTIVE_FLAGS: number = fs.constants.O_RDWR | fs.constants.O_APPEND | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW;

export class ActiveFile {
  readonly #options: ActiveFileOptions;
  readonly #disk: Disk;
  #fd: number;
  #endBytes: number;
  #ackBytes: number;
  #frozen: CtxError | undefined;
  #syncFailure: CtxError | undefined;
  /** Changes of the file, and how many of them are known to be on the disk. */
  #changes = 1;
  #durableChanges = 0;
  #syncs = 0;
  #closing = false;
  readonly syncKey: number = freshSyncKey();

  /** `fd` and sizes come from a checked reopen (reopen.ts). */
  constructor(options: ActiveFileOptions, fd: number, ackBytes: number, endBytes: number) {
    this.#options = options;
    this.#disk = options.disk;
    this.#fd = fd;
    this.#ackBytes = ackBytes;
    this.#endBytes = endBytes;
  }

  get ackBytes(): number {
    return this.#ackBytes;
  }
  get endBytes(): number {
    return this.#endBytes;
  }

  /**
   * Appends whole lines with one write(2). Returns how many bytes are stored: all, or (full disk) up to a line end.
   * Throws when nothing is stored. Cost: one write and one fstat.
   */
  append(bytes: Buffer, lines: number): number {
    if (this.#frozen !== undefined) throw this.#frozen;
    if (this.#endBytes !== this.#ackBytes) this.#endForeignPartial();
    this.#changes++;
    let wrote = 0;
    let failure: unknown;
    try {
      while (wrote < bytes.length) wrote += this.#disk.writeSync(this.#fd, bytes, wrote, bytes.length - wrote);
    } catch (error) {
      failure = error;
    }
    const sizeBytes = this.#size();
    if (failure !== undefined) return this.#cutBack(bytes, wrote, sizeBytes, failure);
    if (sizeBytes !== this.#endBytes + wrote) return this.#besideForeign(bytes, lines, sizeBytes);
    this.#endBytes = sizeBytes;
    this.#ackBytes = sizeBytes;
    this.#options.onLines(lines);
    return wrote;
  }

  /** Looks for bytes that others appended. One fstat when there are none. */
  refresh(): boolean {
    const sizeBytes = this.#size();
    if (sizeBytes === this.#endBytes) return false;
    if (sizeBytes < this.#endBytes) throw this.freeze(`shrank from ${this.#endBytes} to ${sizeBytes} bytes`);
    const before = this.#ackBytes;
    this.#takeForeign(sizeBytes);
    return this.#ackBytes !== before;
  }

  /** The descriptor is O_APPEND and read by position: nothing depends on where it stands. */
  #size(): number {
    return this.#disk.sizeOf?.(this.#fd) ?? this.#disk.fstatSync(this.#fd).size;
  }

  /** Reads below `ackBytes`. */
  readonly readAt = (positionBytes: number, into: Uint8Array): number => {
    let done = 0;
    while (done < into.length) {
      const got = this.#disk.readSync(this.#fd, into, done, into.length - done, positionBytes + done);
      if (got === 0) break;
      done += got;
    }
    return done;
  };

  /** Something may not be on the disk. Throws the failure of an earlier fsync. */
  get unsynced(): boolean {
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    return this.#durableChanges < this.#changes;
  }

  get syncFailed(): boolean {
    return this.#syncFailure !== undefined;
  }

  /**
   * The descriptor to sync, open until `settle`. JRN-11: what is appended meanwhile stays unsynced, and a failed fsync is
   * sticky, because the kernel forgets which pages were lost.
   */
  beginSync(): { readonly fd: number; settle(error: unknown): CtxError | undefined; release(): void } {
    const changes = this.#changes;
    this.#syncs++;
    const release = (): void => {
      this.#syncs--;
      if (this.#closing && this.#syncs === 0) this.#disk.closeSync(this.#fd);
    };
    return {
      fd: this.#fd,
      release,
      settle: (cause) => {
        release();
        if (cause === undefined) this.#durableChanges = Math.max(this.#durableChanges, changes);
        else this.#syncFailure ??= this.#failed(cause);
        return this.#syncFailure;
      },
    };
  }

  #failed(cause: unknown): CtxError {
    return new CtxError('journal.fsync_failed', 'EIO', 'fsync failed: lines since the last good fsync may be lost', {
      where: this.#where(),
      next: 'check the disk, then restart the daemon',
      cause,
    });
  }

  /** JRN-45: the file's own time becomes that of its newest commit. */
  keepTime(timeMs: number): void {
    // A tenth of a millisecond above: a time in seconds is a double and may come back a little smaller.
    const seconds = (timeMs + 0.1) / 1000;
    try {
      this.#disk.futimesSync(this.#fd, seconds, seconds);
    } catch {
      // A read-only disk: the time of the write is a few milliseconds off.
    }
  }

  /** The descriptor goes when the last sync of it has ended: its number must not name another file before. */
  close(): void {
    this.#closing = true;
    if (this.#syncs === 0) this.#disk.closeSync(this.#fd);
  }

  /** JRN: cut back to the last line boundary, and only bytes that this append put there; otherwise freeze. */
  #cutBack(bytes: Buffer, wrote: number, sizeBytes: number, failure: unknown): number {
    const kept = wrote === 0 ? 0 : bytes.lastIndexOf(10, wrote - 1) + 1;
    if (sizeBytes !== this.#endBytes + wrote) throw this.freeze('changed under a failed write', failure);
    if (wrote > kept) this.#truncate(this.#endBytes + wrote, this.#endBytes + kept, failure);
    if (kept === 0) throw writeError(this.#where(), failure);
    this.#endBytes += kept;
    this.#ackBytes = this.#endBytes;
    this.#options.onLines(countNewlines(bytes.subarray(0, kept)));
    return kept;
  }

  #truncate(fromBytes: number, toBytes: number, failure: unknown): void {
    let lock;
    try {
      lock = lockJournal(this.#options.directory, 50);
    } catch {
      throw this.freeze('has a torn line that cannot be cut while another process holds the journal lock', failure);
    }
    try {
      if (this.#disk.fstatSync(this.#fd).size !== fromBytes) throw this.freeze('changed under a failed write', failure);
      this.#disk.ftruncateSync(this.#fd, toBytes);
    } catch (error) {
      throw this.#frozen ?? this.freeze('has a torn line that could not be cut', error);
    } finally {
      lock.release();
    }
  }

  /** Our bytes and somebody else's landed between two looks at the size. */
  #besideForeign(bytes: Buffer, lines: number, sizeBytes: number): number {
    const startBytes = this.#endBytes;
    if (sizeBytes < startBytes + bytes.length) throw this.freeze(`shrank below ${startBytes + bytes.length} bytes`);
    const probe = Buffer.allocUnsafe(bytes.length);
    const ourStart = [sizeBytes - bytes.length, startBytes].find((at) => this.readAt(at, probe) === bytes.length && probe.equals(bytes));
    const last = Buffer.allocUnsafe(1);
    const whole = ourStart !== undefined && (ourStart === startBytes || (this.readAt(ourStart - 1, last) === 1 && last[0] === 10));
    this.#takeForeign(sizeBytes, whole ? lines : 0);
    // Glued to another's unfinished line: that line is reported as invalid, and ours is stored once more, whole.
    return whole ? bytes.length : this.append(bytes, lines);
  }

  #takeForeign(sizeBytes: number, ours = 0): void {
    const startBytes = this.#ackBytes;
    let lines = 0;
    let invalid = 0;
    let fault: string | undefined;
    const endBytes = scanLines(this.readAt, startBytes, sizeBytes, (line) => {
      lines++;
      const why = this.#options.fault(line);
      if (why === undefined) return;
      invalid++;
      fault ??= why;
    });
    this.#endBytes = sizeBytes;
    this.#ackBytes = endBytes;
    this.#changes++;
    if (lines > 0) this.#options.onLines(lines);
    if (lines > ours) this.#options.onForeign({ startBytes, endBytes, lines: lines - ours, invalid, fault });
  }

  /** Ends another's unfinished line with a newline, so that ours is never glued to it. */
  #endForeignPartial(): void {
    this.#disk.writeSync(this.#fd, NEWLINE, 0, 1);
    this.#takeForeign(this.#disk.fstatSync(this.#fd).size);
    if (this.#endBytes !== this.#ackBytes)
      throw new CtxError('journal.busy', 'EAGAIN', 'another process is writing a line in pieces', { where: this.#where() });
  }

  /** No line is taken any more; reads go on. */
  freeze(what: string, cause?: unknown): CtxError {
    this.#frozen = new CtxError('journal.frozen', 'EIO', `${what}; no more lines are taken`, {
      where: this.#where(),
      next: 'run ctx fsck, then restart the daemon',
      cause,
    });
    return this.#frozen;
  }

  #where(): string {
    return join(this.#options.directory, this.#options.file);
  }
}

const NEWLINE: Buffer = Buffer.from('\n');

function writeError(where: string, cause: unknown): CtxError {
  const errno = errnoName(cause);
  return new CtxError('journal.write_failed', errno, 'the line was not stored', {
    where,
    next: errno === 'ENOSPC' || errno === 'EDQUOT' ? 'free space and append again' : 'check the disk',
    cause,
  });
}
