// Unfinished lines, per (open file, lock owner). Volatile: a stage is never part of the journal's size.
import type { Digest } from '../abi/digest.ts';
import type { CtxError } from '../abi/errors.ts';
import type { Reject } from './rejects.ts';
import type { StageKey } from './types.ts';

export interface Stage {
  /** Bytes of a line whose newline has not come; a list, so that many pieces cost linear time. */
  pieces: Buffer[];
  sizeBytes: number;
  /** A refused line has no newline yet: bytes are set aside until it comes. */
  discarding: boolean;
  /** Where discarded bytes go. */
  reject: Reject | undefined;
  /** The refused WRITE whose later good lines were stored: an identical one that follows at once is its retry. */
  refused: RefusedWrite | undefined;
  /** The last WRITE was taken and as large as one request may be: the next one may continue the same write(2). */
  full: boolean;
  /** A refusal that a write(2) of several requests ends in a short count instead of: told again to the same bytes. */
  owed: OwedRefusal | undefined;
}

export interface OwedRefusal {
  /** First bytes of the refused WRITE. */
  readonly start: Buffer;
  readonly error: CtxError;
}

export interface RefusedWrite {
  readonly sizeBytes: number;
  readonly digest: Digest;
  /** Its good lines that a full disk kept out; stored by the retry. */
  rest: Buffer;
}

export class Stages {
  readonly #files: Map<string, Map<StageKey, Stage>> = new Map<string, Map<StageKey, Stage>>();
  #count = 0;
  #bytes = 0;

  /** Number of stages that remember anything; 0 keeps the hot path off the maps. */
  get count(): number {
    return this.#count;
  }
  get sizeBytes(): number {
    return this.#bytes;
  }

  get(key: StageKey): Stage | undefined {
    return this.#count === 0 ? undefined : this.#files.get(openFileOf(key))?.get(key);
  }

  obtain(key: StageKey): Stage {
    const openFile = openFileOf(key);
    let stages = this.#files.get(openFile);
    if (stages === undefined) this.#files.set(openFile, (stages = new Map()));
    let stage = stages.get(key);
    if (stage === undefined) {
      stages.set(
        key,
        (stage = { pieces: [], sizeBytes: 0, discarding: false, reject: undefined, refused: undefined, full: false, owed: undefined }),
      );
      this.#count++;
    }
    return stage;
  }

  /** Copies the bytes: the caller's buffer is used again. */
  add(stage: Stage, bytes: Buffer): void {
    if (bytes.length === 0) return;
    stage.pieces.push(Buffer.from(bytes));
    stage.sizeBytes += bytes.length;
    this.#bytes += bytes.length;
  }

  clear(stage: Stage): void {
    this.#bytes -= stage.sizeBytes;
    stage.pieces = [];
    stage.sizeBytes = 0;
  }

  /** Forgets the stage when nothing is left to remember. */
  settle(key: StageKey, stage: Stage): void {
    if (stage.sizeBytes > 0 || stage.discarding || stage.refused !== undefined || stage.full || stage.owed !== undefined) return;
    const openFile = openFileOf(key);
    const stages = this.#files.get(openFile);
    if (stages === undefined || !stages.delete(key)) return;
    this.#count--;
    if (stages.size === 0) this.#files.delete(openFile);
  }

  /** Ends every stage of an open file and hands them over. */
  take(openFile: string): Stage[] {
    const stages = this.#count === 0 ? undefined : this.#files.get(openFile);
    if (stages === undefined) return [];
    this.#files.delete(openFile);
    this.#count -= stages.size;
    const list = [...stages.values()];
    for (const stage of list) this.#bytes -= stage.sizeBytes;
    return list;
  }
}

function openFileOf(key: StageKey): string {
  const cut = key.indexOf(':');
  return cut < 0 ? key : key.slice(0, cut);
}
