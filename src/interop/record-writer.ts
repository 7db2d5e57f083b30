// Turns one record at a time into journal lines: ids, what is known already, the original's carrier, size limits.
import { isUtf8 } from 'node:buffer';
import { understood } from '../abi/records.ts';
import { recordEvent } from './formats/common.ts';
import { closeLine, composeBody, shortId } from './origin.ts';
import type { OriginFields, RawText } from './origin.ts';
import type { Converter, Draft, Format, ImportLine, ImportState, Json, Origin, SourceFacts } from './types.ts';

export interface WriterOptions {
  readonly format: Format;
  readonly source: string;
  readonly facts: SourceFacts;
  readonly known: ImportState;
  /** Longest line that the session takes. */
  readonly maxLineBytes: number;
  readonly converter: Converter | undefined;
}

export interface RecordPlace {
  readonly episode?: number;
  /** Identity of a record without an id of its own; default: its position. */
  readonly occurrence?: string;
  /** Separators before the record (documents). */
  readonly before?: string;
}

export class RecordWriter {
  readonly source: string;
  seq: number;
  readonly #options: WriterOptions;
  readonly #countBefore: number;
  #generation: number;
  #revised = false;
  #changed = false;

  constructor(options: WriterOptions, startSeq: number) {
    this.#options = options;
    this.source = options.source;
    this.seq = startSeq;
    this.#countBefore = options.known.count(options.source);
    this.#generation = options.known.generation(options.source);
  }

  get generation(): number {
    return this.#generation;
  }

  /** A line was planned. */
  get changed(): boolean {
    return this.#changed;
  }

  /** Lines for the next record. None when the session holds it at this position already. */
  record(bytes: Buffer, place: RecordPlace = {}): readonly ImportLine[] {
    const before = place.before ?? '';
    if (!isUtf8(bytes)) {
      const draft: Draft = { file: 'events', body: { type: 'import.record', record: 'invalid-utf8' } };
      return this.#emit([draft], { before, text: '' }, bytes, undefined, undefined, place);
    }
    const text = bytes.toString('utf8');
    const value = parseObject(text);
    const converter = this.#options.converter;
    if (value === undefined || converter === undefined) {
      const label = text.trim() === '' ? 'blank' : parses(text) ? 'value' : 'invalid-json';
      return this.#emit(
        [{ file: 'events', body: { type: 'import.record', record: label } }],
        { before, text },
        undefined,
        undefined,
        undefined,
        place,
      );
    }
    const drafts = converter.convert(value, this.#options.facts);
    return this.#emit(
      drafts.length > 0 ? drafts : [recordEvent('empty')],
      { before, text },
      undefined,
      converter.key(value),
      converter.time(value),
      place,
    );
  }

  /** A record given as a finished draft (text chunks, envelopes of documents). */
  draft(draft: Draft, raw: RawText, place: RecordPlace = {}, rawPieces?: Origin['raw'], rawBytes?: Buffer): readonly ImportLine[] {
    return this.#emit([draft], raw, rawBytes, undefined, undefined, place, rawPieces);
  }

  #emit(
    drafts: readonly Draft[],
    raw: RawText,
    bytes: Buffer | undefined,
    key: string | undefined,
    at: string | undefined,
    place: RecordPlace,
    rawPieces?: Origin['raw'],
  ): readonly ImportLine[] {
    const { known, format } = this.#options;
    const seq = this.seq++;
    const identity = key === undefined ? `${this.source}#${place.occurrence ?? seq}` : `key:${key}`;
    const importId = shortId(format, identity, raw.before, bytes ?? raw.text);
    if (known.placed(importId, this.source, seq)) return [];
    if (seq < this.#countBefore && !this.#revised) {
      this.#revised = true;
      this.#generation++;
    }
    const origin: OriginFields = {
      import_id: importId,
      format,
      source: this.source,
      seq,
      ...(this.#generation > 1 ? { gen: this.#generation } : {}),
      ...(key === undefined ? {} : { key }),
      ...(at === undefined ? {} : { at }),
      ...(place.episode === undefined ? {} : { episode: place.episode }),
    };
    // INT-5: the same record elsewhere in this session (a resumed session's copy, a moved element) is not said twice.
    return known.has(importId)
      ? [this.#planned('events', '{"type":"import.ref"', origin)]
      : this.#compose(this.#unsaid(drafts, key, seq, raw), raw, bytes, origin, rawPieces);
  }

  /**
   * A record that changed (an updated tool call, a last line that got its end): only what is new in it,
   * and always its new original.
   */
  #unsaid(drafts: readonly Draft[], key: string | undefined, seq: number, raw: RawText): readonly Draft[] {
    const { known } = this.#options;
    if (drafts.some((draft) => draft.key !== undefined))
      return drafts.filter((draft) => draft.key === undefined || !known.hasKey(draft.key));
    if (key === undefined ? seq !== this.#countBefore - 1 : !known.hasKey(key)) return drafts;
    const fresh = drafts.filter((draft) => {
      if (draft.verbatim === 'value') return true;
      const body = composeBody(draft, raw).body;
      return (
        !(key !== undefined && known.hasBody(key, body)) && !(seq === this.#countBefore - 1 && known.lastHasBody(this.source, seq, body))
      );
    });
    return fresh.length > 0 ? fresh : [recordEvent('update')];
  }

  #compose(
    drafts: readonly Draft[],
    raw: RawText,
    bytes: Buffer | undefined,
    origin: OriginFields,
    rawPieces: Origin['raw'],
  ): readonly ImportLine[] {
    // The whole record as a value of its event, where it has one; else beside the text that it shares most with.
    const whole = drafts.findIndex((draft) => draft.verbatim === 'value');
    const carrier = drafts.length === 1 ? 0 : whole >= 0 ? whole : largest(drafts);
    const lines: ImportLine[] = [];
    for (const [part, draft] of drafts.entries()) {
      const own = { ...origin, ...(draft.key === undefined ? {} : { key: draft.key }), ...(part === 0 ? {} : { part }) };
      if (part !== carrier) {
        lines.push(...this.#limited(draft, JSON.stringify(draft.body).slice(0, -1), own, undefined));
        continue;
      }
      if (bytes !== undefined) {
        const body = JSON.stringify(draft.body).slice(0, -1);
        const before = raw.before === '' ? bytes : Buffer.concat([Buffer.from(raw.before), bytes]);
        lines.push(...this.#limited(draft, body, { ...own, raw_base64: before.toString('base64') }, undefined));
        continue;
      }
      const composed =
        rawPieces === undefined ? composeBody(draft, raw) : { body: JSON.stringify(draft.body).slice(0, -1), pieces: rawPieces };
      lines.push(...this.#limited(draft, composed.body, { ...own, raw: composed.pieces }, raw));
    }
    return lines;
  }

  /** INT-6: a record too long for one line keeps its original in `import.raw` events, and a cut message beside them. */
  #limited(draft: Draft, body: string, origin: Origin, raw: RawText | undefined): readonly ImportLine[] {
    const whole = closeLine(body, origin);
    const limit = this.#options.maxLineBytes;
    if (whole.length * 3 <= limit || Buffer.byteLength(whole) <= limit) return [this.#planned(draft.file, body, origin, whole)];
    const original = origin.raw_base64 === undefined ? (raw === undefined ? '' : raw.before + raw.text) : origin.raw_base64;
    const { raw: _raw, raw_base64: encoded, ...bare } = origin;
    // Escaping may make six bytes of a character.
    const step = Math.max(1024, Math.floor(limit / 8));
    const count = Math.ceil(original.length / step);
    let short = JSON.stringify(shorten(draft.body, Math.floor(limit / 64))).slice(0, -1);
    if (Buffer.byteLength(closeLine(short, bare)) > limit) {
      const note = '[this record is too long for one line; its import.raw events hold it]';
      const least = draft.file === 'messages' ? { role: draft.body['role'], content: note } : { type: draft.body['type'], note };
      short = JSON.stringify(least).slice(0, -1);
    }
    const lines: ImportLine[] = [this.#planned(draft.file, short, bare)];
    for (let index = 0; index < count; index++) {
      const [start, end] = [cut(original, index * step), cut(original, (index + 1) * step)];
      const piece = original.slice(start, end);
      const content = encoded === undefined ? { raw: [piece] } : { raw_base64: piece };
      lines.push(this.#planned('events', '{"type":"import.raw"', { ...bare, ...content, chunk: [index, count] }));
    }
    return lines;
  }

  #planned(file: ImportLine['file'], body: string, origin: Origin, line: string = closeLine(body, origin)): ImportLine {
    this.#options.known.remember(body, origin);
    this.#changed = true;
    return { file, line };
  }
}

function parseObject(text: string): Json | undefined {
  try {
    // Deeper than is understood: the original is kept whole in `origin`, as ever.
    const value = understood(JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function largest(drafts: readonly Draft[]): number {
  const sizes = drafts.map((draft) => JSON.stringify(draft.body).length);
  return sizes.indexOf(Math.max(...sizes));
}

/** Never between the halves of a surrogate pair. Base64 steps stay whole because pieces are joined before decoding. */
function cut(text: string, at: number): number {
  if (at >= text.length) return text.length;
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at - 1 : at;
}

/** Long strings inside, cut to head and tail with a note. */
function shorten(body: Json, keep: number): Json {
  return JSON.parse(JSON.stringify(body), (_key, value: unknown) => {
    if (typeof value !== 'string' || value.length <= 2 * keep) return value;
    const [head, tail] = [cut(value, keep), cut(value, value.length - keep)];
    return `${value.slice(0, head)}\n[… ${tail - head} characters are in this record's import.raw events …]\n${value.slice(tail)}`;
  }) as Json;
}
