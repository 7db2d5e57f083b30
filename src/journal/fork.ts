// JRN: a fork gives the child the parent's sealed segments by hard link. The parent has sealed, fsynced and named them
// before this runs, so the child never names bytes that the parent can lose. The child's own segments.json comes last.
import { constants } from 'node:fs';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { JOURNALS, type JournalFile } from '../abi/session-files.ts';
import { errnoOf, readFully, syncDirectory, writeFully, type Disk } from './disk.ts';
import type { ForkPlan } from './fork-plan.ts';
import { openHistory } from './history.ts';
import { hexOf, INPUTS_DIR, INPUTS_FILE, readInputs } from './inputs.ts';
import { readSealed, SEGMENTS_DIR, writeSealed, type SealedSegment } from './layout.ts';
import { OrderPages } from './order-pages.ts';
import {
  chainOf,
  CHAIN_BYTES,
  CHAIN_START,
  encodeHead,
  encodeHeader,
  endChain,
  headerState,
  KIND_MESSAGES,
  ORDER_FILE,
  RECORD_BYTES,
  startChain,
} from './order-record.ts';
import { digestOfPrefix, startActive } from './seal.ts';
import { writeMark } from './sync-mark.ts';

export interface ForkOptions {
  readonly parent: string;
  readonly child: string;
  /** The parent's segments; its active files are empty. */
  readonly sealed: readonly SealedSegment[];
  /** Messages kept (1-based count); undefined: all. Events: those that came before message `atLine` was recorded. */
  readonly atLine: number | undefined;
  readonly disk: Disk;
  readonly boot: string;
  /** Digests that are known already. */
  readonly cuts: ForkPlan['cuts'];
}

interface Cut {
  readonly ends: Record<JournalFile, number>;
  /** Whole order records that the child takes over. */
  readonly records: number;
}

export function forkHistory(options: ForkOptions): void {
  const { parent, child, disk } = options;
  refuseUsed(child, disk);
  const pages = new OrderPages(parent, disk);
  try {
    const cut = options.atLine === undefined ? wholeCut(options, pages) : cutAtLine(options, pages, options.atLine);
    disk.mkdirSync(join(child, SEGMENTS_DIR), { recursive: true, mode: 0o700 });
    const sealed = JOURNALS.flatMap((journal) => shareSegments(options, journal, cut.ends[journal]));
    syncDirectory(disk, join(child, SEGMENTS_DIR));
    copyOrder(options, pages, cut);
    for (const journal of JOURNALS) startActive(disk, child, journal, 0o600);
    writeSealed(child, sealed, disk);
    writeMark(child, { boot: options.boot, messages: cut.ends['messages.jsonl'], events: cut.ends['events.jsonl'] }, disk);
    syncDirectory(disk, join(child, '..'));
  } finally {
    pages.close();
  }
}

function wholeCut(options: ForkOptions, pages: OrderPages): Cut {
  const ends = { 'messages.jsonl': 0, 'events.jsonl': 0 };
  for (const segment of options.sealed) ends[segment.journal] += segment.bytes;
  return {
    ends,
    records: Math.min(
      pages.firstPast(ends['messages.jsonl'], (r) => r.messagesEnd),
      pages.firstPast(ends['events.jsonl'], (r) => r.eventsEnd),
    ),
  };
}

export function cutAtLine(options: Pick<ForkOptions, 'parent' | 'disk'>, pages: OrderPages, atLine: number): Cut {
  const history = openHistory(options.parent, 'messages.jsonl', undefined, options.disk);
  try {
    if (!Number.isSafeInteger(atLine) || atLine < 0 || atLine > history.lines) {
      throw new CtxError('journal.no_such_line', 'EINVAL', `cannot fork at line ${atLine}: there are ${history.lines}`, {
        where: options.parent,
        next: 'name a line of messages.jsonl, or leave the line out',
      });
    }
    const messagesEnd = history.offsetOfLine(atLine + 1);
    if (atLine === 0) return { ends: { 'messages.jsonl': 0, 'events.jsonl': 0 }, records: 0 };
    const index = pages.firstPast(atLine - 1, (record) => record.messageLines);
    const eventsEnd = pages.at(Math.min(index, pages.length - 1)).eventsEnd;
    const exact = index < pages.length && pages.at(index).messagesEnd === messagesEnd;
    return { ends: { 'messages.jsonl': messagesEnd, 'events.jsonl': eventsEnd }, records: exact ? index + 1 : index };
  } finally {
    history.close();
  }
}

/** A fork of a fork names the same files; only the last one may be seen in part. */
function shareSegments(options: ForkOptions, journal: JournalFile, endBytes: number): SealedSegment[] {
  const shared: SealedSegment[] = [];
  let left = endBytes;
  for (const segment of options.sealed) {
    if (segment.journal !== journal || left === 0) continue;
    const from = join(options.parent, segment.file);
    share(options.disk, from, join(options.child, segment.file), options.child);
    const bytes = Math.min(left, segment.bytes);
    if (bytes === segment.bytes) shared.push(segment);
    else {
      const known = options.cuts.find((cut) => cut.journal === journal && cut.bytes === bytes);
      shared.push({ ...segment, bytes, sha256: known?.sha256 ?? prefixDigest(options.disk, from, bytes) });
    }
    left -= bytes;
  }
  return shared;
}

/** Hard link; a reflink or copy where the owner or the filesystem differs. */
function share(disk: Disk, from: string, to: string, owner: string): void {
  if (disk.existsSync(to)) return;
  const wanted = disk.statSync(owner);
  if (disk.statSync(from).uid === wanted.uid) {
    try {
      disk.linkSync(from, to);
      return;
    } catch (error) {
      if (!['EXDEV', 'EPERM', 'EMLINK', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) throw error;
    }
  }
  const temporary = `${to}.new`;
  disk.copyFileSync(from, temporary, constants.COPYFILE_FICLONE);
  if (process.getuid?.() === 0) disk.chownSync(temporary, wanted.uid, wanted.gid);
  const fd = disk.openSync(temporary, 'r');
  try {
    disk.fsyncSync(fd);
  } finally {
    disk.closeSync(fd);
  }
  disk.renameSync(temporary, to);
}

/** The child's order log: whole records, then (at a line inside a record) that record cut at the line. */
function copyOrder(options: ForkOptions, pages: OrderPages, cut: Cut): void {
  const { parent, child, disk, boot } = options;
  const sameBoot = headerState(pages.header(), boot) === 'boot';
  const records: Buffer[] = [];
  for (let index = 0; index < cut.records; index++) records.push(Buffer.from(pages.bytesAt(index)));
  const before = pages.at(cut.records - 1);
  const partial = options.atLine !== undefined && cut.records < pages.length && before.messagesEnd < cut.ends['messages.jsonl'];
  if (partial) {
    const record = { ...pages.at(cut.records), messagesEnd: cut.ends['messages.jsonl'], messageLines: options.atLine as number };
    if (record.kind !== KIND_MESSAGES)
      throw new CtxError('journal.order_damaged', 'EIO', 'the order log does not fit the journal', { where: parent, next: 'run ctx fsck' });
    const encoded = Buffer.alloc(RECORD_BYTES);
    encodeHead(record, encoded, 0);
    const history = openHistory(parent, 'messages.jsonl', undefined, disk);
    const hash = startChain(records.length === 0 ? CHAIN_START : chainOf(records.at(-1) as Buffer, 0), encoded, 0);
    endChain(hash.update(history.readRange(before.messagesEnd, record.messagesEnd))).copy(encoded, RECORD_BYTES - CHAIN_BYTES);
    history.close();
    records.push(encoded);
  }
  shareInputs(options, before.inputs);
  writeWhole(disk, join(child, ORDER_FILE), Buffer.concat([encodeHeader(sameBoot ? boot : ''), ...records]));
}

function shareInputs(options: ForkOptions, count: number): void {
  if (count === 0) return;
  const { inputs, lines } = readInputs(options.parent, options.disk);
  const folder = join(options.child, INPUTS_DIR);
  options.disk.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const digests = new Set(
    inputs
      .slice(0, count)
      .map((input) => input.digest)
      .filter((digest) => digest !== undefined),
  );
  for (const digest of digests)
    share(options.disk, join(options.parent, INPUTS_DIR, hexOf(digest)), join(folder, hexOf(digest)), options.child);
  syncDirectory(options.disk, folder);
  writeWhole(options.disk, join(options.child, INPUTS_FILE), Buffer.concat(lines.slice(0, count)));
}

function writeWhole(disk: Disk, path: string, bytes: Buffer): void {
  const fd = disk.openSync(path, 'w', 0o600);
  try {
    writeFully(disk, fd, bytes);
    disk.fsyncSync(fd);
  } finally {
    disk.closeSync(fd);
  }
}

function refuseUsed(child: string, disk: Disk): void {
  const used =
    readSealed(child, disk).length > 0 ||
    JOURNALS.some((journal) => disk.existsSync(join(child, journal)) && disk.statSync(join(child, journal)).size > 0);
  if (used)
    throw new CtxError('journal.fork_target_used', 'EEXIST', 'the target session has history already', {
      where: child,
      next: 'fork into a new session',
    });
}

function prefixDigest(disk: Disk, path: string, bytes: number): string {
  const fd = disk.openSync(path, 'r');
  try {
    return digestOfPrefix((position, into) => {
      const read = readFully(disk, fd, position, into.length);
      into.set(read);
      return read.length;
    }, bytes);
  } finally {
    disk.closeSync(fd);
  }
}
