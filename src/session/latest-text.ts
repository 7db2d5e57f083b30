// The newest assistant text of a history, looked for from its end. On the serving thread as far as that is quick,
// on the deriver thread where nothing is found near the end.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { viewMessage } from '../abi/records.ts';
import { JournalBytes } from '../journal/journal-bytes.ts';

type ReadAt = (positionBytes: number, into: Uint8Array) => number;

const PIECE_BYTES = 256 * 1024;

/**
 * Whole lines in [fromBytes, endBytes), newest first; undefined when none holds assistant text. Yields the bytes looked at
 * so far after each piece. Pieces double inside a line that is longer than they are, so that it costs linear time.
 */
export function* searchLatest(read: ReadAt, fromBytes: number, endBytes: number): Generator<number, string | undefined> {
  let end = endBytes;
  let pieceBytes = PIECE_BYTES;
  /** The start of a line whose beginning lies before `end`. */
  let tail = Buffer.alloc(0);
  while (end > fromBytes) {
    const start = Math.max(fromBytes, end - pieceBytes);
    const piece = Buffer.alloc(end - start);
    read(start, piece);
    const firstWhole = start === fromBytes ? 0 : piece.indexOf(0x0a) + 1;
    const bytes = tail.length === 0 ? piece : Buffer.concat([piece, tail]);
    if (firstWhole === 0 && start !== fromBytes) {
      pieceBytes *= 2;
      tail = bytes;
    } else {
      const text = lastAssistantText(bytes.subarray(firstWhole));
      if (text !== undefined) return text.endsWith('\n') ? text : `${text}\n`;
      pieceBytes = PIECE_BYTES;
      tail = Buffer.from(bytes.subarray(0, firstWhole));
    }
    end = start;
    yield endBytes - end;
  }
  return undefined;
}

/** The same over the journal of a session directory; others get their turn between two pieces. */
export async function findLatest(directory: string, fromBytes: number, endBytes: number): Promise<string | undefined> {
  const journal = new JournalBytes(directory, 'messages.jsonl');
  try {
    const search = searchLatest((at, into) => journal.read(at, into), fromBytes, endBytes);
    for (;;) {
      const step = search.next();
      if (step.done === true) return step.value;
      await nextTurn();
    }
  } finally {
    journal.close();
  }
}

/** Text of the last assistant message in whole lines; undefined when there is none. */
function lastAssistantText(bytes: Buffer): string | undefined {
  let end = bytes.length;
  while (end > 0) {
    const at = bytes.lastIndexOf('assistant', end - 1);
    if (at < 0) return undefined;
    const start = bytes.lastIndexOf(0x0a, at) + 1;
    const stop = bytes.indexOf(0x0a, at);
    try {
      const message = viewMessage(JSON.parse(bytes.toString('utf8', start, stop < 0 ? bytes.length : stop)) as Record<string, unknown>);
      if (message.role === 'assistant' && message.text.trim() !== '') return message.text;
    } catch {
      // A line that does not parse was set aside or is being looked at by fsck; it is no assistant text.
    }
    end = start;
  }
  return undefined;
}
