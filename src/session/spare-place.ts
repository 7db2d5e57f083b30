// DRV-16: where a session's cache lies while its disk takes nothing: in memory, for as long as it is needed.
import { lstatSync, mkdtempSync, readdirSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The first is memory on every Linux; of the other one knows only that it is not the store. */
const PLACES = ['/dev/shm', tmpdir()];
const PREFIX = 'ctxfs-spare-';
/** A cache is at most about half of its history; so much of what is free may it take. */
const CACHE_OF_HISTORY = 0.5;
const OF_FREE = 0.25;
/** What must be free at home beside the cache itself before it goes back. */
const MARGIN_BYTES = 8 << 20;
const PROBE_BYTES = 64 << 10;

/** A directory of our own (mode 0700) with room for the session's cache; undefined where there is none. */
export function takeSparePlace(sessionDirectory: string): string | undefined {
  const needed = filesBytes(sessionDirectory) * CACHE_OF_HISTORY + MARGIN_BYTES;
  for (const place of PLACES)
    try {
      sweep(place);
      if (freeBytes(place) * OF_FREE < needed) continue;
      return mkdtempSync(join(place, `${PREFIX}${process.pid}-`));
    } catch {
      // Not there, or not ours to write.
    }
  return undefined;
}

/** Whether the disk takes again what lies in `spare`; `cache` is where it would go. */
export function takesAgain(sessionDirectory: string, cache: string, spare: string): boolean {
  try {
    if (freeBytes(sessionDirectory) < filesBytes(spare) + MARGIN_BYTES) return false;
    // A quota, or a disk that can only be read, does not show there.
    const probe = join(statSync(cache, { throwIfNoEntry: false }) === undefined ? join(cache, '..') : cache, 'probe.new');
    try {
      writeFileSync(probe, Buffer.alloc(PROBE_BYTES), { mode: 0o600 });
    } finally {
      rmSync(probe, { force: true });
    }
    return true;
  } catch {
    return false;
  }
}

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

function filesBytes(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  return bytes;
}

/** What processes that were killed left behind. */
function sweep(place: string): void {
  for (const name of readdirSync(place)) {
    const pid = Number(new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1] ?? 0);
    const path = join(place, name);
    // Others may write here too: what is theirs could change while it is removed.
    if (pid > 0 && !isAlive(pid) && lstatSync(path, { throwIfNoEntry: false })?.uid === process.getuid?.())
      rmSync(path, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
