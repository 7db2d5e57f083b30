// JRN: refused bytes are kept. `rejects/<id>` holds the bytes, `rejects/<id>.json` says what they were.
// Bounded by count and bytes; the oldest go first. Survives a kill of the daemon at once, and power loss after sync().
import { createHash, type Hash } from 'node:crypto';
import { join } from 'node:path';
import { errnoOf, nodeDisk, readWhole, writeFully, type Disk } from './disk.ts';
import { performSync } from './sync-work.ts';

export const REJECTS_DIR = 'rejects';

export interface RejectLimits {
  readonly count: number;
  readonly bytes: number;
}

export interface RejectNote {
  readonly target: string;
  readonly reason: string;
  /** `write` (refused WRITE), `release` (a remainder), `reopen` (a torn tail), `seal`. */
  readonly stage: string;
  readonly timeMs: number;
}

export interface RejectRecord {
  readonly target: string;
  readonly reason: string;
  readonly stage: string;
  readonly time: string;
  readonly digest: string;
  readonly bytes: number;
  /** Bytes kept; fewer than `bytes` only past the store's own bound. */
  readonly kept: number;
}

/** One refused run of bytes, to which later pieces of the same line may be added. */
export interface Reject {
  readonly id: string;
  readonly digest: string;
  readonly bytes: number;
  add(bytes: Uint8Array): void;
}

export class RejectStore {
  readonly #directory: string;
  readonly #limits: RejectLimits;
  readonly #disk: Disk;
  /** Oldest first; undefined until first needed. */
  #entries: { id: string; bytes: number }[] | undefined;
  #totalBytes = 0;
  #sequence = 0;
  /** Names by the number of their last change. */
  readonly #unsynced: Map<string, number> = new Map<string, number>();
  #nextVersion = 1;

  constructor(sessionDirectory: string, limits: RejectLimits = { count: 1000, bytes: 64 << 20 }, disk: Disk = nodeDisk) {
    this.#directory = join(sessionDirectory, REJECTS_DIR);
    this.#limits = limits;
    this.#disk = disk;
  }

  /** Keeps the bytes, then their sidecar (whose presence makes the entry whole). */
  keep(pieces: readonly Uint8Array[], note: RejectNote): Reject {
    const entries = this.#load();
    const hash = createHash('sha256');
    const id = `${String(Math.max(0, Math.trunc(note.timeMs))).padStart(14, '0')}-${String(this.#sequence++ % 1e6).padStart(6, '0')}-${process.pid.toString(36)}`;
    const entry = { id, bytes: 0 };
    const state: RejectState = { entry, hash, bytes: 0, note };
    entries.push(entry);
    this.#extend(state, pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces));
    this.#seal(state);
    this.#trim();
    const add = (more: Uint8Array): void => {
      this.#extend(state, more);
      this.#seal(state);
      this.#trim();
    };
    return {
      id,
      get digest() {
        return digestSoFar(state.hash);
      },
      get bytes() {
        return state.bytes;
      },
      add,
    };
  }

  list(): readonly string[] {
    return this.#load().map((entry) => entry.id);
  }

  read(id: string): { readonly bytes: Buffer; readonly record: RejectRecord } | undefined {
    const record = readWhole(this.#disk, join(this.#directory, `${id}.json`));
    const bytes = readWhole(this.#disk, join(this.#directory, id));
    return record === undefined || bytes === undefined ? undefined : { bytes, record: JSON.parse(record.toString('utf8')) as RejectRecord };
  }

  /** Paths to sync for everything kept so far to survive power loss; `settle` when that is done. */
  beginSync(): { readonly paths: readonly string[]; settle(): void } {
    const names = [...this.#unsynced];
    const paths = names.map(([name]) => join(this.#directory, name));
    return {
      paths: paths.length === 0 ? [] : [...paths, this.#directory],
      settle: () => {
        for (const [name, version] of names) if (this.#unsynced.get(name) === version) this.#unsynced.delete(name);
      },
    };
  }

  /** The same on this thread. */
  sync(): void {
    const { paths, settle } = this.beginSync();
    performSync({ key: 0, rejects: paths, file: undefined, directories: [] }, this.#disk);
    settle();
  }

  #changed(name: string): void {
    this.#unsynced.set(name, this.#nextVersion++);
  }

  #load(): { id: string; bytes: number }[] {
    if (this.#entries !== undefined) return this.#entries;
    this.#disk.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const names = (this.#disk.readdirSync(this.#directory) as string[]).filter((name) => /^\d{14}-\d{6}-[0-9a-z]+$/.test(name)).sort();
    this.#entries = names.map((id) => ({ id, bytes: this.#disk.statSync(join(this.#directory, id)).size }));
    this.#totalBytes = this.#entries.reduce((sum, entry) => sum + entry.bytes, 0);
    this.#sequence = this.#entries.length;
    return this.#entries;
  }

  #extend(state: RejectState, bytes: Uint8Array): void {
    state.hash.update(bytes);
    state.bytes += bytes.length;
    const room = Math.max(0, this.#limits.bytes - state.entry.bytes);
    const kept = bytes.subarray(0, room);
    const fd = this.#disk.openSync(join(this.#directory, state.entry.id), 'a', 0o600);
    try {
      writeFully(this.#disk, fd, kept);
    } finally {
      this.#disk.closeSync(fd);
    }
    state.entry.bytes += kept.length;
    this.#totalBytes += kept.length;
    this.#changed(state.entry.id);
  }

  #seal(state: RejectState): void {
    const { target, reason, stage, timeMs } = state.note;
    const record: RejectRecord = {
      target,
      reason,
      stage,
      time: new Date(timeMs).toISOString(),
      digest: digestSoFar(state.hash),
      bytes: state.bytes,
      kept: state.entry.bytes,
    };
    const name = `${state.entry.id}.json`;
    const fd = this.#disk.openSync(join(this.#directory, name), 'w', 0o600);
    try {
      writeFully(this.#disk, fd, Buffer.from(`${JSON.stringify(record)}\n`));
    } finally {
      this.#disk.closeSync(fd);
    }
    this.#changed(name);
  }

  #trim(): void {
    const entries = this.#load();
    let gone = 0;
    while (entries.length - gone > 1 && (entries.length - gone > this.#limits.count || this.#totalBytes > this.#limits.bytes)) {
      const oldest = entries[gone++] as { id: string; bytes: number };
      this.#totalBytes -= oldest.bytes;
      for (const name of [`${oldest.id}.json`, oldest.id]) {
        try {
          this.#disk.unlinkSync(join(this.#directory, name));
        } catch (error) {
          if (errnoOf(error) !== 'ENOENT') throw error;
        }
        this.#unsynced.delete(name);
      }
    }
    if (gone > 0) entries.splice(0, gone);
  }
}

interface RejectState {
  readonly entry: { id: string; bytes: number };
  readonly hash: Hash;
  bytes: number;
  readonly note: RejectNote;
}

function digestSoFar(hash: Hash): string {
  return `sha256:${hash.copy().digest('hex')}`;
}
