// Recorded inputs: `inputs/<sha256 hex>` holds the bytes, `inputs.jsonl` one line a version (path, digest, time).
// JRN: the bytes are durable before the line, the line before its order record.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { parseDigest } from '../abi/digest.ts';
import { readChain } from './chain-segments.ts';
import { nodeDisk, readWhole, syncDirectory, writeFully, type Disk } from './disk.ts';
import { isSealedTwin } from './layout.ts';

export const INPUTS_DIR = 'inputs';
export const INPUTS_FILE = 'inputs.jsonl';

export interface RecordedInput {
  readonly path: string;
  /** Undefined: the file is gone. */
  readonly digest: string | undefined;
  readonly timeMs: number;
}

export interface ReadInputs {
  readonly inputs: RecordedInput[];
  readonly lines: Buffer[];
  /** Of them, those that are sealed. */
  readonly first: number;
  /** Where the good lines of `inputs.jsonl` end, and how long it is. */
  readonly sizeBytes: number;
  readonly fileBytes: number;
}

/** Parses whole lines of the sealed pieces and of the active file; stops at the first that is not ours (a torn end). */
export function readInputs(directory: string, disk: Disk = nodeDisk): ReadInputs {
  const inputs: RecordedInput[] = [];
  const lines: Buffer[] = [];
  const take = (bytes: Buffer, count: number): number => {
    let from = 0;
    for (let at = bytes.indexOf(10); at >= 0 && count > 0; at = bytes.indexOf(10, from), count--) {
      const line = bytes.subarray(from, at + 1);
      const input = decodeInput(line);
      if (input === undefined) break;
      inputs.push(input);
      lines.push(line);
      from = at + 1;
    }
    return from;
  };
  const path = join(directory, INPUTS_FILE);
  const chain = readChain(directory, 'inputs', disk);
  for (const piece of chain) take(readWhole(disk, piece.path) ?? Buffer.alloc(0), piece.count);
  const first = inputs.length;
  const bytes = isSealedTwin(disk, path, chain.at(-1)?.path) ? undefined : readWhole(disk, path);
  const sizeBytes = take(bytes ?? Buffer.alloc(0), Infinity);
  return { inputs, lines, first, sizeBytes, fileBytes: bytes?.length ?? 0 };
}

export function encodeInput(input: RecordedInput): Buffer {
  return Buffer.from(
    `${JSON.stringify({ path: input.path, digest: input.digest === undefined ? null : input.digest.replace('sha256-', 'sha256:'), time: input.timeMs })}\n`,
  );
}

function decodeInput(line: Buffer): RecordedInput | undefined {
  try {
    const value = JSON.parse(line.toString('utf8')) as { path?: unknown; digest?: unknown; time?: unknown };
    if (typeof value.path !== 'string' || typeof value.time !== 'number') return undefined;
    if (value.digest === null) return { path: value.path, digest: undefined, timeMs: value.time };
    const digest = typeof value.digest === 'string' ? parseDigest(value.digest) : undefined;
    return digest?.full === true ? { path: value.path, digest: `sha256-${digest.hex}`, timeMs: value.time } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Stores bytes by digest: temporary names, fsync, rename, then one fsync of the directory for all of them. Bytes that are there
 * are not written again, unless to `replace` them.
 */
export function storeInputs(
  directory: string,
  inputs: readonly (readonly [digest: string, bytes: Buffer])[],
  disk: Disk = nodeDisk,
  replace: boolean = false,
): void {
  if (inputs.length === 0) return;
  const folder = join(directory, INPUTS_DIR);
  if (!disk.existsSync(folder)) {
    disk.mkdirSync(folder, { recursive: true, mode: 0o700 });
    syncDirectory(disk, directory);
  }
  for (const [digest, bytes] of inputs) {
    const path = join(folder, hexOf(digest));
    if (!replace && disk.existsSync(path) && disk.statSync(path).size === bytes.length) continue;
    const temporary = join(folder, `.${hexOf(digest)}.new`);
    const fd = disk.openSync(temporary, 'w', 0o600);
    try {
      writeFully(disk, fd, bytes);
      disk.fsyncSync(fd);
    } finally {
      disk.closeSync(fd);
    }
    disk.renameSync(temporary, path);
  }
  // Also for those that were there: whoever renamed them may have ended before this.
  syncDirectory(disk, folder);
}

/** The bytes of a digest, checked. */
export function loadInput(directory: string, digest: string, disk: Disk = nodeDisk): Buffer {
  const hex = hexOf(digest);
  const path = join(directory, INPUTS_DIR, hex);
  const bytes = readWhole(disk, path);
  if (bytes === undefined)
    throw new CtxError('journal.input_missing', 'ENOENT', `no recorded input ${digest}`, { where: path, next: 'run ctx fsck' });
  if (createHash('sha256').update(bytes).digest('hex') !== hex) {
    throw new CtxError('journal.input_damaged', 'EIO', 'the recorded input does not match its digest', {
      where: path,
      next: 'run ctx fsck',
    });
  }
  return bytes;
}

export function hexOf(digest: string): string {
  const parsed = parseDigest(digest);
  if (parsed?.full !== true) throw new CtxError('journal.bad_digest', 'EINVAL', `not a full digest: ${digest}`);
  return parsed.hex;
}
