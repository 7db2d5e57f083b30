// Saved state on disk: verified before the native loader sees it, written so that a short file never has the name.
import { closeSync, constants, fstatSync, openSync, renameSync } from 'node:fs';
import { rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { CtxError } from '../../abi/errors.ts';
import { checkStateStructure, digestFile, stateBytes } from '../state-file.ts';
import type { StateShape } from '../state-file.ts';
import { looksSame, lookOf, writtenInode } from '../state-seal.ts';
import type { ArtifactFile } from '../types.ts';
import type { LlamaSequence } from './native.ts';

/** A file whose content changed in the same tick as it was read could look unchanged: only older ones are remembered. */
const SETTLED_MS = 2000;

/** What a load was not waited for: throws `engine.state` where the file turns out not to be the one that was saved. */
export type Owed = (signal: AbortSignal) => Promise<void>;

/** A file that is whole; its digest follows. */
export interface Saving {
  readonly bytes: number;
  readonly written: string;
  readonly digest: Promise<string>;
}

export class SavedStates {
  readonly #shape: StateShape;
  /** Looks of files to the digest that was taken of them here. */
  readonly #verified = new Map<string, string>();

  constructor(shape: StateShape) {
    this.#shape = shape;
  }

  /**
   * ENG-14: calls `load` with a path to the verified bytes: the path names the open file, so that nothing put in its place
   * meanwhile is loaded. Throws `engine.state` for anything that is not exactly the file it should be. A file that was written
   * by nobody since its digest was taken is loaded first; its digest is what is returned, and owed before anything that came
   * of the state is told to anybody.
   */
  async withVerified(base: ArtifactFile, signal: AbortSignal, load: (path: string) => Promise<void>): Promise<Owed | undefined> {
    const fd = openState(base.path);
    let owed: Owed | undefined;
    try {
      const stats = fstatSync(fd, { bigint: true });
      if (stats.size !== BigInt(base.bytes)) throw refuse(base.path, `has ${stats.size} bytes, not ${base.bytes}`);
      checkStateStructure({ fd }, base.path, base.tokens, this.#shape);
      const look = lookOf(stats);
      const prove = async (stop: AbortSignal): Promise<void> => {
        if ((await digestFile({ fd }, stop)) !== base.digest) throw refuse(base.path, 'is not the file that was saved: its digest differs');
        if (Date.now() - Number(stats.ctimeMs) > SETTLED_MS) this.#verified.set(look, base.digest);
      };
      if (this.#verified.get(look) === base.digest) await load(`/proc/self/fd/${fd}`);
      else if (looksSame(base.look, stats)) {
        await load(`/proc/self/fd/${fd}`);
        owed = async (stop) => prove(stop).finally(() => closeSync(fd));
      } else {
        await prove(signal);
        await load(`/proc/self/fd/${fd}`);
      }
      return owed;
    } finally {
      if (owed === undefined) closeSync(fd);
    }
  }

  /**
   * Saves under a temporary name; the name appears with whole, checked bytes or not at all. The sequence may go on from there:
   * the digest is taken meanwhile. Nothing is synced: another start of the machine is another look (rationale 0043).
   */
  async save(sequence: LlamaSequence, tokens: Uint32Array, saveTo: string): Promise<Saving> {
    const partial = `${saveTo}.part`;
    const expected = stateBytes(this.#shape, tokens.length);
    let fd: number | undefined;
    try {
      await requireSpace(saveTo, expected);
      const { fileSize } = await sequence.saveStateToFile(partial);
      fd = openSync(partial, 'r');
      const stats = fstatSync(fd, { bigint: true });
      const size = Number(stats.size);
      // A nearly full disk leaves a short file, and the native writer reports success.
      if (size !== fileSize || size !== expected) throw full(saveTo, `${size} of ${expected} bytes were written`);
      checkStateStructure({ fd }, partial, tokens, this.#shape);
      renameSync(partial, saveTo);
      const digest = digestAndClose(fd);
      // Whoever waits for it is told.
      digest.catch(() => undefined);
      return { bytes: size, written: writtenInode(stats), digest };
    } catch (error) {
      if (fd !== undefined) closeSync(fd);
      await rm(partial, { force: true }).catch(() => undefined);
      throw await asSaveError(error, saveTo, expected);
    }
  }
}

async function digestAndClose(fd: number): Promise<string> {
  try {
    return await setImmediate().then(() => digestFile({ fd }));
  } finally {
    closeSync(fd);
  }
}

function openState(path: string): number {
  try {
    // What is no file is not waited for.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw refuse(path, `cannot be opened (${(error as NodeJS.ErrnoException).code})`);
  }
}

async function requireSpace(path: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path));
  if (bavail * bsize < bytes) throw full(path, `${bytes} bytes are needed, ${bavail * bsize} are free`);
}

// The native writer's own failure names no reason: a disk that is full by now is the likeliest.
async function asSaveError(error: unknown, path: string, bytes: number): Promise<unknown> {
  if (error instanceof CtxError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT') return full(path, 'the disk is full');
  const left = await statfs(dirname(path)).catch(() => undefined);
  if (code === undefined && left !== undefined && left.bavail * left.bsize < bytes) return full(path, 'the disk is full');
  return new CtxError('engine.save', 'EIO', `the state could not be saved: ${error instanceof Error ? error.message : String(error)}`, {
    where: path,
    next: 'look at the directory and its disk, then read the pack again',
    cause: error,
  });
}

function full(where: string, what: string): CtxError {
  return new CtxError('engine.disk_full', 'ENOSPC', `the state does not fit on the disk: ${what}`, {
    where,
    next: 'free space, or lower the bound: ctx gc',
  });
}

function refuse(where: string, what: string): CtxError {
  return new CtxError('engine.state', 'EINVAL', `the saved state ${what}`, { where, next: 'nothing to do: it is built again from source' });
}
