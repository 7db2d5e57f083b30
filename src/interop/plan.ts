// planImport: bytes of a transcript in, journal lines out, only what the session does not hold yet.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { DEFAULT_MAX_LINE_BYTES } from '../abi/session-files.ts';
import { detectFormat, documentFields, HEAD_BYTES, headRecords } from './detect.ts';
import type { Detected, Layout } from './detect.ts';
import { CONVERTERS } from './formats/index.ts';
import { DocumentImporter, noEpisode } from './plan-document.ts';
import { LinesImporter } from './plan-lines.ts';
import { TextImporter } from './plan-text.ts';
import { RecordWriter } from './record-writer.ts';
import { SourceMeter } from './source-mark.ts';
import type { Format, ImportLine, ImportState, Json, SourceFacts, SourceImporter, SourceMark, TranscriptSource } from './types.ts';

export interface ImportOptions {
  /** Overrides detection. */
  readonly from?: Format;
  /** Only this conversation of a file that holds many (from 0). */
  readonly episode?: number;
  readonly maxLineBytes?: number;
}

/** What the head of a transcript tells. */
export interface SourceDescription extends Detected {
  /** Identity that imports are remembered by. */
  readonly source: string;
  readonly facts: SourceFacts;
  /** No record to come can change source or facts. */
  readonly settled: boolean;
}

export function fileSource(path: string): TranscriptSource {
  return { path, open: (startBytes = 0) => createReadStream(path, { start: startBytes, highWaterMark: 256 * 1024 }) };
}

export function bytesSource(path: string, bytes: Uint8Array): TranscriptSource {
  return {
    path,
    async *open(startBytes = 0) {
      await Promise.resolve();
      if (startBytes < bytes.length) yield bytes.subarray(startBytes);
    },
  };
}

/**
 * Plans the journal lines that bring the session up to the source, in source order, without their newlines.
 * `known` is asked what is there already and is told each planned line, so one state serves many imports.
 * JSONL and text are streamed; JSON documents are read whole.
 */
export async function* planImport(source: TranscriptSource, known: ImportState, options: ImportOptions = {}): AsyncGenerator<ImportLine> {
  const head = await readHead(source);
  let about = describeSource(head.bytes, source.path, { ...options, complete: head.complete });
  let start = about.layout === 'document' ? undefined : await resume(source, known.mark(about.source));
  const byPath = `path:${source.path}`;
  if (known.count(about.source) === 0 && known.count(byPath) > 0) {
    // It was imported before the record that names its conversation had been written: it keeps that identity.
    start = await resume(source, known.mark(byPath));
    if (start !== undefined) about = { ...about, source: byPath };
  }
  const former = await formerName(source, about.source, known);
  if (former !== undefined) {
    about = { ...about, source: former.name };
    if (about.layout !== 'document') start = former.start;
  }
  const importer = createImporter(about, source.path, known, head.bytes, options, start);
  for await (const chunk of source.open(start?.bytes ?? 0)) yield* importer.push(chunk);
  yield* importer.finish();
}

/** Format, layout, identity and facts, from the head of a source. */
export function describeSource(head: Uint8Array, path: string, options: ImportOptions & { complete?: boolean } = {}): SourceDescription {
  const detected = detectFormat(head, path, options);
  // Codex compresses the rollouts of a week ago.
  const compressed = options.from === undefined ? compressionOf(head) : undefined;
  if (compressed !== undefined)
    throw new CtxError('interop.compressed', 'EINVAL', `is compressed with ${compressed}`, {
      where: path,
      next: `unpack it first (${compressed} -d), or import from a pipe: ctx import <(${compressed} -dc FILE) --session AGENT/SESSION`,
    });
  // INT-1: what nobody named and nothing recognizes is text only if it can be read.
  if (detected.format === 'text' && options.from !== 'text' && head.includes(0))
    throw new CtxError('interop.binary', 'EINVAL', 'is no transcript: it holds binary data', {
      where: path,
      next: 'name its format with --from (text takes any bytes)',
    });
  const found = detected.format === 'text' ? {} : CONVERTERS[detected.format].facts(headOf(detected.layout, stableHead(head)));
  // Claude Code names a file by its session: known before the first record that says so.
  const named = detected.format === 'claude-code' && found.session === undefined ? UUID.exec(basename(path, '.jsonl'))?.[0] : undefined;
  const facts = named === undefined ? found : { ...found, session: named };
  const settled = detected.format !== 'claude-code' || found.firstKey !== undefined;
  return { ...detected, facts, settled, source: facts.session === undefined ? `path:${path}` : `${detected.format}:${facts.session}` };
}

function compressionOf(head: Uint8Array): string | undefined {
  const magic = Buffer.from(head.subarray(0, 4)).toString('hex');
  return magic === '28b52ffd' ? 'zstd' : magic.startsWith('1f8b') ? 'gzip' : undefined;
}

function headOf(layout: Layout, text: string): readonly Json[] {
  return layout === 'document' ? [documentFields(text)] : headRecords(text);
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The same bytes however the source was cut into chunks: facts may not depend on that. */
function stableHead(head: Uint8Array): string {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  return bytes.toString('utf8', 0, Math.max(HEAD_BYTES, bytes.indexOf(10) + 1));
}

/** Where an import may start: after bytes whose digest shows that they were imported before. */
export interface ResumePoint extends SourceMark {
  readonly hash: ReturnType<typeof createHash>;
}

export function createImporter(
  about: SourceDescription,
  path: string,
  known: ImportState,
  head: Uint8Array,
  options: ImportOptions,
  start?: ResumePoint,
): SourceImporter {
  if (about.layout !== 'document' && (options.episode ?? 0) > 0) throw noEpisode(path, options.episode ?? 0, 0);
  const converter = about.format === 'text' ? undefined : CONVERTERS[about.format];
  const writer = new RecordWriter(
    {
      format: about.format,
      source: about.source,
      facts: about.facts,
      known,
      converter,
      maxLineBytes: options.maxLineBytes ?? DEFAULT_MAX_LINE_BYTES,
    },
    start?.records ?? 0,
  );
  const meter = new SourceMeter(start);
  const parts = {
    writer,
    meter,
    known,
    about: { format: about.format, layout: about.layout, source: about.source, path, facts: about.facts },
  };
  if (about.layout === 'text') return new TextImporter(parts, head);
  return about.layout === 'lines'
    ? new LinesImporter(parts, start !== undefined && !start.eol)
    : new DocumentImporter(parts, options.episode);
}

/** At least 256 KiB and one whole line, or everything. */
export async function readHead(source: TranscriptSource): Promise<{ readonly bytes: Buffer; readonly complete: boolean }> {
  const chunks: Buffer[] = [];
  let size = 0;
  let newline = false;
  for await (const chunk of source.open()) {
    const bytes = Buffer.from(chunk);
    chunks.push(bytes);
    size += bytes.length;
    newline ||= bytes.includes(10);
    if (size >= HEAD_BYTES && (newline || !startsObject(chunks[0]))) return { bytes: Buffer.concat(chunks), complete: false };
  }
  return { bytes: Buffer.concat(chunks), complete: true };
}

function startsObject(bytes: Buffer | undefined): boolean {
  return bytes !== undefined && /^[\s\ufeff]*\{/.test(bytes.subarray(0, 64).toString('utf8'));
}

/**
 * INT-5: the source that this one was before it was renamed, where its format names no conversation: nothing is known of
 * this path, the path it was read at is gone, and what was read there is what it begins with.
 */
export async function formerName(
  source: TranscriptSource,
  name: string,
  known: ImportState,
): Promise<{ readonly name: string; readonly start: ResumePoint } | undefined> {
  if (!name.startsWith('path:') || known.count(name) > 0) return undefined;
  const marks = new Map<SourceMark, string>();
  for (const before of known.sources) {
    const mark = before.startsWith('path:') ? known.mark(before) : undefined;
    if (mark !== undefined && mark.bytes >= TELLING_BYTES && mark.path.startsWith('/')) marks.set(mark, before);
  }
  const beginnings = await resumes(source, [...marks.keys()]);
  // Of several that it begins with, the one that holds most of it: a copy that ended earlier would have the rest said again.
  let former: { readonly name: string; readonly start: ResumePoint } | undefined;
  for (const [mark, before] of marks) {
    const start = beginnings.get(mark);
    if (start === undefined || (former !== undefined && former.start.bytes >= mark.bytes)) continue;
    // Read here before, under its former name; or gone from where it was read.
    if (mark.path === source.path || !(await exists(mark.path))) former = { name: before, start };
  }
  return former;
}

/** Less may be how two conversations begin. */
const TELLING_BYTES = 64;

function exists(path: string): Promise<boolean> {
  // Whatever cannot be looked at may still be there.
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
  );
}

/** INT-5: hashing (no parsing) proves that the source still begins with what was imported. */
async function resume(source: TranscriptSource, mark: SourceMark | undefined): Promise<ResumePoint | undefined> {
  return mark === undefined || mark.bytes === 0 ? undefined : (await resumes(source, [mark])).get(mark);
}

/** The marks that the source begins with. One pass, whatever their number: a digest for each length, a look-up for each mark. */
async function resumes(source: TranscriptSource, marks: readonly SourceMark[]): Promise<ReadonlyMap<SourceMark, ResumePoint>> {
  const found = new Map<SourceMark, ResumePoint>();
  const byLength = new Map<number, SourceMark[]>();
  for (const mark of marks) byLength.set(mark.bytes, [...(byLength.get(mark.bytes) ?? []), mark]);
  const lengths = [...byLength.keys()].sort((a, b) => a - b);
  const hash = createHash('sha256');
  let at = 0;
  let next = 0;
  /** Their last byte was the last of a piece. */
  let atEdge: readonly SourceMark[] = [];
  // The last record had no newline: only a newline may follow it.
  const followed = (mark: SourceMark, byte: number | undefined): void => {
    if (!mark.eol && byte !== undefined && byte !== 10) found.delete(mark);
  };
  if (lengths.length === 0) return found;
  for await (const chunk of source.open()) {
    if (chunk.length === 0) continue;
    for (const mark of atEdge) followed(mark, chunk[0]);
    atEdge = [];
    let from = 0;
    for (let length = lengths[next]; length !== undefined && length <= at + chunk.length; length = lengths[next]) {
      hash.update(chunk.subarray(from, length - at));
      from = length - at;
      next += 1;
      const digest = `sha256:${hash.copy().digest('hex')}`;
      const matching = (byLength.get(length) ?? []).filter((mark) => mark.digest === digest);
      for (const mark of matching) found.set(mark, { ...mark, hash: hash.copy() });
      if (from === chunk.length) atEdge = matching;
      else for (const mark of matching) followed(mark, chunk[from]);
    }
    hash.update(chunk.subarray(from));
    at += chunk.length;
    if (next === lengths.length && atEdge.length === 0) break;
  }
  return found;
}
