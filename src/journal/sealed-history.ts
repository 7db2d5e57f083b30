// A session's immutable history as files, for images: what is sealed, in order, with the bytes of each that count. And a new
// session made of such files, by link, as a fork is made of its parent's.
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { JOURNALS, type JournalFile } from '../abi/session-files.ts';
import { chainName, readChain } from './chain-segments.ts';
import { guarded, nodeDisk, syncDirectory, type Disk } from './disk.ts';
import { refuseUsed } from './fork.ts';
import { hexOf, INPUTS_DIR, readInputs } from './inputs.ts';
import { nameSealed, prepareSealed, readSealed, SEGMENTS_DIR, type SealedSegment } from './layout.ts';
import { HEADER_BYTES, RECORD_BYTES } from './order-record.ts';
import { startActive } from './seal.ts';
import { keyOf, knownDigests } from './segment-digests.ts';
import { share } from './share.ts';

export interface HistoryBlob {
  readonly journal: JournalFile | 'order' | 'inputs';
  readonly path: string;
  /** Bytes that are the session's: the first ones. */
  readonly bytes: number;
  /** Of the file; more than `bytes` where a fork sees a part of it, or lines came while it was sealed. */
  readonly fileBytes: number;
  /** Of the first `bytes` bytes; undefined: not known yet (`digestParts`). */
  readonly sha256: string | undefined;
  /** Of `inputs` and `order`: how many lines or records. */
  readonly count?: number;
}

export interface SealedHistory {
  /** Messages, events, order, inputs; each in its order. */
  readonly blobs: readonly HistoryBlob[];
  /** Bytes of recorded inputs that sealed records name; a path that is gone is left out. */
  readonly inputs: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
}

/** What is sealed now; lines and records in active files are not in it (SessionJournals.seal, OrderLog.seal). Reads no history. */
export function sealedHistory(directory: string, disk: Disk = nodeDisk): SealedHistory {
  return guarded(directory, () => {
    const known = knownDigests(directory, disk);
    const sealed = readSealed(directory, disk);
    const blob = (journal: HistoryBlob['journal'], file: string, bytes: number, sha256: string | undefined): HistoryBlob => {
      const path = join(directory, file);
      return { journal, path, bytes, fileBytes: disk.statSync(path).size, sha256: sha256 ?? known.get(keyOf({ file, bytes })) };
    };
    const blobs = [
      ...JOURNALS.flatMap((journal) => sealed.filter((segment) => segment.journal === journal)).map(({ journal, file, bytes, sha256 }) =>
        blob(journal, file, bytes, sha256),
      ),
      ...(['order', 'inputs'] as const).flatMap((kind) =>
        readChain(directory, kind, disk).map(({ file, bytes, count }) => ({ ...blob(kind, file, bytes, undefined), count })),
      ),
    ];
    const { inputs, first } = readInputs(directory, disk);
    const digests = new Set(inputs.slice(0, first).flatMap(({ digest }) => (digest === undefined ? [] : [hexOf(digest)])));
    const paths = [...digests].map((sha256) => ({ sha256, path: join(directory, INPUTS_DIR, sha256) }));
    return {
      blobs,
      inputs: paths.filter(({ path }) => disk.existsSync(path)).map((each) => ({ ...each, bytes: disk.statSync(each.path).size })),
    };
  });
}

/**
 * Gives a session directory without history the history of such a list, by hard link (reflink or copy across owners and
 * filesystems). The files must never change, and are on the disk. Nothing is read: who made the list has verified it.
 */
export function adoptHistory(directory: string, history: SealedHistory, disk: Disk = nodeDisk): void {
  guarded(directory, () => {
    refuseUsed(directory, disk);
    const owner = disk.statSync(directory);
    disk.mkdirSync(join(directory, SEGMENTS_DIR), { recursive: true, mode: 0o700 });
    const sealed: SealedSegment[] = [];
    const next = { order: 0, inputs: 0 };
    for (const blob of history.blobs) {
      const { journal, bytes, sha256, path } = blob;
      let file: string;
      if (journal === 'order' || journal === 'inputs') {
        const count = blob.count ?? (journal === 'order' ? (bytes - HEADER_BYTES) / RECORD_BYTES : undefined);
        if (count === undefined || !Number.isSafeInteger(count) || count < 1) throw bad(path, 'has no whole records');
        file = chainName(journal, next[journal], count, bytes);
        next[journal] += count;
      } else {
        file = freeName(sealed, journal, sha256 ?? path);
        sealed.push({ journal, file, bytes, sha256 });
      }
      if (disk.statSync(path).size < bytes) throw bad(path, `holds fewer than ${bytes} bytes`);
      share(disk, path, join(directory, file), owner);
    }
    syncDirectory(disk, join(directory, SEGMENTS_DIR));
    if (history.inputs.length > 0) {
      const folder = join(directory, INPUTS_DIR);
      disk.mkdirSync(folder, { recursive: true, mode: 0o700 });
      for (const { path, sha256 } of history.inputs) share(disk, path, join(folder, sha256), owner);
      syncDirectory(disk, folder);
    }
    if (sealed.length > 0) {
      prepareSealed(directory, sealed, disk);
      syncDirectory(disk, directory);
      nameSealed(directory, disk);
    }
    for (const journal of JOURNALS) if (!disk.existsSync(join(directory, journal))) startActive(disk, directory, journal, 0o600);
    syncDirectory(disk, directory);
    syncDirectory(disk, join(directory, '..'));
  });
}

function freeName(sealed: readonly SealedSegment[], journal: JournalFile, name: string): string {
  const hex = /([0-9a-f]{16})/.exec(name)?.[1] ?? '0'.repeat(16);
  const stem = `${SEGMENTS_DIR}/${journal.replace('.jsonl', '')}-${hex}`;
  let file = `${stem}.jsonl`;
  for (let copy = 2; sealed.some((segment) => segment.file === file); copy++) file = `${stem}.${copy}.jsonl`;
  return file;
}

function bad(path: string, what: string): CtxError {
  return new CtxError('journal.bad_history', 'EINVAL', what, { where: path, next: 'verify the image it came from' });
}
