// One source grammar for every way the specification names a piece of history (abi-spec/sources.md). Imports nothing.

export type SourceRef =
  /** `messages:12-18`, `messages:12`, `1-120`, `msg-001`: lines of messages.jsonl, 1-based, inclusive. */
  | { readonly kind: 'messages'; readonly first: number; readonly last: number }
  /** `events:3-9`, `ev-991`: lines of events.jsonl. */
  | { readonly kind: 'events'; readonly first: number; readonly last: number }
  /** `tail:40`, `messages:tail:40`: the last lines of messages.jsonl. */
  | { readonly kind: 'tail'; readonly lines: number }
  /** `user:latest`: the newest user message. */
  | { readonly kind: 'latest'; readonly role: 'user' | 'assistant' }
  /** `swap:<id>`: a chunk, by digest (whole or a prefix of at least 8 characters). */
  | { readonly kind: 'swap'; readonly id: string }
  /** `dedup:<digest>`: the content that repeats. */
  | { readonly kind: 'dedup'; readonly id: string }
  /** `tool:<id>`: the result of a tool call, by its call id. */
  | { readonly kind: 'tool'; readonly id: string }
  /** A file below the session directory, or an absolute path outside of it. */
  | { readonly kind: 'file'; readonly path: string };

const LINES = /^(?:messages:)?([1-9][0-9]{0,11})(?:-([1-9][0-9]{0,11}))?$/;
const EVENTS = /^events:([1-9][0-9]{0,11})(?:-([1-9][0-9]{0,11}))?$/;
const TAIL = /^(?:messages:)?tail:([1-9][0-9]{0,11})$/;
const ONE_MESSAGE = /^msg-0*([1-9][0-9]{0,11})$/;
const ONE_EVENT = /^ev-0*([1-9][0-9]{0,11})$/;
const HEX_ID = /^sha256[-:][0-9a-f]{8,64}$/;

/** Reads a source as the specification writes it; undefined when it has none of the forms. */
export function parseSource(text: string): SourceRef | undefined {
  const lines = LINES.exec(text);
  if (lines !== null) return span('messages', lines[1], lines[2]);
  const events = EVENTS.exec(text);
  if (events !== null) return span('events', events[1], events[2]);
  const tail = TAIL.exec(text);
  if (tail !== null) return { kind: 'tail', lines: Number(tail[1]) };
  const message = ONE_MESSAGE.exec(text);
  if (message !== null) return span('messages', message[1], undefined);
  const event = ONE_EVENT.exec(text);
  if (event !== null) return span('events', event[1], undefined);
  if (text === 'user:latest' || text === 'assistant:latest') return { kind: 'latest', role: text === 'user:latest' ? 'user' : 'assistant' };
  if (text.startsWith('swap:')) return identified('swap', text.slice('swap:'.length));
  if (text.startsWith('dedup:')) return identified('dedup', text.slice('dedup:'.length));
  if (text.startsWith('tool:')) return identified('tool', text.slice('tool:'.length));
  if (HEX_ID.test(text)) return { kind: 'swap', id: text };
  return isFilePath(text) ? { kind: 'file', path: text } : undefined;
}

/** The canonical spelling; `parseSource(formatSource(x))` gives `x` back. */
export function formatSource(source: SourceRef): string {
  switch (source.kind) {
    case 'messages':
    case 'events':
      return `${source.kind}:${source.first === source.last ? source.first : `${source.first}-${source.last}`}`;
    case 'tail':
      return `tail:${source.lines}`;
    case 'latest':
      return `${source.role}:latest`;
    case 'swap':
    case 'dedup':
    case 'tool':
      return `${source.kind}:${source.id}`;
    case 'file':
      return source.path;
  }
}

/** A pack item's `source` and `range` as one source (`messages.jsonl` + `12-18`, `events.jsonl` + `3`, a file). */
export function sourceOfItem(source: string, range: string | undefined): SourceRef | undefined {
  if (source === 'messages.jsonl' && range !== undefined) return parseSource(range.startsWith('tail:') ? range : `messages:${range}`);
  if (source === 'events.jsonl' && range !== undefined) return parseSource(`events:${range}`);
  return parseSource(source);
}

function span(kind: 'messages' | 'events', from: string | undefined, to: string | undefined): SourceRef | undefined {
  const first = Number(from);
  const last = to === undefined ? first : Number(to);
  return last < first ? undefined : { kind, first, last };
}

function identified(kind: 'swap' | 'dedup' | 'tool', id: string): SourceRef | undefined {
  return id === '' || /[\0\n]/.test(id) ? undefined : { kind, id };
}

function isFilePath(text: string): boolean {
  if (text === '' || text.length > 4096 || /[\0\n]/.test(text)) return false;
  return text.includes('/') || /^[^:]+\.[A-Za-z0-9]+$/.test(text);
}
