// The kernel's mount table, read without touching any mounted filesystem.
import { lstat, readFile, readlink, realpath } from 'node:fs/promises';
import path from 'node:path';

export interface MountEntry {
  readonly mountpoint: string;
  /** For example `fuse.ctxfs`. */
  readonly type: string;
  readonly source: string;
  /** Minor device number: the name of a FUSE connection in fusectl. */
  readonly minor: number;
  /** Options of the superblock (`user_id=…,default_permissions,…`). */
  readonly options: string;
}

export const MOUNT_TYPE = 'fuse.ctxfs';

/** Parses mountinfo (proc(5)): spaces, tabs, newlines and backslashes of paths are octal escapes. */
export function parseMountTable(text: string): readonly MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    // A variable number of optional fields ends with a single hyphen.
    const hyphen = fields.indexOf('-', 6);
    const [, , device, , mountpoint] = fields;
    if (hyphen < 0 || device === undefined || mountpoint === undefined) continue;
    entries.push({
      mountpoint: unescapeOctal(mountpoint),
      type: fields[hyphen + 1] ?? '',
      source: unescapeOctal(fields[hyphen + 2] ?? ''),
      minor: Number(device.split(':')[1]),
      options: fields[hyphen + 3] ?? '',
    });
  }
  return entries;
}

/** The topmost mount exactly at this (already resolved) path; later entries lie over earlier ones. */
export async function mountAt(resolvedPath: string): Promise<MountEntry | undefined> {
  const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
  return table.findLast((entry) => entry.mountpoint === resolvedPath);
}

/**
 * The path with its links resolved, never asking the filesystem that may be mounted there: only its parent is
 * resolved, and the last component is looked at only when no mount covers it. A missing parent is kept as written.
 */
export async function resolveMountpoint(mountpoint: string): Promise<string> {
  let current = path.resolve(mountpoint);
  for (let links = 0; links < 40; links++) {
    const parent = await realpath(path.dirname(current)).catch(() => path.dirname(current));
    current = path.join(parent, path.basename(current));
    if ((await mountAt(current)) !== undefined) return current;
    const stat = await lstat(current).catch(() => undefined);
    if (stat === undefined || !stat.isSymbolicLink()) return current;
    current = path.resolve(parent, await readlink(current));
  }
  return current;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
