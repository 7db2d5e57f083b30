// Plain text: pieces of whole lines become user messages; a text with speaker marks ("User:", "Assistant:")
// becomes their turns. Every byte of the text is in some message's original.
import { isUtf8 } from 'node:buffer';
import { markEvent } from './source-mark.ts';
import type { ImporterParts } from './plan-lines.ts';
import type { ImportLine, RawPiece, SourceImporter } from './types.ts';

const CHUNK_BYTES = 32 * 1024;
const LONGEST_CHUNK_BYTES = 256 * 1024;
const LF = 10;

const SPEAKERS: Readonly<Record<string, string>> = {
  user: 'user',
  human: 'user',
  you: 'user',
  me: 'user',
  assistant: 'assistant',
  ai: 'assistant',
  agent: 'assistant',
  bot: 'assistant',
  claude: 'assistant',
  chatgpt: 'assistant',
  gpt: 'assistant',
  gemini: 'assistant',
  codex: 'assistant',
  system: 'system',
};
const SPEAKER = /^(?:#{1,4} |\*\*)?([A-Za-z]+)(?:\*\*)?:(?:\*\*)?[ \t]*\r?\n?/;
const HEADING = /^#{1,4} ([A-Za-z]+)[ \t]*\r?\n/;

export class TextImporter implements SourceImporter {
  readonly #parts: ImporterParts;
  /** Turns are looked for only when the head of the text shows both sides of a conversation. */
  readonly #turns: boolean;
  #pending: Buffer = Buffer.alloc(0);
  #role = 'user';

  constructor(parts: ImporterParts, head: Uint8Array) {
    this.#parts = parts;
    this.#turns = hasTurns(Buffer.from(head).toString('utf8'));
  }

  push(bytes: Uint8Array): readonly ImportLine[] {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    return this.#take(false);
  }

  settle(): readonly ImportLine[] {
    return this.#take(true);
  }

  finish(): readonly ImportLine[] {
    const lines = [...this.#take(true)];
    if (this.#pending.length > 0) lines.push(...this.#emit(this.#pending));
    this.#pending = Buffer.alloc(0);
    const { writer, meter, known, about } = this.#parts;
    const mark = {
      ...about,
      records: writer.seq,
      generation: writer.generation,
      changed: writer.changed,
      eol: true,
      tail: Buffer.alloc(0),
    };
    for (const line of markEvent(meter, mark, known.mark(about.source))) {
      known.observe(line.line);
      lines.push(line);
    }
    return lines;
  }

  #take(all: boolean): readonly ImportLine[] {
    const lines: ImportLine[] = [];
    for (;;) {
      const end = this.#chunkEnd(all);
      if (end === 0) return lines;
      lines.push(...this.#emit(this.#pending.subarray(0, end)));
      this.#pending = this.#pending.subarray(end);
    }
  }

  /** Where the next piece ends: before a speaker's line, else at a paragraph near 32 KiB, else at a line. 0: not yet. */
  #chunkEnd(all: boolean): number {
    const bytes = this.#pending;
    let line = bytes.indexOf(LF) + 1;
    let paragraph = 0;
    let last = 0;
    while (line > 0) {
      last = line;
      if (this.#turns && this.#startsTurn(line)) return line;
      if (line >= CHUNK_BYTES && (bytes[line] === LF || bytes[line - 2] === LF)) return line;
      if (line >= LONGEST_CHUNK_BYTES) return paragraph > 0 ? paragraph : line;
      if (bytes[line] === LF) paragraph = line;
      line = bytes.indexOf(LF, line) + 1;
    }
    if (bytes.length >= LONGEST_CHUNK_BYTES && last === 0) return wholeCharacters(bytes, LONGEST_CHUNK_BYTES);
    return all ? last : 0;
  }

  #startsTurn(at: number): boolean {
    return speaker(this.#pending.subarray(at, at + 40).toString('latin1')) !== undefined;
  }

  #emit(bytes: Buffer): readonly ImportLine[] {
    const { writer, meter } = this.#parts;
    meter.consume(bytes);
    const text = bytes.toString('utf8');
    const mark = this.#turns ? speaker(text.slice(0, 40)) : undefined;
    if (mark !== undefined) this.#role = mark.role;
    const rest = mark === undefined ? text : text.slice(mark.length);
    const content = this.#turns ? rest.trimEnd() : rest;
    const body = { role: this.#role, content };
    if (!isUtf8(bytes)) return writer.draft({ file: 'messages', body }, { before: '', text: '' }, {}, undefined, Buffer.from(bytes));
    const raw: readonly RawPiece[] = [text.slice(0, text.length - rest.length), { field: 'content' }, rest.slice(content.length)];
    return writer.draft(
      { file: 'messages', body },
      { before: '', text },
      {},
      raw.filter((piece) => piece !== ''),
    );
  }
}

function speaker(text: string): { role: string; length: number } | undefined {
  const match = SPEAKER.exec(text) ?? HEADING.exec(text);
  const role = SPEAKERS[match?.[1]?.toLowerCase() ?? ''];
  return match === null || role === undefined ? undefined : { role, length: match[0].length };
}

function hasTurns(head: string): boolean {
  if (speaker(head) === undefined) return false;
  const roles = new Set(head.split('\n').map((line) => speaker(`${line}\n`)?.role));
  return roles.has('user') && roles.has('assistant');
}

/** The longest prefix of at most `limit` bytes that ends between characters. */
function wholeCharacters(bytes: Buffer, limit: number): number {
  let end = limit;
  while (end > limit - 4 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return end;
}
