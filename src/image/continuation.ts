// The continuation point: where a transcript stands, read from its end. Tool calls without a result are still to be answered.
import { viewMessage } from '../abi/records.ts';

export interface Standing {
  readonly lastRole: string | null;
  readonly pendingToolCalls: readonly string[];
}

/** `tail`: whole lines from the end of the transcript; lines that are no messages say nothing. */
export function standingOf(tail: Buffer): Standing {
  const answered = new Set<string>();
  const pending: string[] = [];
  let lastRole: string | null = null;
  for (let end = tail.length; end > 0;) {
    const start = tail.lastIndexOf(10, end - 2) + 1;
    const view = messageOf(tail.subarray(start, end));
    end = start;
    if (view === undefined) continue;
    lastRole ??= view.role;
    for (const { id } of view.toolResults) answered.add(id);
    pending.unshift(...view.toolCalls.map(({ id }) => id).filter((id) => id !== '' && !answered.has(id)));
    // What the assistant said before a person spoke again is settled.
    if (view.role === 'user' && view.toolResults.length === 0) break;
  }
  return { lastRole, pendingToolCalls: pending.slice(-1024) };
}

function messageOf(line: Buffer): ReturnType<typeof viewMessage> | undefined {
  try {
    const value: unknown = JSON.parse(line.toString('utf8'));
    return typeof value === 'object' && value !== null ? viewMessage(value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
