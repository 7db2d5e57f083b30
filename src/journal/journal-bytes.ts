// Reads one journal of a session directory while the server thread appends to it and may fork it: when a read comes up
// short or segments.json changed, the segment list is read again.
import { join } from 'node:path';
import type { JournalFile } from '../abi/session-files.ts';
import { errnoOf, nodeDisk, type Disk } from './disk.ts';
import { readableSegments, SEGMENTS_FILE } from './layout.ts';
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
  #sealedBytes = 0;

  constructor(directory: string, file: JournalFile, disk: Disk = nodeDisk) {
    this.#directory = directory;
    this.#file = file;
    this.#disk = disk;
    this.#files = new SegmentFiles([], disk);
    this.#reload();
  }

  sizeBytes(): number {
    if (this.#segmentsStamp() !== this.#stamp) this.#reload();
    return this.#sealedBytes + this.#activeSize();
  }

  read(positionBytes: number, into: Uint8Array): number {
    let got = this.#files.read(positionBytes, into);
    // Short: the end of the journal, or a fork sealed the file that we read from.
    if (got < into.length && this.#segmentsStamp() !== this.#stamp) {
      this.#reload();
      got += this.#files.read(positionBytes + got, into.subarray(got));
    }
    return got;
  }

  extents(startBytes: number, endBytes: number): Extent[] {
    if (this.#segmentsStamp() !== this.#stamp) this.#reload();
    return this.#files.extents(startBytes, endBytes);
  }

  close(): void {
    this.#files.close();
  }

  #reload(): void {
    this.#stamp = this.#segmentsStamp();
    const path = join(this.#directory, this.#file);
    const sealed = readableSegments(this.#directory, this.#disk)[this.#file].filter((ref) => ref.path !== path);
    this.#sealedBytes = sealed.reduce((sum, ref) => sum + ref.sizeBytes, 0);
    // The active file has no bound here: a read simply ends where the file does.
    this.#files.set(this.#disk.existsSync(path) ? [...sealed, { path, sizeBytes: Number.MAX_SAFE_INTEGER - this.#sealedBytes }] : sealed);
  }

  #activeSize(): number {
    try {
      return this.#disk.statSync(join(this.#directory, this.#file)).size;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return 0;
      throw error;
    }
  }

  #segmentsStamp(): string {
    try {
      const stat = this.#disk.statSync(join(this.#directory, SEGMENTS_FILE));
      return `${stat.ino}:${stat.mtimeMs}:${stat.size}`;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return 'none';
      throw error;
    }
  }
}
