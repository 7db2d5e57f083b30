// `ctx gc` of one session: which cache files its gc.policy lets go. Only derived files are ever looked at here, so that
// GC-1 (history), GC-2 (events) and GC-3 (child results) hold by construction as well as by planGc.
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE_DIR } from '../abi/session-files.ts';
import { parseGcPolicy, planGc } from '../context/gc.ts';
import type { GcFile } from '../context/gc.ts';

export interface GcEntry {
  readonly path: string;
  readonly bytes: number;
  readonly reason: string;
}

/** What swap/ and search are made from is kept as long as swap is. */
const SWAP_CACHE = /^(?:blocks\.|swap-rows|recall\/|contributions)/;

export function planCacheGc(directory: string, policyText: string, nowMs: number, usedMs: number): readonly GcEntry[] {
  const files: GcFile[] = [];
  const real = new Map<string, string>();
  for (const { path, sizeBytes, modifiedMs } of walk(join(directory, CACHE_DIR), '')) {
    // planGc knows files by what they are for.
    const name = SWAP_CACHE.test(path) ? `context/swap/chunk/${path.replaceAll('/', '_')}` : `${CACHE_DIR}/${path}`;
    real.set(name, `${CACHE_DIR}/${path}`);
    files.push({ path: name, sizeBytes, usedMs: Math.max(modifiedMs, usedMs) });
  }
  return planGc({ files, policy: parseGcPolicy(policyText), nowMs })
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
