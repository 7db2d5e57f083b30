// A journal line and the original bytes of its record: written together, read back exactly (INT-2).
// The original is not stored twice: its long strings are referred to where the line already has them.
import { createHash } from 'node:crypto';
import { CtxError } from '../abi/errors.ts';
import { longStrings } from './json-scan.ts';
import type { Draft, Json, Origin, RawPiece } from './types.ts';

/** Text of a record in its source. `before`: separators between it and the record before (documents only). */
export interface RawText {
  readonly before: string;
  readonly text: string;
}

export type OriginFields = Omit<Origin, 'raw' | 'raw_base64' | 'chunk'>;

/** 80 bits over the parts; equal inputs give equal ids on every machine. */
export function shortId(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 20);
}

/** The line's text up to its origin, and the pieces that give the original back. */
export function composeBody(draft: Draft, raw: RawText): { body: string; pieces: readonly RawPiece[] } {
  const oneLine = !/[\n\r]/.test(raw.text.trim());
  if (draft.verbatim === 'self' && oneLine) {
    const start = raw.text.length - raw.text.trimStart().length;
    const end = raw.text.trimEnd().length - 1;
    const body = raw.text.slice(start, end);
    return { body, pieces: pieces(raw.before + raw.text.slice(0, start), [0, Buffer.byteLength(body)], raw.text.slice(end)) };
  }
  const fields = JSON.stringify(draft.body).slice(0, -1);
  if (draft.verbatim === 'value' && oneLine) {
    const value = raw.text.trim();
    const start = raw.text.indexOf(value);
    const head = `${fields},"value":`;
    const span = [Buffer.byteLength(head), Buffer.byteLength(value)] as const;
    return { body: head + value, pieces: pieces(raw.before + raw.text.slice(0, start), span, raw.text.slice(start + value.length)) };
  }
  return { body: fields, pieces: describeRaw(raw.before + raw.text, fields) };
}

/** Appends the origin; `body` lacks its closing brace. */
export function closeLine(body: string, origin: Origin): string {
  return `${body},"origin":${JSON.stringify(origin)}}`;
}

const ORIGIN_MARK = ',"origin":{"import_id":"';

/** Splits an imported line; undefined when the line was not imported. Quotes inside strings are escaped, so the last mark is the field. */
export function splitLine(line: string): { readonly body: string; readonly origin: Origin } | undefined {
  const at = line.lastIndexOf(ORIGIN_MARK);
  if (at < 0 || !line.endsWith('}}')) return undefined;
  try {
    return { body: line.slice(0, at), origin: JSON.parse(line.slice(at + 10, -1)) as Origin };
  } catch {
    return undefined;
  }
}

/** The original bytes that this line carries; undefined when another line of the record carries them. */
export function originalBytes(line: Buffer, origin: Origin): Buffer | undefined {
  if (origin.raw_base64 !== undefined) return Buffer.from(origin.raw_base64, 'base64');
  if (origin.raw === undefined) return undefined;
  let fields: Json | undefined;
  const parts = origin.raw.map((piece): Buffer => {
    if (typeof piece === 'string') return Buffer.from(piece, 'utf8');
    if ('field' in piece) {
      fields ??= JSON.parse(line.toString('utf8')) as Json;
      const text = fields[piece.field];
      if (typeof text !== 'string')
        throw new CtxError('interop.bad_origin', 'EINVAL', `field ${piece.field} of an imported line is not text`);
      return Buffer.from(text, 'utf8');
    }
    return line.subarray(piece[0], piece[0] + piece[1]);
  });
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}

// Below this a reference costs as much as the text.
const MIN_SHARED = 40;

function describeRaw(raw: string, body: string): readonly RawPiece[] {
  const spans = new Map<string, readonly [number, number]>();
  let chars = 0;
  let bytes = 0;
  for (const { start, end } of longStrings(body, MIN_SHARED)) {
    const token = body.slice(start, end);
    const size = Buffer.byteLength(token);
    bytes += Buffer.byteLength(body.slice(chars, start));
    if (!spans.has(token)) spans.set(token, [bytes, size]);
    bytes += size;
    chars = end;
  }
  if (spans.size === 0) return [raw];
  const found: RawPiece[] = [];
  let done = 0;
  for (const { start, end } of longStrings(raw, MIN_SHARED)) {
    const span = spans.get(raw.slice(start, end));
    if (span === undefined) continue;
    if (start > done) found.push(raw.slice(done, start));
    found.push(span);
    done = end;
  }
  if (done < raw.length || found.length === 0) found.push(raw.slice(done));
  return found;
}

function pieces(...all: readonly RawPiece[]): readonly RawPiece[] {
  return all.filter((piece) => piece !== '');
}
