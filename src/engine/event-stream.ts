// Server-sent events of model servers: one JSON object each, until `[DONE]` or the end of the reply.
import { CtxError } from '../abi/errors.ts';

const MOST_LINE_UNITS = 16 << 20;
/** Sent by many servers after the last event. */
const DONE = '[DONE]';

/**
 * Objects of `data:` lines. Comments and other fields are passed over; an event that carries an error, or is not JSON,
 * throws engine.stream. `[DONE]` ends it; whether an end without it is a cut is for the caller to know.
 */
export async function* readEvents(
  pieces: AsyncIterable<string>,
  url: string,
): AsyncGenerator<Readonly<Record<string, unknown>>, void, void> {
  let held = '';
  for await (const piece of pieces) {
    held += piece;
    const lines = held.split('\n');
    held = lines.pop() ?? '';
    if (held.length > MOST_LINE_UNITS) throw fault(url, 'sent an event without end');
    for (const line of lines) {
      const event = readLine(line, url);
      if (event === DONE) return;
      if (event !== undefined) yield event;
    }
  }
  const last = readLine(held, url);
  if (last !== undefined && last !== DONE) yield last;
}

function readLine(line: string, url: string): Readonly<Record<string, unknown>> | typeof DONE | undefined {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line;
  const field = /^(data|error):/.exec(text)?.[1];
  if (field === undefined) return undefined;
  const value = text.slice(field.length + 1).trim();
  if (value === DONE) return DONE;
  let event: unknown;
  try {
    event = JSON.parse(value);
  } catch (cause) {
    throw fault(url, `sent an event that is not JSON (${value.length} characters)`, cause);
  }
  if (typeof event !== 'object' || event === null || Array.isArray(event)) throw fault(url, 'sent an event that is not an object');
  const { error } = event as { error?: unknown };
  if (field === 'error' || (error !== undefined && error !== null))
    throw fault(url, `failed while answering: ${words(field === 'error' ? event : error)}`);
  return event as Readonly<Record<string, unknown>>;
}

function words(error: unknown): string {
  const { message } = (error ?? {}) as { message?: unknown };
  const text = typeof message === 'string' ? message : typeof error === 'string' ? error : JSON.stringify(error);
  return text.replace(/\s+/g, ' ').slice(0, 300);
}

function fault(url: string, what: string, cause?: unknown): CtxError {
  return new CtxError('engine.stream', 'EIO', what, {
    where: url,
    next: "look at the server's log, then try again",
    ...(cause === undefined ? {} : { cause }),
  });
}
