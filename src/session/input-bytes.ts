// Bytes of recorded inputs, and of the files that they are recorded from.
import { isUtf8 } from 'node:buffer';
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf } from '../abi/digest.ts';
import { CtxError } from '../abi/errors.ts';
import type { OrderLog } from '../journal/types.ts';

/** Larger files are not recorded: no pack could hold them. */
export const MAX_INPUT_BYTES: number = 4 << 20;

/**
 * The bytes that the log records for this path. INP-3: when the stored copy is damaged or gone and the file itself still
 * has those bytes, it is stored again; undefined when nobody has them any more.
 */
export function recordedBytes(directory: string, log: OrderLog, path: string, digest: string): Buffer | undefined {
  try {
    return log.inputBytes(digest);
  } catch (error) {
    if (!(error instanceof CtxError) || !LOST.has(error.code)) throw error;
    const bytes = readInput(inputFile(directory, path));
    if (bytes === undefined || digestOf(bytes) !== digest) return undefined;
    try {
      log.restoreInput(bytes);
    } catch {
      // A full or read-only disk: the file serves for now.
    }
    return bytes;
  }
}

const LOST: ReadonlySet<string> = new Set(['journal.input_damaged', 'journal.input_missing']);

/** INP-4: a name as it is recorded: itself, or (not UTF-8) with `\xHH` for each byte beyond printable ASCII and each backslash. */
export function recordedName(name: Buffer): string {
  if (isUtf8(name)) return name.toString('utf8');
  return name.toString('latin1').replace(/[^ -[\]-~]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** The file that a recorded path names: bytes where its name is not UTF-8. A file with the very name comes first. */
export function inputFile(directory: string, path: string): string | Buffer {
  const file = join(directory, path);
  if (!path.includes('\\x') || exists(file)) return file;
  const raw = Buffer.from(
    path.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
  return isUtf8(raw) ? file : Buffer.concat([Buffer.from(`${directory}/`), raw]);
}

function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/**
 * Bytes of a regular file, reached without following a symbolic link in its last two names: the owner of the session may
 * exchange them at any moment, and this process may read more than that owner.
 */
export function readInput(path: string | Buffer): Buffer | undefined {
  const bytes = Buffer.from(path);
  const cut = bytes.lastIndexOf(0x2f);
  let directory: number | undefined;
  let file: number | undefined;
  try {
    directory = openSync(bytes.subarray(0, cut), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    file = openSync(
      Buffer.concat([Buffer.from(`/proc/self/fd/${directory}`), bytes.subarray(cut)]),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    const stats = fstatSync(file);
    return stats.isFile() && stats.size <= MAX_INPUT_BYTES ? readFileSync(file) : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
    if (directory !== undefined) closeSync(directory);
  }
}
