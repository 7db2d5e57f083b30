// Maps a run of whole blocks to their records and, where the run is one whole segment of the search index, builds that
// segment in the same pass. Pure but for the segment file: runs in a worker, or on the deriver thread in small runs.
import { closeSync, openSync, readSync } from 'node:fs';
import { mapBlock } from '../context/blocks.ts';
import { isUserMessage } from '../context/pack-line.ts';
import { encodeRecord } from '../context/record-codec.ts';
import { BLOCK_LINES } from '../context/types.ts';
import type { MessageLine } from '../context/types.ts';
import type { Extent } from '../journal/types.ts';
import { buildSegment } from '../search/recall-index.ts';
import type { SearchDoc } from '../search/types.ts';
import { packRecord } from './block-store.ts';
import type { MappedBlock } from './block-store.ts';
import { parseMessage } from './message-lines.ts';

export interface MapTask {
  /** 1-based; the first line of a block. */
  readonly firstLine: number;
  readonly lines: number;
  /** Where those lines' bytes lie. */
  readonly extents: readonly Extent[];
  /** Whether block records are wanted. */
  readonly blocks: boolean;
  /** Build this segment of the search index from the same lines: all of its lines, or its first ones. */
  readonly segment?: { readonly directory: string; readonly number: number };
}

export interface MapResult {
  readonly blocks: readonly MappedBlock[];
}

const PIECE_BYTES = 512 << 10;
/** A tool output is searched by its beginning: what follows is data more often than words. */
const SEARCHED_CHARS = 16_384;

export function mapHistory(task: MapTask): MapResult {
  const blocks: MappedBlock[] = [];
  const messages = task.blocks ? mapped(readMessages(task), blocks) : readMessages(task);
  const { segment } = task;
  if (segment !== undefined) buildSegment(segment.directory, segment.number, docsOf(messages), task.firstLine + task.lines - 1);
  else
    for (const _message of messages) {
      /* mapping is what iterating does */
    }
  return { blocks };
}

/** One whole block. */
export function mapWhole(lines: readonly MessageLine[]): MappedBlock {
  let user = 0;
  for (const message of lines) if (isUserMessage(message)) user = message.line;
  const record = mapBlock(lines);
  return { record: packRecord(encodeRecord(record)), user, bytes: record.bytes };
}

/** What the search index holds of a message; undefined when there is nothing to find in it. */
export function searchDoc(message: MessageLine): SearchDoc | undefined {
  const { view, line } = message;
  let text = view.text;
  for (const call of view.toolCalls)
    text += `\n${call.name} ${call.arguments.length > SEARCHED_CHARS ? call.arguments.slice(0, SEARCHED_CHARS) : call.arguments}`;
  for (const result of view.toolResults)
    text += `\n${result.text.length > SEARCHED_CHARS ? result.text.slice(0, SEARCHED_CHARS) : result.text}`;
  return text.trim() === '' ? undefined : { line, role: view.role, text };
}

function* mapped(messages: Iterable<MessageLine>, into: MappedBlock[]): Generator<MessageLine> {
  let block: MessageLine[] = [];
  for (const message of messages) {
    block.push(message);
    yield message;
    if (block.length < BLOCK_LINES) continue;
    into.push(mapWhole(block));
    block = [];
  }
}

function* docsOf(messages: Iterable<MessageLine>): Generator<SearchDoc> {
  for (const message of messages) {
    const doc = searchDoc(message);
    if (doc !== undefined) yield doc;
  }
}

function* readMessages(task: MapTask): Generator<MessageLine> {
  let line = task.firstLine;
  let rest: Buffer = Buffer.alloc(0);
  for (const piece of pieces(task.extents)) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    let at = 0;
    for (let newline = bytes.indexOf(10, Math.min(rest.length, bytes.length)); newline >= 0; newline = bytes.indexOf(10, at)) {
      yield parseMessage(line, bytes.subarray(at, newline + 1));
      line += 1;
      at = newline + 1;
    }
    rest = bytes.subarray(at);
  }
}

function* pieces(extents: readonly Extent[]): Generator<Buffer> {
  for (const extent of extents) {
    const fd = openSync(extent.path, 'r');
    try {
      for (let at = 0; at < extent.sizeBytes;) {
        const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, extent.sizeBytes - at));
        const got = readSync(fd, piece, 0, piece.length, extent.offsetBytes + at);
        if (got === 0) throw new Error(`history ends early in ${extent.path}`);
        at += got;
        yield piece.subarray(0, got);
      }
    } finally {
      closeSync(fd);
    }
  }
}
