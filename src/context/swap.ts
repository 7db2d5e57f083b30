// context/swap/index.jsonl: history by chunk. A chunk's id is the sha256 of exactly its raw bytes, so nothing is copied.
import { clipLine } from './sentences.ts';
import type { BlockRecord, LargeLine, OutputRecord, SwapRows } from './types.ts';

/** Lines from this size on have a row of their own. Smaller ones are found in their block's chunk. */
export const SWAP_LINE_BYTES = 4096;

/** Rows of one whole block; a pure function of its record, so the index is append-only as blocks complete. */
export const swapRows: SwapRows = (block: BlockRecord): string => {
  const last = block.firstLine + block.lines - 1;
  let rows = row({
    id: block.digest,
    kind: 'message_range',
    source: 'messages.jsonl',
    range: `${block.firstLine}-${last}`,
    summary: clipLine(block.summary, RANGE_SUMMARY_UNITS),
    ...size(block.bytes),
    start_event: `msg-${block.firstLine}`,
    end_event: `msg-${last}`,
    hash: hashOf(block.digest),
  });
  const lines = [...oncePerLine(block.outputs), ...block.large.map(largeRow)].sort((a, b) => a.line - b.line);
  for (const entry of lines) rows += row(entry.fields);
  return rows;
};

/** The chunks that the rows of a block name: id and message lines. */
export function swapChunks(block: BlockRecord): readonly { readonly id: string; readonly firstLine: number; readonly lastLine: number }[] {
  const chunks = [{ id: block.digest, firstLine: block.firstLine, lastLine: block.firstLine + block.lines - 1 }];
  for (const { line, lineDigest, lineBytes } of block.outputs) {
    if (lineBytes >= SWAP_LINE_BYTES && chunks.at(-1)?.id !== lineDigest) chunks.push({ id: lineDigest, firstLine: line, lastLine: line });
  }
  for (const { line, digest } of block.large) chunks.push({ id: digest, firstLine: line, lastLine: line });
  return chunks;
}

/** Tokens are not counted for an index that may never be read: about four bytes a token, marked as an estimate. */
export function estimateTokens(bytes: number): number {
  return Math.ceil(bytes / 4);
}

/** An index is skimmed; the whole summary is in summary.md. */
const RANGE_SUMMARY_UNITS = 200;

type Fields = Readonly<Record<string, unknown>>;
interface LineRow {
  readonly line: number;
  readonly fields: Fields;
}

function row(fields: Fields): string {
  return `${JSON.stringify(fields)}\n`;
}

function size(bytes: number): Fields {
  return { tokens: estimateTokens(bytes), tokens_estimated: true, bytes };
}

function hashOf(digest: string): string {
  return `sha256:${digest.slice('sha256-'.length)}`;
}

function* oncePerLine(outputs: readonly OutputRecord[]): Generator<LineRow> {
  let before = 0;
  for (const { line, lineDigest, lineBytes, summary } of outputs) {
    if (lineBytes < SWAP_LINE_BYTES || line === before) continue;
    before = line;
    yield {
      line,
      fields: {
        id: lineDigest,
        kind: 'tool_output',
        source: 'messages.jsonl',
        event: `msg-${line}`,
        summary,
        ...size(lineBytes),
      },
    };
  }
}

function largeRow({ line, digest, bytes }: LargeLine): LineRow {
  return {
    line,
    fields: {
      id: digest,
      kind: 'message_range',
      source: 'messages.jsonl',
      range: `${line}-${line}`,
      summary: `long message ${line}`,
      ...size(bytes),
      start_event: `msg-${line}`,
      end_event: `msg-${line}`,
      hash: hashOf(digest),
    },
  };
}
