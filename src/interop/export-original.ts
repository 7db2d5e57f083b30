// The source file again, byte for byte, from the lines that its import made (INT-2). Streams: memory holds one
// number per record, and records whose order in the journals differs from their order in the source.
import { createHash } from 'node:crypto';
import { CtxError } from '../abi/errors.ts';
import { originalBytes, splitLine } from './origin.ts';
import type { Format, Origin } from './types.ts';

export type OpenLines = () => AsyncIterable<string> | Iterable<string>;

/** What one import left in a session. */
interface ImportedSource {
  readonly source: string;
  readonly format: Format;
  readonly layout: string;
  readonly path: string;
  readonly records: number;
  readonly bytes: number;
  readonly digest: string;
  readonly eol: boolean;
  readonly tail: Buffer;
}

/** The sources that a session was imported from, each as its latest import left it. */
async function importedSources(events: OpenLines): Promise<readonly ImportedSource[]> {
  const found = new Map<string, ImportedSource>();
  for await (const line of events()) {
    if (!line.startsWith('{"type":"import.source"')) continue;
    const event = JSON.parse(line) as Record<string, unknown>;
    found.set(String(event['source']), {
      source: String(event['source']),
      format: event['format'] as Format,
      layout: String(event['layout']),
      path: String(event['path']),
      records: Number(event['records']),
      bytes: Number(event['bytes']),
      digest: String(event['digest']),
      eol: event['eol'] !== false,
      tail: Buffer.from(typeof event['tail_base64'] === 'string' ? event['tail_base64'] : '', 'base64'),
    });
  }
  return [...found.values()];
}

/**
 * The bytes of an imported source. `source` may be left out when the session has one.
 * Throws `interop.not_imported` when there is none, `interop.not_identical` when the digest of what was
 * written differs from the recorded one (after all bytes were yielded: discard them).
 */
export async function* exportOriginal(messages: OpenLines, events: OpenLines, source?: string): AsyncGenerator<Buffer> {
  const sources = await importedSources(events);
  const wanted = sources.filter((item) => source === undefined || item.source === source);
  const about = wanted[0];
  if (about === undefined) throw new CtxError('interop.not_imported', 'ENOENT', 'this session holds no finished import of that source');
  if (wanted.length > 1) {
    throw new CtxError('interop.ambiguous', 'EINVAL', 'this session was imported from several sources', {
      next: `name one: ${wanted.map((item) => item.source).join(', ')}`,
    });
  }
  const hash = createHash('sha256');
  let done = 0;
  for await (const record of sourceRecords(messages, events, about)) {
    done++;
    const newline = about.layout === 'lines' && (done < about.records || about.eol);
    const bytes = newline ? Buffer.concat([record, LF]) : record;
    hash.update(bytes);
    yield bytes;
  }
  if (`sha256:${hash.digest('hex')}` !== about.digest) {
    throw new CtxError('interop.not_identical', 'EIO', 'the exported bytes differ from what was imported', {
      where: about.source,
      next: 'lines of this import are missing or changed: run ctx fsck',
    });
  }
  if (about.tail.length > 0) yield about.tail;
}

const LF = Buffer.from('\n');

interface Carried {
  readonly id: string;
  readonly seq: number;
  readonly bytes: Buffer;
}

async function* sourceRecords(messages: OpenLines, events: OpenLines, about: ImportedSource): AsyncGenerator<Buffer> {
  const moved = await revisedPositions(messages, events, about.source);
  if (moved.size === 0) {
    for await (const record of merge(carried(messages(), about.source), carried(events(), about.source))) {
      if (record.seq < about.records) yield record.bytes;
    }
    return;
  }
  // A source that was rewritten, or shares records with another one: its latest layout, gathered in memory.
  const bytes = new Map<string, Buffer>();
  const layout: string[] = [];
  for (const lines of [messages, events]) {
    for await (const record of carried(lines())) {
      bytes.set(record.id, record.bytes);
      if (record.source === about.source) layout[record.seq] ??= record.id;
    }
  }
  for (let seq = 0; seq < about.records; seq++) {
    const record = bytes.get(moved.get(seq) ?? layout[seq] ?? '');
    if (record !== undefined) yield record;
  }
}

/** Positions whose record is not the first one imported there: its import_id by the latest generation. */
async function revisedPositions(messages: OpenLines, events: OpenLines, source: string): Promise<ReadonlyMap<number, string>> {
  const found = new Map<number, { id: string; generation: number }>();
  for (const lines of [messages, events]) {
    for await (const line of lines()) {
      const parts = splitLine(line);
      if (parts === undefined || parts.origin.source !== source) continue;
      const { origin, body } = parts;
      const generation = origin.gen ?? 1;
      if (generation === 1 && !body.startsWith('{"type":"import.ref"')) continue;
      const before = found.get(origin.seq);
      if (before === undefined || before.generation <= generation) found.set(origin.seq, { id: origin.import_id, generation });
    }
  }
  return new Map([...found].map(([seq, place]) => [seq, place.id]));
}

/** Original bytes in the order of one journal; the chunks of a long record joined. */
async function* carried(
  lines: AsyncIterable<string> | Iterable<string>,
  source?: string,
): AsyncGenerator<Carried & { readonly source: string }> {
  let parts: Buffer[] = [];
  for await (const line of lines) {
    const found = splitLine(line);
    if (found === undefined || (source !== undefined && found.origin.source !== source)) continue;
    const { origin } = found;
    const bytes = carriedBytes(line, origin);
    if (bytes === undefined) continue;
    parts = origin.chunk === undefined || origin.chunk[0] === 0 ? [bytes] : [...parts, bytes];
    if (origin.chunk !== undefined && origin.chunk[0] + 1 < origin.chunk[1]) continue;
    const joined = Buffer.concat(parts);
    const whole = origin.chunk !== undefined && origin.raw_base64 !== undefined ? Buffer.from(joined.toString('latin1'), 'base64') : joined;
    yield { id: origin.import_id, seq: origin.seq, source: origin.source, bytes: whole };
  }
}

function carriedBytes(line: string, origin: Origin): Buffer | undefined {
  // A chunk of base64 is decoded only when all of it is there.
  if (origin.chunk !== undefined && origin.raw_base64 !== undefined) return Buffer.from(origin.raw_base64, 'latin1');
  return originalBytes(Buffer.from(line, 'utf8'), origin);
}

async function* merge(a: AsyncGenerator<Carried>, b: AsyncGenerator<Carried>): AsyncGenerator<Carried> {
  let [left, right] = [await a.next(), await b.next()];
  while (left.done !== true || right.done !== true) {
    if (right.done === true || (left.done !== true && left.value.seq < right.value.seq)) {
      if (left.done !== true) yield left.value;
      left = await a.next();
    } else {
      yield right.value;
      right = await b.next();
    }
  }
}
