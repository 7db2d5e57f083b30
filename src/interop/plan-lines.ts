// JSONL sources, streamed: one record a line, memory in proportion to the longest line.
import { markEvent } from './source-mark.ts';
import type { MarkFields, SourceMeter } from './source-mark.ts';
import type { RecordWriter } from './record-writer.ts';
import type { ImportLine, ImportState, SourceImporter } from './types.ts';

export interface ImporterParts {
  readonly writer: RecordWriter;
  readonly meter: SourceMeter;
  readonly known: ImportState;
  readonly about: Pick<MarkFields, 'format' | 'layout' | 'source' | 'path' | 'facts'>;
}

const LF = 10;

export class LinesImporter implements SourceImporter {
  readonly #parts: ImporterParts;
  #pending: Buffer[] = [];
  /** The last record imported before had no newline: the first byte now is that newline. */
  #owedNewline: boolean;

  constructor(parts: ImporterParts, owedNewline: boolean) {
    this.#parts = parts;
    this.#owedNewline = owedNewline;
  }

  push(chunk: Uint8Array): readonly ImportLine[] {
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const { writer, meter } = this.#parts;
    if (this.#owedNewline && bytes.length > 0) {
      meter.consume(bytes.subarray(0, 1));
      bytes = bytes.subarray(1);
      this.#owedNewline = false;
    }
    const lines: ImportLine[] = [];
    let start = 0;
    for (let end = bytes.indexOf(LF); end >= 0; end = bytes.indexOf(LF, start)) {
      const record = this.#join(bytes.subarray(start, end));
      meter.consume(record);
      meter.consume(bytes.subarray(end, end + 1));
      lines.push(...writer.record(record));
      start = end + 1;
    }
    // Copied: the caller may use its chunk again.
    if (start < bytes.length) this.#pending.push(Buffer.from(bytes.subarray(start)));
    return lines;
  }

  settle(): readonly ImportLine[] {
    return [];
  }

  /** A last line without newline is a record when it is a whole JSON object; otherwise it is the mark's tail. */
  finish(): readonly ImportLine[] {
    const { writer, meter, known, about } = this.#parts;
    const rest = this.#join(Buffer.alloc(0));
    const lines: ImportLine[] = [];
    const isRecord = rest.length > 0 && isJsonObject(rest);
    if (isRecord) {
      meter.consume(rest);
      lines.push(...writer.record(rest));
    }
    const mark = {
      ...about,
      records: writer.seq,
      generation: writer.generation,
      changed: writer.changed,
      eol: !isRecord && !this.#owedNewline,
      tail: isRecord ? Buffer.alloc(0) : rest,
    };
    for (const line of markEvent(meter, mark, known.mark(about.source))) {
      known.observe(line.line);
      lines.push(line);
    }
    return lines;
  }

  #join(last: Buffer): Buffer {
    if (this.#pending.length === 0) return last;
    const whole = Buffer.concat([...this.#pending, last]);
    this.#pending = [];
    return whole;
  }
}

function isJsonObject(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
