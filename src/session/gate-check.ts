// `gate.check`: the event that says how a check went. Written by whoever ran it, read by the gate.

export interface RecordedCheck {
  readonly check: string;
  readonly passed: boolean;
  readonly atMs: number;
  /** Size of messages.jsonl when it was begun. */
  readonly messagesBytes: number;
}

export function checkEvent(record: RecordedCheck, exit: number | null, seconds: number): Record<string, unknown> {
  const { check, passed, atMs, messagesBytes } = record;
  return { type: 'gate.check', check, passed, exit, seconds, messages: messagesBytes, time: new Date(atMs).toISOString() };
}

/** Undefined when the line is no such event. */
export function recordOf(line: string): RecordedCheck | undefined {
  let value: Readonly<Record<string, unknown>>;
  try {
    value = JSON.parse(line) as typeof value;
  } catch {
    return undefined;
  }
  const { type, check, passed, time, messages } = value;
  const atMs = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  if (type !== 'gate.check' || typeof check !== 'string' || typeof passed !== 'boolean' || Number.isNaN(atMs)) return undefined;
  return { check, passed, atMs, messagesBytes: typeof messages === 'number' ? messages : -1 };
}
