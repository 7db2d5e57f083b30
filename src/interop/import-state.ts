// What a session already holds of its sources, read back from its own journal lines: no side file, so a
// copied, forked or restored session remembers its imports.
import { shortId, splitLine } from './origin.ts';
import type { ImportState, Origin, SourceMark } from './types.ts';

const SEQ_SPACE = 2 ** 32;

interface Entry {
  readonly index: number;
  count: number;
  generation: number;
  mark: SourceMark | undefined;
  /** The lines of the record at the highest position. */
  last: { seq: number; bodies: string[] };
}

/** Reads the state from the lines of both journals, in any order. About 160 bytes of memory a record. */
export async function readImportState(...journals: readonly (AsyncIterable<string> | Iterable<string>)[]): Promise<JournalImportState> {
  const state = new JournalImportState();
  for (const lines of journals) for await (const line of lines) state.observe(line);
  return state;
}

export class JournalImportState implements ImportState {
  readonly #names: string[] = [];
  readonly #sources = new Map<string, Entry>();
  readonly #records = new Map<string, number>();
  // Positions that a later version of the source, or a reference to another source's record, took over.
  readonly #overrides = new Map<string, { id: string; generation: number }>();
  // Bodies by key: one digest, or several when a record became several lines.
  readonly #bodies = new Map<string, string | string[]>();

  /** Sources of this session, in the order they were first seen. */
  get sources(): readonly string[] {
    return this.#names;
  }

  mark(source: string): SourceMark | undefined {
    return this.#sources.get(source)?.mark;
  }

  count(source: string): number {
    return this.#sources.get(source)?.count ?? 0;
  }

  generation(source: string): number {
    return this.#sources.get(source)?.generation ?? 1;
  }

  has(importId: string): boolean {
    return this.#records.has(importId);
  }

  placed(importId: string, source: string, seq: number): boolean {
    const override = this.#overrides.get(`${source}#${seq}`);
    if (override !== undefined) return override.id === importId;
    return this.#records.get(importId) === (this.#sources.get(source)?.index ?? -1) * SEQ_SPACE + seq;
  }

  hasBody(key: string, body: string): boolean {
    const found = this.#bodies.get(key);
    if (found === undefined) return false;
    const id = shortId(body);
    return typeof found === 'string' ? found === id : found.includes(id);
  }

  hasKey(key: string): boolean {
    return this.#bodies.has(key);
  }

  lastHasBody(source: string, seq: number, body: string): boolean {
    const last = this.#sources.get(source)?.last;
    return last?.seq === seq && last.bodies.includes(body);
  }

  observe(line: string): void {
    if (line.startsWith('{"type":"import.source"')) return this.#observeMark(line);
    const parts = splitLine(line);
    if (parts === undefined) return;
    this.remember(parts.body, parts.origin);
  }

  remember(body: string, origin: Origin): void {
    const entry = this.#entry(origin.source);
    entry.count = Math.max(entry.count, origin.seq + 1);
    entry.generation = Math.max(entry.generation, origin.gen ?? 1);
    if (origin.seq > entry.last.seq) entry.last = { seq: origin.seq, bodies: [] };
    if (origin.seq === entry.last.seq) entry.last.bodies.push(body);
    const reference = body.startsWith('{"type":"import.ref"');
    const generation = origin.gen ?? 1;
    if (reference || generation > 1) {
      const place = `${origin.source}#${origin.seq}`;
      const before = this.#overrides.get(place);
      if (before === undefined || before.generation <= generation) this.#overrides.set(place, { id: origin.import_id, generation });
    }
    if (!reference && !this.#records.has(origin.import_id)) this.#records.set(origin.import_id, entry.index * SEQ_SPACE + origin.seq);
    if (origin.key === undefined) return;
    const before = this.#bodies.get(origin.key);
    const id = shortId(body);
    this.#bodies.set(origin.key, before === undefined ? id : [...(typeof before === 'string' ? [before] : before), id]);
  }

  #observeMark(line: string): void {
    let event: Record<string, unknown>;
    try {
      event = JSON.parse(line) as Record<string, unknown>;
    } catch {
      return;
    }
    const { source, bytes, digest, records } = event;
    if (typeof source !== 'string' || typeof bytes !== 'number' || typeof digest !== 'string' || typeof records !== 'number') return;
    const tail = typeof event['tail_base64'] === 'string' ? event['tail_base64'] : '';
    const entry = this.#entry(source);
    entry.mark = {
      bytes,
      digest,
      records,
      eol: event['eol'] !== false,
      tail,
      path: typeof event['path'] === 'string' ? event['path'] : '',
    };
    entry.count = Math.max(entry.count, records);
    if (typeof event['gen'] === 'number') entry.generation = Math.max(entry.generation, event['gen']);
  }

  #entry(source: string): Entry {
    let entry = this.#sources.get(source);
    if (entry === undefined) {
      entry = { index: this.#names.length, count: 0, generation: 1, mark: undefined, last: { seq: -1, bodies: [] } };
      this.#names.push(source);
      this.#sources.set(source, entry);
    }
    return entry;
  }
}
