// What lies in the artifact cache, what it takes, and what goes first. Reads names and times only, never state.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { ARTIFACT_NAME, listNames, missing, TEMPORARY_NAME } from './artifact-files.ts';

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
export async function takeInventory(kvDirectory: string): Promise<Inventory> {
  const artifacts: StoredArtifact[] = [];
  const temporaries: StoredTemporary[] = [];
  const models = (await listNames(kvDirectory)).map((name) => join(kvDirectory, name));
  // References are written under temporary names too.
  for (const directory of [...models, join(kvDirectory, '..', 'refs')]) {
    const parts = new Map<string, { bytes: number; usedMs: number; whole: boolean }>();
    for (const name of await listNames(directory)) {
      const stats = await missing(fs.stat(join(directory, name)));
      if (stats === undefined || !stats.isFile()) continue;
      const pid = TEMPORARY_NAME.exec(name)?.[1];
      if (pid !== undefined) {
        temporaries.push({ path: join(directory, name), pid: Number(pid), bytes: stats.size, modifiedMs: stats.mtimeMs });
        continue;
      }
      const [, key, kind] = ARTIFACT_NAME.exec(name) ?? [];
      if (key === undefined) continue;
      const part = parts.get(key) ?? { bytes: 0, usedMs: 0, whole: false };
      parts.set(key, {
        bytes: part.bytes + stats.size,
        usedMs: kind === 'json' || !part.whole ? stats.mtimeMs : part.usedMs,
        whole: part.whole || kind === 'json',
      });
    }
    for (const [key, part] of parts) artifacts.push({ directory, key, ...part });
  }
  const bytes = [...artifacts, ...temporaries].reduce((sum, entry) => sum + entry.bytes, 0);
  return { artifacts, temporaries, bytes };
}

/** ENG-7: the longest unused first, as many as give back `bytes`; `spare` never. */
export function leastRecentlyUsed(
  artifacts: readonly StoredArtifact[],
  bytes: number,
  spare: (artifact: StoredArtifact) => boolean,
): readonly StoredArtifact[] {
  const chosen: StoredArtifact[] = [];
  let given = 0;
  for (const artifact of [...artifacts].sort((a, b) => a.usedMs - b.usedMs || (a.key < b.key ? -1 : 1))) {
    if (given >= bytes) break;
    if (spare(artifact)) continue;
    chosen.push(artifact);
    given += artifact.bytes;
  }
  return chosen;
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
