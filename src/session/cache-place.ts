// DRV-15: the cache's place in the store, before anything in it is opened.
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Takes the whole cache away where something in it is not what we make there: a FIFO is never waited for, a link never followed. */
export function clearUnusual(cache: string): void {
  if (!isUsual(cache)) rmSync(cache, { recursive: true, force: true });
}

/** Directories have names without a dot and hold files only; everything else is a file with a dot in its name. */
function isUsual(cache: string): boolean {
  const stat = lstatSync(cache, { throwIfNoEntry: false });
  if (stat === undefined) return true;
  if (!stat.isDirectory()) return false;
  return readdirSync(cache, { withFileTypes: true }).every((entry) =>
    entry.name.includes('.')
      ? entry.isFile()
      : entry.isDirectory() && readdirSync(join(cache, entry.name), { withFileTypes: true }).every((file) => file.isFile()),
  );
}
