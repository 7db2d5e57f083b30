// mapBlock: what one block of messages says. One pass over its messages; tool outputs are digested, not read.
import { createHash } from 'node:crypto';
import { digestOf } from '../abi/digest.ts';
import type { Digest } from '../abi/digest.ts';
import { clipLine } from './sentences.ts';
import { confirmedProposal, plannedTodos, statementsIn } from './statements.ts';
import { summarizeBlock } from './summary-text.ts';
import { callVerb, collectRefs } from './tool-paths.ts';
import { SWAP_LINE_BYTES } from './swap.ts';
import { LARGE_LINE_BYTES, MAX_BLOCK_TODOS, OUTPUT_MIN_BYTES } from './types.ts';
import type {
  ExtractedDecision,
  ExtractedFact,
  ExtractedRef,
  ExtractedTodo,
  LargeLine,
  MapBlock,
  MessageLine,
  OutputRecord,
} from './types.ts';

/**
 * Pure; linear in the bytes. `lines` are consecutive, 1 to BLOCK_LINES of them.
 * EXT-1: for every list but `refs`, the record of the first lines is a prefix of the record of them all.
 */
export const mapBlock: MapBlock = (lines) => {
  const facts: ExtractedFact[] = [];
  const decisions: ExtractedDecision[] = [];
  const todos: ExtractedTodo[] = [];
  const refs = new Map<string, ExtractedRef>();
  const outputs: OutputRecord[] = [];
  const large: LargeLine[] = [];
  const callNames = new Map<string, string>();
  let bytes = 0;
  let proposal = '';
  for (const message of lines) {
    const { line, view } = message;
    bytes += message.bytes.length;
    for (const call of view.toolCalls) {
      callNames.set(call.id, callVerb(call));
      collectRefs(line, call, refs);
      for (const todo of plannedTodos(call.name, call.arguments))
        if (todos.length < MAX_BLOCK_TODOS) todos.push({ line, ...todo, planned: true });
    }
    const outputsBefore = outputs.length;
    if (view.toolResults.length > 0) readResults(message, callNames, outputs, refs);
    if (message.bytes.length >= LARGE_LINE_BYTES && outputs.length === outputsBefore) {
      large.push({ line, digest: digestOf(message.bytes), bytes: message.bytes.length });
    }
    if (view.text === '' || (view.role !== 'user' && view.role !== 'assistant')) continue;
    const said = statementsIn(view.text, view.role);
    if (said !== undefined) {
      for (const text of said.facts) if (facts.length < MOST_FACTS) facts.push({ line, text });
      for (const decision of said.decisions) if (decisions.length < MOST_DECISIONS) decisions.push({ line, decision });
      for (const todo of said.todos) if (todos.length < MAX_BLOCK_TODOS) todos.push({ line, ...todo });
    }
    if (view.role === 'assistant') proposal = view.text;
    else {
      const confirmed = confirmedProposal(view.text, proposal);
      if (confirmed !== undefined && decisions.length < MOST_DECISIONS) decisions.push({ line, decision: confirmed });
      proposal = '';
    }
  }
  return {
    firstLine: lines[0]?.line ?? 0,
    lines: lines.length,
    bytes,
    digest: rangeDigest(lines),
    summary: summarizeBlock(lines),
    facts,
    decisions,
    todos,
    refs: [...refs.values()],
    outputs,
    large,
  };
};

const MOST_FACTS = 48;
const MOST_DECISIONS = 48;
const MOST_REFS = 96;
const SUMMARY_UNITS = 120;
const LISTING_NUMBER = /^ *[0-9]{1,9}[→\t]/gm;

function readResults(
  message: MessageLine,
  callNames: ReadonlyMap<string, string>,
  outputs: OutputRecord[],
  refs: Map<string, ExtractedRef>,
): void {
  let lineDigest: Digest | undefined;
  for (const result of message.view.toolResults) {
    if (result.text.length * 3 < OUTPUT_MIN_BYTES) continue;
    const size = Buffer.byteLength(result.text);
    if (size < OUTPUT_MIN_BYTES) continue;
    // Small lines have no row of their own in swap/index.jsonl, so nobody asks for their digest or summary: records stay small.
    const ownRow = message.bytes.length >= SWAP_LINE_BYTES;
    if (ownRow) lineDigest ??= digestOf(message.bytes);
    const summary = ownRow ? outputSummary(result.text, callNames.get(result.id) ?? message.view.name ?? 'tool') : '';
    outputs.push({
      line: message.line,
      callId: result.id,
      digest: digestOf(result.text),
      bytes: size,
      lineDigest: lineDigest ?? '',
      lineBytes: message.bytes.length,
      summary,
    });
    const path = `context/swap/chunk/${lineDigest}`;
    if (size >= LARGE_LINE_BYTES && refs.size < MOST_REFS && !refs.has(path))
      refs.set(path, { line: message.line, path, kind: 'tool_output', summary });
  }
}

function outputSummary(text: string, verb: string): string {
  // Numbers of a listing say nothing in one line.
  return `${verb}: ${clipLine(text.slice(0, SUMMARY_UNITS * 8).replace(LISTING_NUMBER, ''), SUMMARY_UNITS)}`;
}

/** sha256 of the raw lines in order; one update when they lie side by side in one buffer, as the reader gives them. */
function rangeDigest(lines: readonly MessageLine[]): Digest {
  const hash = createHash('sha256');
  let first = 0;
  while (first < lines.length) {
    const head = (lines[first] as MessageLine).bytes;
    let end = head.byteOffset + head.length;
    let next = first + 1;
    for (; next < lines.length; next += 1) {
      const bytes = (lines[next] as MessageLine).bytes;
      if (bytes.buffer !== head.buffer || bytes.byteOffset !== end) break;
      end += bytes.length;
    }
    hash.update(next === first + 1 ? head : Buffer.from(head.buffer, head.byteOffset, end - head.byteOffset));
    first = next;
  }
  return `sha256-${hash.digest('hex')}` as Digest;
}
