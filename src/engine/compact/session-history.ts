// A session's history as compaction reads it, from its files on the mount: lines are found by counting newlines, and read and
// parsed only where they are asked for, so that memory does not grow with history.
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

import { digestOf } from '../../abi/digest.ts';
import { viewMessage } from '../../abi/records.ts';
import { parsedObject } from '../json-fields.ts';
import { BLOCK_MESSAGES, type CompactMessage, type MessageSource } from './blocks.ts';

const PIECE_BYTES = 1 << 20;
const NEWLINE = 10;

/** messages.jsonl as it is now; what is appended later is not in it. One pass over its bytes, then only what is asked for. */
export async function openMessages(path: string): Promise<MessageSource> {
  /** Where each 64th line begins: 0, 64, 128, … */
  const starts: number[] = [0];
  let length = 0;
  let end = 0;
  await eachPiece(path, 0, (piece, offset) => {
    for (let at = piece.indexOf(NEWLINE); at >= 0; at = piece.indexOf(NEWLINE, at + 1)) {
      length += 1;
      end = offset + at + 1;
      if (length % BLOCK_MESSAGES === 0) starts.push(end);
    }
  });
  return {
    length,
    async slice(from, to) {
      const last = Math.min(to, length);
      if (from >= last) return [];
      const first = Math.floor(from / BLOCK_MESSAGES);
      const bytes = await readRange(path, starts[first] ?? 0, starts[Math.ceil(last / BLOCK_MESSAGES)] ?? end);
      const lines = bytes.toString('utf8').split('\n');
      return lines
        .slice(from - first * BLOCK_MESSAGES, last - first * BLOCK_MESSAGES)
        .map((raw, index) => readMessage(raw, from + index + 1));
    },
  };
}

/** Calls and results are readable text too. A line that is no message (written around us) says nothing. */
function readMessage(raw: string, line: number): CompactMessage {
  const view = viewMessage(parsedObject(raw) ?? { role: 'system' });
  const calls = view.toolCalls.map(({ name, arguments: given }) => `[call ${name} ${given}]`);
  const results = view.toolResults.map(({ text }) => text);
  const text = [view.text, ...calls, ...results].filter((piece) => piece !== '').join('\n');
  return { line, role: view.role, text, digest: digestOf(raw) };
}

type Event = Readonly<Record<string, unknown>>;

/** What compaction itself and contributors wrote to events.jsonl, and what they write meanwhile. */
export class ContributedEvents {
  readonly #path: string;
  #readBytes = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Those since the last call. A line that is not whole yet comes with the next. */
  async since(): Promise<readonly Event[]> {
    const events: Event[] = [];
    let rest: Buffer = Buffer.alloc(0);
    await eachPiece(this.#path, this.#readBytes, (piece) => {
      const bytes = Buffer.concat([rest, piece]);
      const end = bytes.lastIndexOf(NEWLINE) + 1;
      for (const line of bytes.toString('utf8', 0, end).split('\n')) {
        const event = line.includes('"context.') ? parsedObject(line) : undefined;
        if (event !== undefined) events.push(event);
      }
      this.#readBytes += end;
      rest = Buffer.from(bytes.subarray(end));
    });
    return events;
  }
}

async function eachPiece(path: string, from: number, take: (piece: Buffer, offset: number) => void): Promise<void> {
  await withFile(path, async (file) => {
    const piece = Buffer.alloc(PIECE_BYTES);
    for (let offset = from; ;) {
      const { bytesRead } = await file.read(piece, 0, piece.length, offset);
      if (bytesRead === 0) return;
      take(piece.subarray(0, bytesRead), offset);
      offset += bytesRead;
    }
  });
}

async function readRange(path: string, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.alloc(end - start);
  await withFile(path, async (file) => {
    for (let done = 0; done < bytes.length;) {
      const { bytesRead } = await file.read(bytes, done, bytes.length - done, start + done);
      if (bytesRead === 0) return;
      done += bytesRead;
    }
  });
  return bytes;
}

// Open for a moment only: nothing holds the mount while a model thinks.
async function withFile(path: string, work: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, 'r');
  try {
    await work(file);
  } finally {
    await file.close();
  }
}
