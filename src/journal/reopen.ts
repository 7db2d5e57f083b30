// Opening the active file after any kind of end: JRN: a torn tail is set aside, never glued to the next line.
import { dirname, join } from 'node:path';
import type { JournalFile } from '../abi/session-files.ts';
import { ACTIVE_FLAGS } from './active-file.ts';
import { errnoOf, readFully, readWhole, syncDirectory, writeFully, type Disk } from './disk.ts';
import { lockJournal, type Lock } from './flock.ts';
import { firstNul, lastLineEnd, scanLines, type ReadAt } from './line-scan.ts';
import type { RejectStore } from './rejects.ts';

export interface Reopened {
  readonly fd: number;
  readonly ackBytes: number;
  readonly endBytes: number;
  readonly modifiedMs: number;
  /** Events to append once both journals are open. */
  readonly events: readonly Record<string, unknown>[];
  /** The file was changed, or was not known to be on the disk. */
  readonly recovered: boolean;
}

export interface ReopenOptions {
  readonly directory: string;
  readonly file: JournalFile;
  readonly disk: Disk;
  readonly rejects: RejectStore;
  readonly mode: number;
  now(): number;
  fault(line: Buffer): string | undefined;
  /** Active bytes from here on were not known to be durable when the machine went down; undefined: same boot, no check. */
  readonly unsyncedFrom: number | undefined;
  /** Active bytes from here on have no order record yet: lines that others appended meanwhile are checked. */
  readonly unrecordedFrom: number;
}

/** Lines past the order log are checked on open up to here; more is left to fsck (about a third of a second). */
const CHECK_BYTES = 32 << 20;

export function reopen(options: ReopenOptions): Reopened {
  const { directory, file, disk } = options;
  const path = join(directory, file);
  const fd = disk.openSync(path, ACTIVE_FLAGS, options.mode);
  const readAt: ReadAt = (position, into) => {
    const bytes = readFully(disk, fd, position, into.length);
    into.set(bytes);
    return bytes.length;
  };
  finishSalvage(options, fd);
  const events: Record<string, unknown>[] = [];
  const stat = disk.fstatSync(fd);
  let ackBytes = stat.size === 0 ? 0 : lastLineEnd(readAt, 0, stat.size);
  let endBytes = stat.size;
  let changed = false;
  if (ackBytes < endBytes && cutTornTail(options, fd, ackBytes, endBytes, events)) {
    endBytes = ackBytes;
    changed = true;
  }
  if (options.unsyncedFrom !== undefined && options.unsyncedFrom < ackBytes) {
    const hole = firstNul(readAt, options.unsyncedFrom, ackBytes);
    if (hole >= 0) {
      ackBytes = salvage(options, fd, readAt, lastLineEnd(readAt, 0, hole), ackBytes, events);
      endBytes = ackBytes;
      changed = true;
    }
  }
  if (options.unrecordedFrom < ackBytes && ackBytes - options.unrecordedFrom <= CHECK_BYTES) {
    checkUnrecorded(options, readAt, ackBytes, events);
  }
  return {
    fd,
    ackBytes,
    endBytes,
    modifiedMs: Math.trunc(stat.mtimeMs),
    events,
    recovered: changed || options.unsyncedFrom !== undefined,
  };
}

/** False when another process holds the journal lock: then it may be writing that very line. */
function cutTornTail(options: ReopenOptions, fd: number, ackBytes: number, endBytes: number, events: Record<string, unknown>[]): boolean {
  let lock: Lock;
  try {
    lock = lockJournal(options.directory);
  } catch {
    return false;
  }
  try {
    const tail = readFully(options.disk, fd, ackBytes, endBytes - ackBytes);
    const reject = options.rejects.keep([tail], { target: options.file, reason: 'torn', stage: 'reopen', timeMs: options.now() });
    // The bytes are kept before they are cut: a crash between the two sets them aside twice, never nowhere.
    options.disk.ftruncateSync(fd, ackBytes);
    events.push({
      type: 'error',
      code: 'EIO',
      target: options.file,
      reason: 'torn',
      digest: reject.digest,
      bytes: tail.length,
      reject: `rejects/${reject.id}`,
    });
    return true;
  } finally {
    lock.release();
  }
}

/**
 * Power loss left a hole: lines it touched go to the reject store, whole lines after it are kept.
 * The good lines are made durable under a name of their own before the journal is cut, so a crash here repeats the step.
 */
function salvage(
  options: ReopenOptions,
  fd: number,
  readAt: ReadAt,
  startBytes: number,
  endBytes: number,
  events: Record<string, unknown>[],
): number {
  const good: Buffer[] = [];
  const bad: Buffer[] = [];
  scanLines(readAt, startBytes, endBytes, (line) => {
    (options.fault(line) === undefined ? good : bad).push(Buffer.concat([line, NEWLINE]));
  });
  const reject = options.rejects.keep(bad, { target: options.file, reason: 'hole', stage: 'reopen', timeMs: options.now() });
  options.rejects.sync();
  const path = salvagePath(options);
  const copy = options.disk.openSync(`${path}.new`, 'w', 0o600);
  try {
    writeFully(options.disk, copy, Buffer.concat([Buffer.from(`${startBytes}\n`), ...good]));
    options.disk.fsyncSync(copy);
  } finally {
    options.disk.closeSync(copy);
  }
  options.disk.renameSync(`${path}.new`, path);
  syncDirectory(options.disk, options.directory);
  finishSalvage(options, fd);
  events.push({
    type: 'error',
    code: 'EIO',
    target: options.file,
    reason: 'hole',
    digest: reject.digest,
    bytes: reject.bytes,
    lines: bad.length,
    reject: `rejects/${reject.id}`,
  });
  return options.disk.fstatSync(fd).size;
}

function finishSalvage(options: ReopenOptions, fd: number): void {
  const path = salvagePath(options);
  const bytes = readWhole(options.disk, path);
  if (bytes === undefined) return;
  const cut = bytes.indexOf(10);
  options.disk.ftruncateSync(fd, Number(bytes.subarray(0, cut).toString('latin1')));
  writeFully(options.disk, fd, bytes.subarray(cut + 1));
  options.disk.fsyncSync(fd);
  options.disk.unlinkSync(path);
  // Durable before any new line: a salvage file that came back after a power loss would cut acknowledged lines.
  syncDirectory(options.disk, dirname(path));
}

function salvagePath(options: ReopenOptions): string {
  return join(options.directory, `salvage.${options.file}`);
}

function checkUnrecorded(options: ReopenOptions, readAt: ReadAt, ackBytes: number, events: Record<string, unknown>[]): void {
  let invalid = 0;
  let fault: string | undefined;
  let bytes = 0;
  const from = options.unrecordedFrom === 0 ? 0 : lastLineEnd(readAt, 0, options.unrecordedFrom);
  scanLines(readAt, from, ackBytes, (line) => {
    const why = options.fault(line);
    if (why === undefined) return;
    invalid++;
    bytes += line.length + 1;
    fault ??= why;
  });
  if (invalid > 0)
    events.push({
      type: 'error',
      code: 'EINVAL',
      target: options.file,
      reason: `outside:${fault ?? ''}`,
      lines: invalid,
      bytes,
      start: from,
      end: ackBytes,
    });
}

export function fileMode(disk: Disk, path: string, fallback: number): number {
  try {
    return disk.statSync(path).mode & 0o777;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return fallback;
    throw error;
  }
}

const NEWLINE: Buffer = Buffer.from('\n');
