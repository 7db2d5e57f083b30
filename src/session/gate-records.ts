// What a session's journals say to its gate: recorded checks, and whether there was work since.
import { recordOf } from './gate-check.ts';
import type { RecordedCheck } from './gate-check.ts';
import { JournalTail } from './journal-tail.ts';

/** Older records count as none: the check is run again. */
const MAX_EVENT_BYTES = 16 << 20;
/** More than this is work, whatever it says. */
const MAX_MESSAGE_BYTES = 1 << 20;

/** The newest record of each of these checks. */
export function recordedChecks(directory: string, names: readonly string[]): readonly RecordedCheck[] {
  const missing = new Set(names);
  const found: RecordedCheck[] = [];
  if (missing.size === 0) return found;
  for (const { line } of new JournalTail(directory, 'events.jsonl').linesBackwards(MAX_EVENT_BYTES)) {
    const record = line.includes('"gate.check"') ? recordOf(line) : undefined;
    if (record === undefined || !missing.delete(record.check)) continue;
    found.push(record);
    if (missing.size === 0) break;
  }
  return found;
}

/** WIK-47: a question or the result of a tool came after this offset of messages; what the assistant says to end with is none. */
export function workedSince(directory: string, messagesBytes: number): boolean {
  const journal = new JournalTail(directory, 'messages.jsonl');
  if (messagesBytes > journal.sizeBytes || journal.sizeBytes - messagesBytes > MAX_MESSAGE_BYTES) return true;
  const text = journal.read(messagesBytes, journal.sizeBytes).toString('utf8');
  return text.split('\n').some((line) => line !== '' && isWork(line));
}

function isWork(line: string): boolean {
  try {
    const { role, tool_calls: calls, content } = JSON.parse(line) as { role?: unknown; tool_calls?: unknown; content?: unknown };
    const blocks: readonly unknown[] = Array.isArray(content) ? content : [];
    return (
      role !== 'assistant' || Array.isArray(calls) || blocks.some((block) => (block as { type?: unknown } | null)?.type === 'tool_use')
    );
  } catch {
    return true;
  }
}
