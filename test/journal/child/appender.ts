// A process that appends and says on fd 1 what was acknowledged; its parent kills it or limits its file size.
import * as fs from 'node:fs';
import { openSessionJournals, type JournalWriter, type SessionJournals } from '../../../src/journal/index.ts';

const [mode, ...rest] = process.argv.slice(2);

if (mode === 'storm') storm(rest);
else if (mode === 'limit') limit(rest[0] as string);
else throw new Error(`unknown mode ${String(mode)}`);

/** Appends to every session until killed: whole lines, pieces, several lines a WRITE, and now and then a fork-like reopen. */
function storm(directories: readonly string[]): void {
  const sessions = directories.map((directory) => ({ journals: openSessionJournals(directory), next: Date.now() * 1000 }));
  for (let step = 0; ; step++) {
    for (const [index, session] of sessions.entries()) {
      const id = session.next++;
      const line = Buffer.from(`${JSON.stringify({ role: 'user', id, content: 'x'.repeat((id * 31) % 5000) })}\n`);
      const more = step % 5 === 0 ? Buffer.from(`${JSON.stringify({ role: 'user', id: session.next++ })}\n`) : Buffer.alloc(0);
      const bytes = Buffer.concat([line, more]);
      const cut = step % 3 === 0 ? bytes.length : Math.floor(bytes.length / 2);
      writeAll(session.journals.messages, bytes.subarray(0, cut));
      if (cut < bytes.length) writeAll(session.journals.messages, bytes.subarray(cut));
      if (step % 17 === 0) refuse(session.journals);
      fs.writeSync(1, `${index} ${session.next - 1}\n`);
    }
  }
}

function writeAll(journal: JournalWriter, bytes: Buffer): void {
  for (let done = 0; done < bytes.length;) done += journal.write('1:a', bytes.subarray(done));
}

function refuse(journals: SessionJournals): void {
  try {
    journals.messages.write('2:a', Buffer.from('never valid\n'));
  } catch {
    // EINVAL, as it should be.
  }
}

/** Writes batches of 7 lines until the file size limit (RLIMIT_FSIZE) stops them, and reports each outcome. */
function limit(directory: string): void {
  const { messages } = openSessionJournals(directory);
  for (let id = 0, failures = 0; failures < 2;) {
    const batch = Buffer.from(
      Array.from({ length: 7 }, (_, index) => `${JSON.stringify({ role: 'user', id: id + index, content: 'y'.repeat(100) })}\n`).join(''),
    );
    try {
      const taken = messages.write('1:a', batch);
      const lines = batch.subarray(0, taken).toString('latin1').split('\n').length - 1;
      id += lines;
      fs.writeSync(
        1,
        `${JSON.stringify({ taken, lines, whole: taken === batch.length, atLineEnd: batch[taken - 1] === 10, size: messages.sizeBytes })}\n`,
      );
    } catch (error) {
      failures++;
      const { code, errno } = error as { code: string; errno: string };
      fs.writeSync(
        1,
        `${JSON.stringify({ code, errno, size: messages.sizeBytes, onDisk: fs.statSync(`${directory}/messages.jsonl`).size })}\n`,
      );
    }
  }
}
