// JRN: a fork gives the child the parent's sealed segments by hard link, and a copy of the few newest lines and records that
// are not sealed. The parent has them on the disk before this runs, so the child never names bytes that the parent can lose.
// No byte of history is read. The child's own segments.json comes after what it names, its active files last.
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { JOURNALS, type JournalFile } from '../abi/session-files.ts';
import { chainEnd, chainName, readChain, type ChainSegment } from './chain-segments.ts';
import { syncDirectory, writeDurably, type Disk } from './disk.ts';
import type { Cut } from './fork-cut.ts';
import { openHistory } from './history.ts';
import { hexOf, INPUTS_DIR, INPUTS_FILE, readInputs } from './inputs.ts';
import { nameSealed, prepareSealed, readSealed, SEGMENTS_DIR, type SealedSegment } from './layout.ts';
import type { OrderPages } from './order-pages.ts';
import {
  chainOf,
  CHAIN_BYTES,
  CHAIN_START,
  encodeHead,
  encodeHeader,
  endChain,
  KIND_MESSAGES,
  ORDER_FILE,
  RECORD_BYTES,
  startChain,
} from './order-record.ts';
import { fileMode } from './reopen.ts';
import { nameActive, prepareActive } from './seal.ts';
import { share, type Owner } from './share.ts';

export interface ForkOptions {
  readonly parent: string;
  readonly child: string;
  /** The parent's segments. */
  readonly sealed: readonly SealedSegment[];
  /** Bytes behind them that the child gets as its active files. */
  readonly tails: Readonly<Record<JournalFile, Buffer>>;
  readonly cut: Cut;
  /** The parent's. */
  readonly pages: OrderPages;
  readonly disk: Disk;
}

export function forkHistory(options: ForkOptions): void {
  const { child, disk, cut } = options;
  const owner = disk.statSync(child);
  disk.mkdirSync(join(child, SEGMENTS_DIR), { recursive: true, mode: 0o700 });
  const sealed = JOURNALS.flatMap((journal) => shareSegments(options, owner, journal));
  const rest = orderRest(options, owner);
  const inputs = shareInputs(options, owner, options.pages.at(cut.records - 1).inputs);
  // Everything is made first and synced then: on a journaling filesystem the first wait is that of all.
  const fresh = JOURNALS.filter((journal) => options.tails[journal].length > 0 || !disk.existsSync(join(child, journal)));
  for (const journal of fresh) prepareActive(disk, child, journal, fileMode(disk, join(child, journal), 0o600), options.tails[journal]);
  if (inputs.length > 0) writeDurably(disk, join(child, INPUTS_FILE), inputs);
  if (rest.length > 0) writeDurably(disk, join(child, ORDER_FILE), rest);
  if (sealed.length > 0) prepareSealed(child, sealed, disk);
  if (disk.existsSync(join(child, INPUTS_DIR))) syncDirectory(disk, join(child, INPUTS_DIR));
  syncDirectory(disk, join(child, SEGMENTS_DIR));
  // All names that come are in one directory: after a power loss the child has them and its lines, or less of the same. That they
  // are on the disk is for the first fsync of its journals, or for who called.
  if (sealed.length > 0) nameSealed(child, disk);
  for (const journal of fresh) nameActive(disk, child, journal);
}

/** A fork of a fork names the same files; only the last one may be seen in part, and then its digest is another one. */
function shareSegments(options: ForkOptions, owner: Owner, journal: JournalFile): SealedSegment[] {
  const shared: SealedSegment[] = [];
  let left = options.cut.ends[journal] - options.tails[journal].length;
  for (const segment of options.sealed) {
    if (segment.journal !== journal || left === 0) continue;
    share(options.disk, join(options.parent, segment.file), join(options.child, segment.file), owner);
    const bytes = Math.min(left, segment.bytes);
    shared.push(bytes === segment.bytes ? segment : { ...segment, bytes, sha256: undefined });
    left -= bytes;
  }
  if (left > 0)
    throw new CtxError('journal.fork_short', 'EIO', `${left} bytes of ${journal} are in no segment`, {
      where: options.parent,
      next: 'run ctx fsck',
    });
  return shared;
}

/** Links what is sealed; returns the rest of the child's order log: whole records, then (at a line inside one) that one cut. */
function orderRest(options: ForkOptions, owner: Owner): Buffer {
  const { pages, cut } = options;
  const first = shareChain(options, owner, 'order', pages.sealed, cut.records, () => 0);
  const records: Buffer[] = [];
  for (let index = first; index < cut.records; index++) records.push(Buffer.from(pages.bytesAt(index)));
  const before = pages.at(cut.records - 1);
  if (cut.atLine !== undefined && cut.records < pages.length && before.messagesEnd < cut.ends['messages.jsonl'])
    records.push(...cutRecord(options, cut.atLine));
  // No boot: the child's first open looks at these few records.
  return records.length === 0 ? Buffer.alloc(0) : Buffer.concat([encodeHeader('', first), ...records]);
}

/** None where events come between that are not durable yet: then the child's first open makes it. */
function cutRecord({ parent, pages, cut, disk }: ForkOptions, atLine: number): readonly Buffer[] {
  const before = pages.at(cut.records - 1);
  const whole = pages.at(cut.records);
  if (whole.kind !== KIND_MESSAGES) return [];
  const record = { ...whole, messagesEnd: cut.ends['messages.jsonl'], messageLines: atLine };
  const encoded = Buffer.alloc(RECORD_BYTES);
  encodeHead(record, encoded, 0);
  const history = openHistory(parent, 'messages.jsonl', undefined, disk);
  try {
    const hash = startChain(cut.records === 0 ? CHAIN_START : chainOf(pages.bytesAt(cut.records - 1), 0), encoded, 0);
    endChain(hash.update(history.readRange(before.messagesEnd, record.messagesEnd))).copy(encoded, RECORD_BYTES - CHAIN_BYTES);
  } finally {
    history.close();
  }
  return [encoded];
}

/** Links pieces up to `count` records or lines, the last one perhaps under the name of fewer; returns how many that are. */
function shareChain(
  { child, disk }: ForkOptions,
  owner: Owner,
  kind: 'order' | 'inputs',
  chain: readonly ChainSegment[],
  count: number,
  bytesOf: (first: number, count: number) => number,
): number {
  for (const { first, count: held, path, file } of chain) {
    if (first >= count) break;
    const seen = Math.min(held, count - first);
    const name = seen === held ? file : chainName(kind, first, seen, bytesOf(first, seen));
    share(disk, path, join(child, name), owner);
  }
  return Math.min(chainEnd(chain), count);
}

/** Cost: one link for each version of an input, and a copy of the lines that are not sealed, which it returns. */
function shareInputs(options: ForkOptions, owner: Owner, count: number): Buffer {
  const { parent, child, disk } = options;
  if (count === 0) return Buffer.alloc(0);
  const { inputs, lines } = readInputs(parent, disk);
  const sizeOf = (from: number, number: number): number => lines.slice(from, from + number).reduce((sum, line) => sum + line.length, 0);
  const first = shareChain(options, owner, 'inputs', readChain(parent, 'inputs', disk), count, sizeOf);
  const folder = join(child, INPUTS_DIR);
  disk.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const digests = new Set(
    inputs
      .slice(0, count)
      .map((input) => input.digest)
      .filter((digest) => digest !== undefined),
  );
  for (const digest of digests) share(disk, join(parent, INPUTS_DIR, hexOf(digest)), join(folder, hexOf(digest)), owner);
  return Buffer.concat(lines.slice(first, count));
}

export function refuseUsed(child: string, disk: Disk): void {
  const used =
    readSealed(child, disk).length > 0 ||
    JOURNALS.some((journal) => disk.existsSync(join(child, journal)) && disk.statSync(join(child, journal)).size > 0);
  if (used)
    throw new CtxError('journal.fork_target_used', 'EEXIST', 'the target session has history already', {
      where: child,
      next: 'fork into a new session',
    });
}
