// A long session on the disk of a store, made without a mount; and what a directory and a process have written.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openOrderLog, type CommitNote } from '../../src/journal/index.ts';
import { initialControls } from '../../src/session/controls.ts';
import { messageText } from './pack-corpus.ts';

const run = promisify(execFile);

/** Bytes in blocks of everything below; hard links count once. */
export async function usage(path: string): Promise<number> {
  return Number.parseInt((await run('du', ['-s', '--block-size=1', path])).stdout, 10);
}

export function writtenBytes(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(fs.readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
}

export function makeSession(directory: string, messages: number): number {
  for (const name of ['context/pinned', 'context/child']) fs.mkdirSync(join(directory, name), { recursive: true });
  for (const [path, text] of initialControls(Date.now(), '/tmp')) fs.writeFileSync(join(directory, path), text);
  fs.writeFileSync(join(directory, 'events.jsonl'), '');
  const fd = fs.openSync(join(directory, 'messages.jsonl'), 'w');
  const log = openOrderLog(directory);
  let endBytes = 0;
  for (let n = 1; n <= messages; n += 2000) {
    const lines = Array.from({ length: Math.min(2000, messages - n + 1) }, (_, k) => messageLine(n + k));
    fs.writeSync(fd, Buffer.concat(lines));
    // Two seconds apart: no two commits share a record.
    const notes = lines.map((line, k): CommitNote => ({
      file: 'messages.jsonl',
      endBytes: (endBytes += line.length),
      lines: 1,
      timeMs: (n + k) * 2000,
    }));
    log.commit(notes);
  }
  log.close();
  fs.closeSync(fd);
  return endBytes;
}

/** 1,000 bytes where the text leaves room: a million of them are a gigabyte. */
export function messageLine(n: number): Buffer {
  const text = messageText(n);
  const mark = createHash('sha512').update(String(n)).digest('hex').repeat(8);
  return Buffer.from(`${text.slice(0, -1)},"mark":"${mark.slice(0, Math.max(0, 988 - Buffer.byteLength(text)))}"}\n`);
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
