// Reads one journal of a session directory while the server thread appends to it and may fork it: when a read comes up
// short or segments.json changed, the segment list is read again.
import type { Stats } from 'node:fs';
import { join } from 'node:path';
import type { JournalFile } from '../abi/session-files.ts';
import { errnoOf, nodeDisk, type Disk } from './disk.ts';
import { isSealedTwin, lastingName, readableSegments, SEGMENTS_FILE } from './layout.ts';
import { SegmentFiles } from './segment-files.ts';
import type { Extent } from './types.ts';

/** Anything a history can be read from. */
export interface ByteSource {
  /** Bytes there now; a torn tail may be among them. */
  sizeBytes(): number;
  read(positionBytes: number, into: Uint8Array): number;
  extents(startBytes: number, endBytes: number): Extent[];
  close(): void;
}

export class JournalBytes implements ByteSource {
  readonly #directory: string;
  readonly #file: JournalFile;
  readonly #disk: Disk;
  readonly #files: SegmentFiles;
  #stamp = '';
  #sealing = false;
  #sealedBytes = 0;

  constructor(directory: string, file: JournalFile, disk: Disk = nodeDisk) {
    this.#directory = directory;
    this.#file = file;
    this.#disk = disk;
    this.#files = new SegmentFiles([], disk);
    this.#look();
  }

  sizeBytes(): number {
    const seen = this.#look();
    return this.#sealedBytes + (this.#sealing ? 0 : seen.activeBytes);
  }

  read(positionBytes: number, into: Uint8Array): number {
    let got = this.#files.read(positionBytes, into);
    // Short: the end of the journal, or a fork sealed the file that we read from.
    if (got < into.length) {
      const before = this.#stamp;
      this.#look();
      if (this.#stamp !== before) got += this.#files.read(positionBytes + got, into.subarray(got));
    }
    return got;
  }

  extents(startBytes: number, endBytes: number): Extent[] {
    this.#look();
    return this.#files.extents(startBytes, endBytes);
  }

  close(): void {
    this.#files.close();
  }

  /** Two stats; the segment list is read again when segments.json or the active file is another one than before. */
  #look(): { readonly activeBytes: number } {
    const list = statOf(this.#disk, join(this.#directory, SEGMENTS_FILE));
    const active = statOf(this.#disk, join(this.#directory, this.#file));
    const stamp = `${list === undefined ? 'none' : `${list.ino}:${list.mtimeMs}:${list.size}`} ${active?.ino ?? 'none'}`;
    if (stamp !== this.#stamp) {
      this.#stamp = stamp;
      this.#reload();
    }
    return { activeBytes: active?.size ?? 0 };
  }

  #reload(): void {
    const path = join(this.#directory, this.#file);
    const refs = readableSegments(this.#directory, this.#disk)[this.#file];
    const sealed = refs.filter((ref) => ref.path !== path);
    this.#sealedBytes = sealed.reduce((sum, ref) => sum + ref.sizeBytes, 0);
    // Between naming a segment and starting a new active file both are one inode: its bytes count once.
    this.#sealing = sealed.length === refs.length;
    const lasting = lastingName(this.#directory, this.#file, this.#sealedBytes);
    const active = isSealedTwin(this.#disk, path, lasting) ? lasting : path;
    // The active file has no bound here: a read simply ends where the file does.
    this.#files.set(this.#sealing ? sealed : [...sealed, { path: active, sizeBytes: Number.MAX_SAFE_INTEGER - this.#sealedBytes }]);
  }
}

function statOf(disk: Disk, path: string): Stats | undefined {
  try {
    return disk.statSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
