// How far a source has been imported: the consumed bytes with their running digest, written as an
// `import.source` event at the end of each import that changed something (INT-5).
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { Format, ImportLine, SourceFacts, SourceMark } from './types.ts';

// A torn tail longer than this is left to the next import rather than stored.
const MAX_TAIL_BYTES = 1024 * 1024;

export class SourceMeter {
  bytes: number;
  readonly #hash: Hash;

  constructor(start?: { readonly bytes: number; readonly hash: Hash }) {
    this.bytes = start?.bytes ?? 0;
    this.#hash = start?.hash ?? createHash('sha256');
  }

  consume(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    this.#hash.update(bytes);
  }

  digest(): string {
    return `sha256:${this.#hash.copy().digest('hex')}`;
  }
}

export interface MarkFields {
  readonly format: Format;
  readonly layout: string;
  readonly source: string;
  readonly path: string;
  readonly facts: SourceFacts;
  readonly records: number;
  readonly generation: number;
  readonly eol: boolean;
  readonly tail: Uint8Array;
  /** This import planned a line. */
  readonly changed: boolean;
}

/** The event, or nothing when it would say what the session's last one says. */
export function markEvent(meter: SourceMeter, fields: MarkFields, last: SourceMark | undefined): readonly ImportLine[] {
  if (meter.bytes === 0 && fields.tail.length === 0) return [];
  const digest = meter.digest();
  const tail = fields.tail.length <= MAX_TAIL_BYTES ? Buffer.from(fields.tail).toString('base64') : '';
  if (last !== undefined && last.digest === digest && last.bytes === meter.bytes && last.eol === fields.eol && last.tail === tail)
    return [];
  // INT-5: an older copy from elsewhere says nothing new; the same path holding less now does (it was cut).
  if (last !== undefined && !fields.changed && fields.records < last.records && fields.path !== last.path) return [];
  const event = {
    type: 'import.source',
    format: fields.format,
    layout: fields.layout,
    source: fields.source,
    path: fields.path,
    records: fields.records,
    bytes: meter.bytes,
    digest,
    eol: fields.eol,
    ...(tail === '' ? {} : { tail_base64: tail }),
    ...(fields.tail.length > MAX_TAIL_BYTES ? { tail_bytes_left_out: fields.tail.length } : {}),
    ...(fields.generation > 1 ? { gen: fields.generation } : {}),
    ...(fields.facts.session === undefined ? {} : { session: fields.facts.session }),
    ...(fields.facts.cwd === undefined ? {} : { cwd: fields.facts.cwd }),
    ...(fields.facts.startedAt === undefined ? {} : { started_at: fields.facts.startedAt }),
  };
  return [{ file: 'events', line: JSON.stringify(event) }];
}
