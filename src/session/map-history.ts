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
  readonly segment?: { readonly directory: string; readonly number: number; readonly mark: string };
}

export interface MapResult {
  readonly blocks: readonly MappedBlock[];
}

const READ_BYTES = 512 << 10;
/** A tool output is searched by its beginning: what follows is data more often than words. */
const SEARCHED_CHARS = 16_384;

export function mapHistory(task: MapTask): MapResult {
  const blocks: MappedBlock[] = [];
  const { segment } = task;
  if (segment !== undefined)
    buildSegment(segment.directory, segment.number, docsOf(task, blocks), task.firstLine + task.lines - 1, segment.mark);
  else for (const lines of readBlocks(task)) blocks.push(mapWhole(lines));
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

/** Documents of the task's lines; its blocks are mapped on the way. */
function* docsOf(task: MapTask, into: MappedBlock[]): Generator<SearchDoc> {
  for (const lines of readBlocks(task)) {
    if (task.blocks) into.push(mapWhole(lines));
    for (const message of lines) {
      const doc = searchDoc(message);
      if (doc !== undefined) yield doc;
    }
  }
}

/** The lines of each block in turn. Their bytes lie in one buffer, which the next block is read into: no one may keep them. */
function* readBlocks(task: MapTask): Generator<readonly MessageLine[]> {
  let buffer: Buffer = Buffer.allocUnsafeSlow(READ_BYTES * 2);
  /** Where the block begins, and where what was read ends. */
  let [start, end] = [0, 0];
  let line = task.firstLine;
  /** Where its whole lines end. */
  let ends: number[] = [];
  const lines = (): MessageLine[] => ends.map((lineEnd, i) => parseMessage(line + i, buffer.subarray(ends[i - 1] ?? start, lineEnd)));
  for (const extent of task.extents) {
    const fd = openSync(extent.path, 'r');
    try {
      for (let read = 0; read < extent.sizeBytes;) {
        if (start > 0) {
          buffer.copyWithin(0, start, end);
          for (let i = 0; i < ends.length; i++) ends[i] = (ends[i] as number) - start;
          [start, end] = [0, end - start];
        }
        if (buffer.length - end < READ_BYTES) {
          const larger = Buffer.allocUnsafeSlow(buffer.length * 2);
          buffer.copy(larger, 0, 0, end);
          buffer = larger;
        }
        const got = readSync(fd, buffer, end, Math.min(READ_BYTES, extent.sizeBytes - read), extent.offsetBytes + read);
        if (got === 0) throw new Error(`history ends early in ${extent.path}`);
        const from = end;
        read += got;
        end += got;
        for (let newline = buffer.indexOf(10, from); newline >= 0 && newline < end; newline = buffer.indexOf(10, newline + 1)) {
          ends.push(newline + 1);
          if (ends.length < BLOCK_LINES) continue;
          yield lines();
          line += BLOCK_LINES;
          ends = [];
          start = newline + 1;
        }
      }
    } finally {
      closeSync(fd);
    }
  }
  if (ends.length > 0) yield lines();
}
