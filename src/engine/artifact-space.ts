// What lies in the artifact cache, what it takes, and what goes first. Reads names and times only, never state.
import { statSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { basename, join } from 'node:path';
import { artifactPath, TEMPORARY_NAME } from './artifact-files.ts';
import { listNamesNow } from './sharded-files.ts';
import type { ArtifactShelf } from './artifact-shelf.ts';

export interface StoredArtifact {
  readonly directory: string;
  readonly key: string;
  /** All of its files. */
  readonly bytes: number;
  /** The meta file's mtime: {@link touch} moves it. */
  readonly usedMs: number;
  /** Without a meta file it is nothing yet, or nothing any more. */
  readonly whole: boolean;
}

export interface StoredTemporary {
  readonly path: string;
  readonly pid: number;
  readonly bytes: number;
  readonly modifiedMs: number;
}

export interface Inventory {
  readonly artifacts: readonly StoredArtifact[];
  readonly temporaries: readonly StoredTemporary[];
  readonly bytes: number;
}

/** A listing at one moment: what others add or remove meanwhile may or may not be in it. */
export function takeInventory(shelf: ArtifactShelf, refsDirectory: string): Inventory {
  const indexes = shelf.indexes();
  const artifacts = indexes.flatMap((index) => [...index.artifacts()]);
  // References are written under temporary names too.
  const beside = listNamesNow(refsDirectory).map((name) => join(refsDirectory, name));
  const temporaries = [...indexes.flatMap(({ others }) => others), ...beside].flatMap((path) => temporaryAt(path) ?? []);
  const bytes = indexes.reduce((sum, index) => sum + index.bytes, 0) + temporaries.reduce((sum, file) => sum + file.bytes, 0);
  return { artifacts, temporaries, bytes };
}

function temporaryAt(path: string): StoredTemporary | undefined {
  const pid = TEMPORARY_NAME.exec(basename(path))?.[1];
  const stats = pid === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
  return stats?.isFile() === true ? { path, pid: Number(pid), bytes: stats.size, modifiedMs: stats.mtimeMs } : undefined;
}

/**
 * ENG-7: the longest unused first, as many as give back `bytes`; `spare` never. What is known of a use may be old, and never
 * too new: who comes first is looked at again, and goes back in line where it was used since.
 */
export function leastRecentlyUsed(
  artifacts: readonly StoredArtifact[],
  bytes: number,
  spare: (artifact: StoredArtifact) => boolean,
): readonly StoredArtifact[] {
  const chosen: StoredArtifact[] = [];
  const line = artifacts.filter((artifact) => !spare(artifact)).sort((a, b) => a.usedMs - b.usedMs || (a.key < b.key ? -1 : 1));
  let given = 0;
  while (given < bytes) {
    const first = line.shift();
    if (first === undefined) break;
    const usedMs = lastUse(first);
    if (usedMs > first.usedMs) {
      const at = line.findIndex((other) => other.usedMs > usedMs);
      line.splice(at === -1 ? line.length : at, 0, { ...first, usedMs });
    } else {
      chosen.push(first);
      given += first.bytes;
    }
  }
  return chosen;
}

function lastUse({ directory, key, usedMs }: StoredArtifact): number {
  return statSync(artifactPath(directory, key, 'json'), { throwIfNoEntry: false })?.mtimeMs ?? usedMs;
}

const DAY_MS = 24 * 3600 * 1000;

/** A temporary file goes when its writer is dead, or after a day whoever wrote it. */
export function isAbandoned(file: StoredTemporary, nowMs: number): boolean {
  return nowMs - file.modifiedMs > DAY_MS || !isAlive(file.pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Bytes that an ordinary process may still write on the disk of a directory. */
export async function freeBytes(directory: string): Promise<{ readonly free: number; readonly size: number }> {
  const { bavail, bsize, blocks } = await fs.statfs(directory);
  return { free: bavail * bsize, size: blocks * bsize };
}
