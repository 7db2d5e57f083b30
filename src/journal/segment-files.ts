// Reads a journal's bytes by journal-wide offset, over its segments. Descriptors are opened on first use and kept.
import { CtxError } from '../abi/errors.ts';
import { errnoOf, nodeDisk, type Disk } from './disk.ts';
import type { Extent, SegmentRef } from './types.ts';

const MAX_OPEN = 16;

export class SegmentFiles {
  readonly #disk: Disk;
  #refs: readonly SegmentRef[] = [];
  #bases: number[] = [];
  #fds: (number | undefined)[] = [];
  #opened: number[] = [];
  #sizeBytes = 0;

  constructor(refs: readonly SegmentRef[], disk: Disk = nodeDisk) {
    this.#disk = disk;
    this.set(refs);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }
  get refs(): readonly SegmentRef[] {
    return this.#refs;
  }

  /** Takes a new list. Descriptors are dropped: the active path may now be another inode. */
  set(refs: readonly SegmentRef[]): void {
    this.close();
    this.#refs = refs;
    this.#bases = [];
    this.#sizeBytes = 0;
    for (const ref of refs) {
      this.#bases.push(this.#sizeBytes);
      this.#sizeBytes += ref.sizeBytes;
    }
    this.#fds = refs.map(() => undefined);
  }

  /** Reads into the buffer; fewer bytes than its length only at the end of the last segment. */
  read(positionBytes: number, into: Uint8Array): number {
    let done = 0;
    for (let index = this.#indexOf(positionBytes); index < this.#refs.length && done < into.length; index++) {
      const ref = this.#refs[index] as SegmentRef;
      let at = positionBytes + done - (this.#bases[index] as number);
      while (done < into.length && at < ref.sizeBytes) {
        const want = Math.min(into.length - done, ref.sizeBytes - at);
        const got = this.#disk.readSync(this.#fd(index), into, done, want, at);
        if (got === 0) return done;
        done += got;
        at += got;
      }
    }
    return done;
  }

  extents(startBytes: number, endBytes: number): Extent[] {
    const extents: Extent[] = [];
    for (let index = this.#indexOf(startBytes); index < this.#refs.length && startBytes < endBytes; index++) {
      const ref = this.#refs[index] as SegmentRef;
      const at = startBytes - (this.#bases[index] as number);
      const sizeBytes = Math.min(endBytes - startBytes, ref.sizeBytes - at);
      if (sizeBytes <= 0) continue;
      extents.push({ path: ref.path, offsetBytes: at, sizeBytes });
      startBytes += sizeBytes;
    }
    return extents;
  }

  close(): void {
    for (const fd of this.#fds) if (fd !== undefined) this.#disk.closeSync(fd);
    this.#fds = this.#refs.map(() => undefined);
    this.#opened = [];
  }

  /** Of many segments the one that was opened longest ago is closed: a long chain of forks must not use up the descriptors. */
  #fd(index: number): number {
    const known = this.#fds[index];
    if (known !== undefined) return known;
    const oldest = this.#opened.length >= MAX_OPEN ? this.#opened.shift() : undefined;
    if (oldest !== undefined) {
      this.#disk.closeSync(this.#fds[oldest] as number);
      this.#fds[oldest] = undefined;
    }
    const fd = openSegment(this.#disk, (this.#refs[index] as SegmentRef).path);
    this.#fds[index] = fd;
    this.#opened.push(index);
    return fd;
  }

  /** Last segment whose base is at or before the position. */
  #indexOf(positionBytes: number): number {
    let low = 0;
    let high = this.#bases.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.#bases[middle] as number) <= positionBytes) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** A segment that is gone is lost history (EIO), never a file that does not exist yet. */
function openSegment(disk: Disk, path: string): number {
  try {
    return disk.openSync(path, 'r');
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw cause;
    throw new CtxError('journal.segment_missing', 'EIO', 'a segment of the history is gone', {
      where: path,
      next: 'bring it back from a backup, or from a fork that shares it, then run ctx fsck',
      cause,
    });
  }
}
