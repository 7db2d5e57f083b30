// Saved state on disk: verified before the native loader sees it, written so that a short or torn file never has the name.
import { fstatSync } from 'node:fs';
import { open, rename, rm, statfs } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CtxError } from '../../abi/errors.ts';
import { checkStateStructure, digestFile, stateBytes } from '../state-file.ts';
import type { StateShape } from '../state-file.ts';
import { holdsSeal, quickSum, sealIdentity, writtenInode } from '../state-seal.ts';
import type { ArtifactFile, SavedFile } from '../types.ts';
import type { LlamaSequence } from './native.ts';

/** A file whose content changed in the same tick as it was read could look unchanged: only older ones are remembered. */
const SETTLED_MS = 2000;

export class SavedStates {
  readonly #shape: StateShape;
  /** Identity of a file on disk to the digest that was computed of it here. */
  readonly #verified = new Map<string, string>();

  constructor(shape: StateShape) {
    this.#shape = shape;
  }

  /**
   * Calls `load` with a path to the verified bytes: the path names the open file, so that nothing put in its place
   * meanwhile is loaded. Throws `engine.state` for anything that is not exactly the file it should be.
   */
  async withVerified(base: ArtifactFile, signal: AbortSignal, load: (path: string) => Promise<void>): Promise<void> {
    const file = await openState(base.path);
    try {
      const stats = fstatSync(file.fd, { bigint: true });
      if (stats.size !== BigInt(base.bytes)) throw refuse(base.path, `has ${stats.size} bytes, not ${base.bytes}`);
      checkStateStructure(file, base.path, base.tokens, this.#shape);
      const identity = `${stats.dev}:${sealIdentity(stats)}`;
      if (this.#verified.get(identity) !== base.digest) {
        if (!(await holdsSeal(file, stats, base.seal, signal))) {
          const digest = await digestFile(file, signal);
          if (digest !== base.digest) throw refuse(base.path, 'is not the file that was saved: its digest differs');
        }
        if (Date.now() - Number(stats.ctimeMs) > SETTLED_MS) this.#verified.set(identity, base.digest);
      }
      await load(`/proc/self/fd/${file.fd}`);
    } finally {
      await file.close();
    }
  }

  /** Saves under a temporary name; the name appears with whole, synced, checked bytes or not at all. */
  async save(sequence: LlamaSequence, tokens: Uint32Array, saveTo: string): Promise<SavedFile> {
    const partial = `${saveTo}.part`;
    const expected = stateBytes(this.#shape, tokens.length);
    try {
      await requireSpace(saveTo, expected);
      const { fileSize } = await sequence.saveStateToFile(partial);
      const file = await open(partial, 'r+');
      try {
        const { size } = fstatSync(file.fd);
        // A nearly full disk leaves a short file, and the native writer reports success.
        if (size !== fileSize || size !== expected) throw full(saveTo, `${size} of ${expected} bytes were written`);
        await file.sync();
        checkStateStructure(file, partial, tokens, this.#shape);
        const sum = quickSum();
        const inode = writtenInode(fstatSync(file.fd, { bigint: true }));
        const digest = await digestFile(file, undefined, sum.update);
        await rename(partial, saveTo);
        await syncDirectory(dirname(saveTo));
        return { bytes: size, digest, written: { inode, xxh64: sum.hex() } };
      } finally {
        await file.close();
      }
    } catch (error) {
      await rm(partial, { force: true }).catch(() => undefined);
      throw await asSaveError(error, saveTo, expected);
    }
  }
}

async function openState(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    throw refuse(path, `cannot be opened (${(error as NodeJS.ErrnoException).code})`);
  }
}

async function requireSpace(path: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path));
  if (bavail * bsize < bytes) throw full(path, `${bytes} bytes are needed, ${bavail * bsize} are free`);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
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
