// Sealed pieces of order.log and inputs.jsonl. A piece's name says which records (lines) are the session's, so no list names
// them: what lies in `segments/` counts, in order. Only the deriver thread seals (openOrderLog), a fork links what it finds.
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { errnoOf, syncDirectory, type Disk, nodeDisk } from './disk.ts';
import { isSealedTwin, SEGMENTS_DIR } from './layout.ts';
import { HEADER_BYTES, ORDER_FILE, RECORD_BYTES } from './order-record.ts';

/** Up to so many pieces are made whatever they hold: a link takes no block of the disk, a copy does. */
export const FEW_SEGMENTS = 16;

export type ChainKind = 'order' | 'inputs';

export interface ChainSegment {
  /** Relative to the session directory. */
  readonly file: string;
  readonly path: string;
  /** Records or lines of the session before it. */
  readonly first: number;
  /** A fork may see fewer than the file holds. */
  readonly count: number;
  /** Of these, with the header of an order log. */
  readonly bytes: number;
}

export const ACTIVE_OF: Readonly<Record<ChainKind, string>> = { order: ORDER_FILE, inputs: 'inputs.jsonl' };

const NAMES: Readonly<Record<ChainKind, RegExp>> = {
  order: /^order-(\d{1,15})-(\d{1,15})\.log$/,
  inputs: /^inputs-(\d{1,15})-(\d{1,15})-(\d{1,15})\.jsonl$/,
};

export function chainName(kind: ChainKind, first: number, count: number, bytes: number): string {
  return `${SEGMENTS_DIR}/${kind === 'order' ? `order-${first}-${count}.log` : `inputs-${first}-${count}-${bytes}.jsonl`}`;
}

/** In order. A gap is lost history (EIO): later pieces cannot stand without the earlier ones. Cost: one listing. */
export function readChain(directory: string, kind: ChainKind, disk: Disk = nodeDisk): readonly ChainSegment[] {
  let names: readonly string[];
  try {
    names = disk.readdirSync(join(directory, SEGMENTS_DIR));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
  const chain: ChainSegment[] = [];
  for (const name of names) {
    const match = NAMES[kind].exec(name);
    if (match === null) continue;
    const [first, count] = [Number(match[1]), Number(match[2])];
    const file = `${SEGMENTS_DIR}/${name}`;
    const bytes = kind === 'order' ? HEADER_BYTES + count * RECORD_BYTES : Number(match[3]);
    chain.push({ file, path: join(directory, file), first, count, bytes });
  }
  chain.sort((a, b) => a.first - b.first);
  let next = 0;
  for (const { first, count } of chain) {
    if (first !== next) throw chainMissing(directory, kind, next);
    next = first + count;
  }
  return chain;
}

export function chainEnd(chain: readonly ChainSegment[]): number {
  const last = chain.at(-1);
  return last === undefined ? 0 : last.first + last.count;
}

export function chainMissing(directory: string, kind: ChainKind, first: number): CtxError {
  return new CtxError('journal.segment_missing', 'EIO', 'a segment of the order log or of its inputs is gone', {
    where: join(directory, SEGMENTS_DIR, `${kind}-${first}-…`),
    next: 'bring it back from a backup, or from a fork that shares it, then run ctx fsck',
  });
}

/**
 * The active file gets the sealed name, and a new one with `rest` in it takes its place. What is sealed is on the disk.
 * A crash in between leaves both names on one file: `finishChain` then starts the new one. The caller goes over to the new
 * file and syncs the directory.
 */
export function sealChain(directory: string, kind: ChainKind, name: string, rest: Buffer, disk: Disk): void {
  const active = join(directory, ACTIVE_OF[kind]);
  const target = join(directory, name);
  disk.mkdirSync(join(directory, SEGMENTS_DIR), { recursive: true, mode: 0o700 });
  if (disk.existsSync(target)) disk.unlinkSync(target);
  disk.linkSync(active, target);
  syncDirectory(disk, join(directory, SEGMENTS_DIR));
  try {
    startFile(active, rest, disk);
  } catch (error) {
    // Undone: the active file goes on as it was.
    if (isSealedTwin(disk, active, target)) disk.unlinkSync(target);
    throw error;
  }
}

/** Before the active file is opened for writing. */
export function finishChain(directory: string, kind: ChainKind, disk: Disk): void {
  const active = join(directory, ACTIVE_OF[kind]);
  if (isSealedTwin(disk, active, readChain(directory, kind, disk).at(-1)?.path)) startFile(active, Buffer.alloc(0), disk);
}

function startFile(path: string, bytes: Buffer, disk: Disk): void {
  const { mode, uid, gid } = disk.statSync(path);
  const temporary = `${path}.new`;
  const fd = disk.openSync(temporary, 'w', mode & 0o777);
  try {
    for (let done = 0; done < bytes.length;) done += disk.writeSync(fd, bytes, done, bytes.length - done, done);
    // What an input record names is durable before it: so are the records, wherever they lie.
    if (bytes.length > 0) disk.fsyncSync(fd);
  } finally {
    disk.closeSync(fd);
  }
  if (process.getuid?.() === 0 && uid !== 0) disk.chownSync(temporary, uid, gid);
  disk.renameSync(temporary, path);
}
