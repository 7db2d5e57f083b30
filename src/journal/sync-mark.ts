// `sync.mark`: how far each journal is known to be on the disk, and in which boot of the machine that was said.
// Within one boot the page cache is whole, so a reopen after a killed daemon needs no check; after another boot the
// bytes past the mark are searched for holes. Written after the fsync it tells of, so it may be behind, never ahead.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { nodeDisk, readWhole, writeFully, type Disk } from './disk.ts';

export const MARK_FILE = 'sync.mark';

export interface SyncMark {
  readonly boot: string;
  readonly messages: number;
  readonly events: number;
}

const WIDTH = 192;

/** The machine's boot id, or a value that never matches where there is none (then every reopen checks). */
export function currentBoot(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}

/** Undefined when missing or damaged: then nothing is known to be durable. */
export function readMark(directory: string, disk: Disk = nodeDisk): SyncMark | undefined {
  const bytes = readWhole(disk, join(directory, MARK_FILE));
  if (bytes === undefined) return undefined;
  const text = bytes.toString('latin1').trimEnd();
  const cut = text.lastIndexOf(' ');
  if (cut < 0 || text.slice(cut + 1) !== checksum(text.slice(0, cut))) return undefined;
  try {
    return JSON.parse(text.slice(0, cut)) as SyncMark;
  } catch {
    return undefined;
  }
}

/** One fixed-width write in place: a torn one fails its checksum and counts as missing. */
export function writeMark(directory: string, mark: SyncMark, disk: Disk = nodeDisk): void {
  const body = JSON.stringify({ boot: mark.boot, messages: mark.messages, events: mark.events });
  const line = `${`${body} ${checksum(body)}`.padEnd(WIDTH - 1)}\n`;
  const fd = disk.openSync(join(directory, MARK_FILE), fs.constants.O_WRONLY | fs.constants.O_CREAT, 0o600);
  try {
    writeFully(disk, fd, Buffer.from(line, 'latin1'), 0);
  } finally {
    disk.closeSync(fd);
  }
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
