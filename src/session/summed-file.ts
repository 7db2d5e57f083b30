// A JSON value in the cache under its own sum: what reads back is what was written, or nothing (DRV-11).
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';

/** Appears whole or not at all. What is there already is not written again: a session that was only looked at costs no rename. */
export function writeSummed(path: string, value: unknown): void {
  const text = JSON.stringify(value);
  const bytes = Buffer.from(`${sumOf(text)}\n${text}`);
  if (holds(path, bytes)) return;
  writeFileSync(`${path}.new`, bytes, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Undefined when it is not there, or not as it was written. */
export function readSummed(path: string): unknown {
  try {
    const bytes = readFileSync(path, 'utf8');
    const end = bytes.indexOf('\n');
    const text = bytes.slice(end + 1);
    return end > 0 && bytes.slice(0, end) === sumOf(text) ? (JSON.parse(text) as unknown) : undefined;
  } catch {
    return undefined;
  }
}

/** All of it: a file that is damaged behind its sum is not what was written. */
function holds(path: string, bytes: Buffer): boolean {
  try {
    return statSync(path).size === bytes.length && readFileSync(path).equals(bytes);
  } catch {
    return false;
  }
}

function sumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
