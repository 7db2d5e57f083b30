// Sources that are JSON documents: their messages are records, and what lies between them is kept as events.
// Read whole (at most 512 MiB); JSONL of conversations is a document of several values.
import { isUtf8 } from 'node:buffer';
import { CtxError } from '../abi/errors.ts';
import { asObject } from './formats/common.ts';
import { members, topValues } from './json-scan.ts';
import type { Span } from './json-scan.ts';
import { markEvent } from './source-mark.ts';
import type { ImporterParts } from './plan-lines.ts';
import type { Format, ImportLine, SourceImporter } from './types.ts';

const MAX_DOCUMENT_BYTES = 500 * 1024 * 1024;

/** Where each format keeps its messages; the first that is an array counts. */
const ARRAYS: Readonly<Partial<Record<Format, readonly string[]>>> = {
  openai: ['messages', 'traj', 'conversation', 'history'],
  'swe-agent': ['history', 'trajectory'],
  gemini: ['messages'],
  sharegpt: ['conversations'],
  atif: ['steps'],
};

interface Element extends Span {
  readonly episode: number;
}

export class DocumentImporter implements SourceImporter {
  readonly #parts: ImporterParts;
  readonly #episode: number | undefined;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(parts: ImporterParts, episode?: number) {
    this.#parts = parts;
    this.#episode = episode;
  }

  push(chunk: Uint8Array): readonly ImportLine[] {
    this.#bytes += chunk.length;
    if (this.#bytes > MAX_DOCUMENT_BYTES) {
      throw new CtxError('interop.too_large', 'EFBIG', 'a JSON document must be smaller than 500 MiB', {
        where: this.#parts.about.path,
        next: 'convert it to JSONL (one message a line)',
      });
    }
    this.#chunks.push(Buffer.from(chunk));
    return [];
  }

  settle(): readonly ImportLine[] {
    return [];
  }

  finish(): readonly ImportLine[] {
    const { writer, meter, known, about } = this.#parts;
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = [];
    const text = isUtf8(whole) ? whole.toString('utf8') : undefined;
    const elements = text === undefined ? undefined : this.#elements(text);
    if (text === undefined || elements === undefined) {
      throw new CtxError('interop.bad_document', 'EINVAL', 'the file is not whole, valid JSON', {
        where: about.path,
        next: 'wait until it is written, or import it as plain text with --from text',
      });
    }
    if (this.#episode !== undefined && !elements.some(({ episode }) => episode === this.#episode))
      throw noEpisode(about.path, this.#episode, elements.at(-1)?.episode ?? 0);
    const seen = new Map<string, number>();
    const lines: ImportLine[] = [];
    let done = 0;
    for (const element of elements) {
      const gap = text.slice(done, element.start);
      const attached = /^[\s,[{}\]\ufeff]*$/.test(gap);
      const wanted = this.#episode === undefined || this.#episode === element.episode;
      if (wanted && !attached) lines.push(...this.#envelope(gap, element.episode, seen));
      if (wanted) {
        const record = text.slice(element.start, element.end);
        const before = attached ? gap : '';
        lines.push(
          ...writer.record(Buffer.from(record), { before, episode: element.episode, occurrence: occurrence(seen, before + record) }),
        );
      }
      done = element.end;
    }
    let tail = text.slice(done);
    if (!/^[\s,[{}\]]*$/.test(tail) && this.#episode === undefined) {
      lines.push(...this.#envelope(tail, elements.at(-1)?.episode ?? 0, seen));
      tail = '';
    }
    const consumed = whole.subarray(0, whole.length - Buffer.byteLength(tail));
    meter.consume(consumed);
    // One conversation of many: the file as a whole was not imported, so nothing is claimed about it.
    if (this.#episode !== undefined) return lines;
    const mark = {
      ...about,
      records: writer.seq,
      generation: writer.generation,
      changed: writer.changed,
      eol: true,
      tail: whole.subarray(consumed.length),
    };
    for (const line of markEvent(meter, mark, known.mark(about.source))) {
      known.observe(line.line);
      lines.push(line);
    }
    return lines;
  }

  #envelope(text: string, episode: number, seen: Map<string, number>): readonly ImportLine[] {
    const draft = { file: 'events', body: { type: 'import.record', record: 'envelope' } } as const;
    return this.#parts.writer.draft(draft, { before: '', text }, { episode, occurrence: occurrence(seen, text) });
  }

  #elements(text: string): readonly Element[] | undefined {
    return documentElements(text, this.#parts.about.format);
  }
}

export function noEpisode(path: string, episode: number, last: number): CtxError {
  return new CtxError('interop.no_episode', 'EINVAL', `holds no conversation ${episode}`, {
    where: path,
    next: last === 0 ? 'it holds one; leave --episode out' : `they are numbered from 0 to ${last}`,
  });
}

/** How many conversations a document holds. */
export function episodeCount(text: string, format: Format): number {
  return new Set((documentElements(text, format) ?? []).map((element) => element.episode)).size;
}

function documentElements(text: string, format: Format): readonly Element[] | undefined {
  const found: Element[] = [];
  let episode = 0;
  const conversation = (span: Span): boolean => {
    if (text.charCodeAt(span.start) !== 123) return false;
    const fields = members(text, span);
    for (const name of ARRAYS[format] ?? []) {
      const list = fields.findLast((field) => field.key === name);
      if (list === undefined || text.charCodeAt(list.start) !== 91) continue;
      for (const element of members(text, list)) found.push({ start: element.start, end: element.end, episode });
      episode++;
      return true;
    }
    return false;
  };
  const tops = topValues(text);
  for (const top of tops) {
    if (!isJson(text.slice(top.start, top.end))) return undefined;
    if (text.charCodeAt(top.start) !== 91) {
      if (!conversation(top)) found.push({ ...top, episode });
      continue;
    }
    let flat = false;
    for (const element of members(text, top)) {
      if (conversation(element)) continue;
      found.push({ start: element.start, end: element.end, episode });
      flat = true;
    }
    if (flat) episode++;
  }
  return tops.length === 0 ? undefined : found;
}

function isJson(text: string): boolean {
  try {
    return asObject(JSON.parse(text)) !== undefined || text.startsWith('[');
  } catch {
    return false;
  }
}

function occurrence(seen: Map<string, number>, raw: string): string {
  const count = seen.get(raw) ?? 0;
  seen.set(raw, count + 1);
  return `+${count}`;
}
