// `ctx run --watch`: answers user messages that any program appends to the file. What stands last decides: a session whose
// last message is a user's waits for an answer, also after a restart; our own lines never do.
import { watch, type FSWatcher } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { ChatMessage } from '../engine/types.ts';
import type { ChatOutput } from './chat-output.ts';
import type { ChatSession } from './chat-session.ts';
import { describeFailure } from './errors.ts';
import type { Shell } from './shell.ts';

/** Changes made through this mount raise inotify events; a look each so often covers what does not. */
const LOOK_MS = 2_000;
const PIECE_BYTES = 64 * 1024;

export async function watchSession(shell: Shell, chat: ChatSession, output: ChatOutput, stop: AbortSignal): Promise<void> {
  const path = join(chat.directory, 'messages.jsonl');
  let changed = true;
  let wake: () => void = () => undefined;
  const watcher = watching(path, () => {
    changed = true;
    wake();
  });
  const stopped = (): void => wake();
  stop.addEventListener('abort', stopped);
  /** Length of the file at which an answer failed: it is tried again when something comes. */
  let failedAt = -1;
  try {
    shell.terminal.note('ctx: watching; interrupt to stop');
    while (!stop.aborted) {
      changed = false;
      const { bytes, role } = await lastMessage(path);
      if (role === 'user' && bytes !== failedAt) failedAt = (await answered(shell, chat, path, output, stop)) ? -1 : bytes;
      if (changed || stop.aborted) continue;
      const look = new AbortController();
      await Promise.race([
        new Promise<void>((resolve) => (wake = resolve)),
        sleep(LOOK_MS, undefined, { signal: look.signal }).catch(() => undefined),
      ]);
      look.abort();
    }
  } finally {
    stop.removeEventListener('abort', stopped);
    watcher?.close();
  }
}

/** Undefined where no more watches are to be had: then looking now and then must do. */
function watching(path: string, onChange: () => void): FSWatcher | undefined {
  try {
    return watch(path, onChange).on('error', () => undefined);
  } catch {
    return undefined;
  }
}

/** Answers until nobody waits; false when an answer failed. */
async function answered(shell: Shell, chat: ChatSession, path: string, output: ChatOutput, stop: AbortSignal): Promise<boolean> {
  let waiting = 0;
  try {
    do {
      const late = waiting;
      const outcome = await chat.answer(output, stop, (messages) => inOrder(messages, late));
      if (outcome.stop === 'aborted') return true;
      // Who wrote while the answer was on its way stands before it in the file, and is answered now.
      waiting = await usersBetween(path, chat.sent?.end ?? 0, chat.answerLine ?? '');
    } while (waiting > 0);
    return true;
  } catch (error) {
    if (stop.aborted) return true;
    shell.terminal.note(`ctx: ${describeFailure(error, false)}`);
    return false;
  }
}

/** `late` user messages that stand before an answer which knew nothing of them go after it. */
export function inOrder(messages: readonly ChatMessage[], late: number): readonly ChatMessage[] {
  const answer = messages.at(-1);
  const users = messages.slice(-1 - late, -1);
  if (late === 0 || answer?.role !== 'assistant' || users.length !== late || users.some(({ role }) => role !== 'user')) return messages;
  return [...messages.slice(0, -1 - late), answer, ...users];
}

/** User messages between a place in the file and the line that we appended after it. */
async function usersBetween(path: string, from: number, ours: string): Promise<number> {
  const lines = (await readFrom(path, from)).toString('utf8').split('\n');
  const end = lines.lastIndexOf(ours);
  return lines.slice(0, Math.max(end, 0)).filter((line) => roleOf(line) === 'user').length;
}

async function lastMessage(path: string): Promise<{ readonly bytes: number; readonly role: string | undefined }> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    let tail: Buffer = Buffer.alloc(0);
    for (let at = size; at > 0;) {
      const start = Math.max(0, at - PIECE_BYTES);
      const piece = Buffer.alloc(at - start);
      const { bytesRead } = await file.read(piece, 0, piece.length, start);
      tail = Buffer.concat([piece.subarray(0, bytesRead), tail]);
      at = start;
      const end = tail.at(-1) === 0x0a ? tail.length - 1 : tail.length;
      const begin = tail.lastIndexOf(0x0a, end - 1);
      if (begin >= 0 || start === 0) return { bytes: size, role: roleOf(tail.toString('utf8', begin + 1, end)) };
    }
    return { bytes: size, role: undefined };
  } finally {
    await file.close();
  }
}

async function readFrom(path: string, from: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.max(0, size - from));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, from);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function roleOf(line: string): string | undefined {
  try {
    const { role } = JSON.parse(line) as { role?: unknown };
    return typeof role === 'string' ? role : undefined;
  } catch {
    return undefined;
  }
}

/** The role of the newest message of a session; undefined: it has none. */
export async function lastRole(session: string): Promise<string | undefined> {
  return (await lastMessage(join(session, 'messages.jsonl'))).role;
}
