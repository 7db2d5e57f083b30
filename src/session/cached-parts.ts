// Everything of a session that is read from or written to `context/.cache`: opened, closed, saved and thrown away as one.
import { cpSync, existsSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isFull } from '../abi/errors.ts';
import { CACHE_DIR } from '../abi/session-files.ts';
import { PACK_RULE_VERSION } from '../context/pack-policy.ts';
import { Engine } from '../derive/engine.ts';
import { CACHE_DAMAGED } from '../derive/types.ts';
import { DAMAGED } from '../search/sums.ts';
import { clearUnusual } from './cache-place.ts';
import { CHECKPOINT_VERSION, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { InputWatch } from './input-watch.ts';
import { BlobFiles, makeInCache } from './output-files.ts';
import { PackRun } from './pack-run.ts';
import { SectionFolds } from './section-folds.ts';
import type { DeriverServices } from './services.ts';
import { SessionHistory } from './session-history.ts';
import { Sources } from './sources.ts';
import { takesAgain, takeSparePlace } from './spare-place.ts';
import { SwapFiles } from './swap-files.ts';

/** Opened again after garbage collection and after damage: hold on to `CachedParts`, not to these. */
export interface Parts {
  readonly engine: Engine;
  readonly history: SessionHistory;
  readonly inputs: InputWatch;
  readonly folds: SectionFolds;
  readonly pack: PackRun;
  readonly blobs: BlobFiles;
  readonly swap: SwapFiles;
  readonly sources: Sources;
}

/** The pack's version as of an order-log revision: a restart serves the pack without folding. */
export interface PackStamp {
  readonly revision: string;
  readonly version: string;
}

/** Of what lies in the cache: it can be made again. SQLite says so of an index that is not written as it was. */
export function isDamage(error: unknown): boolean {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return (
    code === CACHE_DAMAGED ||
    code === DAMAGED ||
    code === 'SQLITE_NOTADB' ||
    (typeof code === 'string' && code.startsWith('SQLITE_CORRUPT'))
  );
}

/** The disk takes nothing now: what was to be kept in the cache is built again. SQLite says so in its own words. */
export function takesNothing(error: unknown): boolean {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return isFull(error) || code === 'SQLITE_FULL' || code === 'SQLITE_READONLY';
}

/** So often it is looked whether the disk takes something again. */
const SPARE_TRY_MS = 2000;

/** Inode numbers are used again; with the time of birth they are not. */
function identityOf(directory: string): string {
  const stats = statSync(directory, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? '' : `${stats.dev} ${stats.ino} ${stats.birthtimeNs}`;
}

export class CachedParts {
  readonly directory: string;
  readonly #home: string;
  /** Where the cache lies while the disk takes nothing. */
  #spare: string | undefined;
  #triedMs = 0;
  readonly #services: DeriverServices;
  readonly #place: string;
  #parts: Parts | undefined;
  stamp: PackStamp = { revision: '', version: '' };

  constructor(directory: string, services: DeriverServices) {
    this.directory = directory;
    this.#home = join(directory, CACHE_DIR);
    this.#services = services;
    this.#place = identityOf(directory);
    this.#parts = this.#openSomewhere();
  }

  /** Opened again when they were closed. */
  get now(): Parts {
    return (this.#parts ??= this.#openSomewhere());
  }

  get cache(): string {
    return this.#spare === undefined ? this.#home : join(this.#spare, basename(CACHE_DIR));
  }

  get opened(): Parts | undefined {
    return this.#parts;
  }

  get identity(): { readonly session: string; readonly agent: string } {
    return { session: basename(this.directory), agent: basename(dirname(dirname(this.directory))) };
  }

  /** DRV-11: damage in the cache costs a rebuild of all of it. */
  startFromNothing(): void {
    this.#closeParts();
    rmSync(this.cache, { recursive: true, force: true });
  }

  /**
   * DRV-16: the disk took nothing. What memory says of the files may be wrong now; what they hold is checked when they are
   * opened, in a place in memory. False where there is none, or where this was the place in memory.
   */
  moveAside(): boolean {
    this.#closeParts();
    if (this.#spare !== undefined) return false;
    const spare = takeSparePlace(this.directory);
    if (spare === undefined) return false;
    this.#services.log(`derive.full: the disk takes nothing; what is derived lies in ${spare} meanwhile: ${this.directory}`);
    this.#spare = spare;
    this.#triedMs = this.#services.now();
    clearUnusual(this.#home);
    if (existsSync(this.#home)) cpSync(this.#home, this.cache, { recursive: true });
    return true;
  }

  /** Between turns: back to the disk as soon as it takes again what lies in memory. */
  moveBack(): void {
    const spare = this.#spare;
    const now = this.#services.now();
    if (spare === undefined || now - this.#triedMs < SPARE_TRY_MS) return;
    this.#triedMs = now;
    if (takesAgain(this.directory, this.#home, spare)) this.close();
  }

  close(): void {
    this.#closeParts();
    if (this.#spare !== undefined) rmSync(this.#spare, { recursive: true, force: true });
    this.#spare = undefined;
  }

  #closeParts(): void {
    const parts = this.#parts;
    this.#parts = undefined;
    if (parts === undefined) return;
    for (const part of ['pack', 'swap', 'history'] as const)
      try {
        parts[part].close();
      } catch (error) {
        // It could not write what it still held.
        if (!isDamage(error) && !takesNothing(error)) throw error;
      }
  }

  /** DRV-3: checkpoint, then indexes, then memos: what is written later never depends on what is not there yet. */
  save(): void {
    if (this.#parts === undefined) return;
    const { pack, folds, history, engine, swap } = this.#parts;
    // DRV-7: a session that was renamed or removed leaves nothing where it was, nor in another that has its name now.
    if (identityOf(this.directory) !== this.#place || !existsSync(this.cache)) return;
    writeCheckpoint(this.cache, {
      version: CHECKPOINT_VERSION,
      of: history.marks.now(),
      resets: pack.resets.save(),
      mark: pack.mark,
      sections: folds.checkpoint(),
      cut: swap.cut,
      recalled: [...pack.recalled.known],
      pack: this.stamp,
    });
    history.save();
    engine.save();
  }

  #openSomewhere(): Parts {
    try {
      return this.#open();
    } catch (error) {
      if (!takesNothing(error) || !this.moveAside()) throw error;
      return this.#open();
    }
  }

  #open(): Parts {
    clearUnusual(this.cache);
    makeInCache(this.cache);
    const history = new SessionHistory(this.directory, this.cache, this.#services);
    // Memos name files by their paths, and packs their session: those of a copied directory are of the one it was copied from.
    const rules = `${PACK_RULE_VERSION} ${this.directory}`;
    const engine = new Engine(join(this.cache, 'memos.json'), rules, this.#services.now, history.marks);
    const blobs = new BlobFiles(join(this.cache, 'out'));
    const checkpoint = readCheckpoint(this.cache, history.blocks.count, history.marks);
    const folds = new SectionFolds(history, checkpoint?.sections);
    const pack = new PackRun(history, folds, this.#services, this.identity, join(this.cache, 'epochs'), blobs);
    const swap = new SwapFiles(history, blobs, this.cache);
    if (checkpoint !== undefined) {
      pack.resets.restore(checkpoint.resets, history.log.length);
      if (checkpoint.mark !== undefined) pack.resumeAt(checkpoint.mark);
      swap.cut = checkpoint.cut;
      for (const [key, choice] of checkpoint.recalled) pack.recalled.known.set(key, choice);
    }
    this.stamp = checkpoint?.pack ?? { revision: '', version: '' };
    const inputs = new InputWatch(this.directory, history.log, this.#services.now, this.#services.engine);
    // Before any message that has no record yet: a session's first inputs come first.
    inputs.update();
    return { engine, history, inputs, folds, pack, blobs, swap, sources: new Sources(history, folds, swap) };
  }
}
