// `ctx pack --at`: which point in the stream a name means: a message line, or the digest that a model call recorded.
import { parseDigest } from '../abi/digest.ts';
import { CtxError } from '../abi/errors.ts';
import { parseSource } from '../abi/ranges.ts';
import type { SessionHistory } from './session-history.ts';

export interface PackPosition {
  /** Order-log records seen. */
  readonly order: number;
  /** Newest message. */
  readonly line: number;
}

/** Type of the event that a model call through us leaves: `{type, digest, messages}`. */
export const PACK_SENT_EVENT = 'context.pack';
const PIECE_LINES = 1024;

export function findPackPosition(history: SessionHistory, at: string): PackPosition {
  const digest = parseDigest(at);
  const source = digest === undefined ? parseSource(at) : undefined;
  const line =
    digest !== undefined
      ? lineOfDigest(history, digest.hex)
      : source?.kind === 'messages'
        ? source.last
        : source?.kind === 'tail'
          ? history.messages.lines
          : undefined;
  if (line === undefined || line < 1 || line > history.messages.lines) {
    throw new CtxError('pack.at', 'ENOENT', 'no pack is known by that name', {
      where: at,
      next: 'name a message line, such as 120 or msg-120, or a digest that a model call recorded',
    });
  }
  // As of just before the next message: what was contributed or changed in between belongs to it.
  const { log } = history;
  const end = history.messages.offsetOfLine(line + 1);
  const next = log.indexOfMessagesOffset(end);
  const inside = next < log.length && (next === 0 ? 0 : log.at(next - 1).messagesEnd) < end;
  return { line, order: inside ? next + 1 : next };
}

/** The newest record of a call with this pack. Linear in events; other events are not parsed. */
function lineOfDigest(history: SessionHistory, hex: string): number | undefined {
  const { events } = history;
  const mark = Buffer.from(PACK_SENT_EVENT);
  for (let last = events.lines; last >= 1; last -= PIECE_LINES) {
    const first = Math.max(1, last - PIECE_LINES + 1);
    const bytes = events.readRange(events.offsetOfLine(first), events.offsetOfLine(last + 1));
    if (!bytes.includes(mark) || !bytes.includes(hex)) continue;
    for (const text of bytes.toString('utf8').split('\n').reverse()) {
      if (!text.includes(hex)) continue;
      const event = JSON.parse(text) as { type?: unknown; digest?: unknown; messages?: unknown };
      if (event.type === PACK_SENT_EVENT && typeof event.messages === 'number') return event.messages;
    }
  }
  return undefined;
}
