// `ctx gc` of one session: which cache files its gc.policy lets go. Only derived files are ever looked at here, so that
// GC-1 (history), GC-2 (events) and GC-3 (child results) hold by construction as well as by planGc.
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE_DIR } from '../abi/session-files.ts';
import { planGc } from '../context/gc.ts';
import type { GcFile, GcPolicy } from '../context/gc.ts';
import { blobName } from './output-files.ts';

export interface GcEntry {
  readonly path: string;
  readonly bytes: number;
  readonly reason: string;
}

/** What swap/ and search are made from is kept as long as swap is. */
const SWAP_CACHE = /^(?:blocks\.|swap-rows|recall\/|contributions)/;

/** `blobs`: how often the content of each dedup blob occurs, by digest. */
export function planCacheGc(
  directory: string,
  policy: GcPolicy,
  nowMs: number,
  usedMs: number,
  blobs: ReadonlyMap<string, number>,
): readonly GcEntry[] {
  const references = new Map([...blobs].map(([digest, count]) => [`out/${blobName(digest)}`, count]));
  const files: GcFile[] = [];
  const real = new Map<string, string>();
  for (const { path, sizeBytes, modifiedMs } of walk(join(directory, CACHE_DIR), '')) {
    // planGc knows files by what they are for.
    const count = references.get(path) ?? Infinity;
    const name = SWAP_CACHE.test(path)
      ? `context/swap/chunk/${path.replaceAll('/', '_')}`
      : count < policy.dedupMinRefs
        ? `context/dedup/blob/${path.slice('out/'.length)}`
        : `${CACHE_DIR}/${path}`;
    real.set(name, `${CACHE_DIR}/${path}`);
    files.push({ path: name, sizeBytes, usedMs: Math.max(modifiedMs, usedMs), references: count });
  }
  return planGc({ files, policy, nowMs })
    .map((entry) => ({ path: real.get(entry.path) as string, bytes: entry.sizeBytes, reason: entry.reason }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

export function removeCacheFiles(directory: string, entries: readonly GcEntry[]): void {
  for (const entry of entries) rmSync(join(directory, entry.path), { force: true });
}

function* walk(
  directory: string,
  below: string,
): Generator<{ readonly path: string; readonly sizeBytes: number; readonly modifiedMs: number }> {
  let names: string[];
  try {
    names = readdirSync(join(directory, below));
  } catch {
    return;
  }
  for (const name of names) {
    const path = below === '' ? name : `${below}/${name}`;
    const stats = statSync(join(directory, path), { throwIfNoEntry: false });
    if (stats === undefined) continue;
    if (stats.isDirectory()) yield* walk(directory, path);
    else yield { path, sizeBytes: stats.size, modifiedMs: stats.mtimeMs };
  }
}
