// A JSON value in the cache under its own sum: what reads back is what was written, or nothing (DRV-11).
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, readSync, renameSync, writeFileSync } from 'node:fs';

/** Appears whole or not at all. What is there already is not written again: a session that was only looked at costs no rename. */
export function writeSummed(path: string, value: unknown): void {
  const text = JSON.stringify(value);
  const head = `${sumOf(text)}\n`;
  if (begins(path, head, Buffer.byteLength(text))) return;
  writeFileSync(`${path}.new`, head + text, { mode: 0o600 });
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

/** Whether a file has this head, and so many bytes behind it. */
function begins(path: string, head: string, restBytes: number): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return false;
  }
  try {
    const found = Buffer.alloc(head.length);
    return (
      fstatSync(fd).size === head.length + restBytes &&
      readSync(fd, found, 0, found.length, 0) === found.length &&
      found.equals(Buffer.from(head))
    );
  } finally {
    closeSync(fd);
  }
}

function sumOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
