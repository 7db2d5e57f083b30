// context/refs.jsonl: {"id","path","kind","summary","source"}: files, artifacts, tool outputs and swap references.
import {
  addContributed,
  addExtracted,
  contributedId,
  contributedSource,
  initialRows,
  placeId,
  retract,
  rowsText,
  statedText,
} from './rows.ts';
import type { Row, RowState } from './rows.ts';
import { clipLine } from './sentences.ts';
import { BLOCK_LINES } from './types.ts';
import type { BlockRecord, KindFold } from './types.ts';

export const REF_KINDS = ['file', 'artifact', 'tool_output', 'swap', 'child_result'] as const;
export type RefKind = (typeof REF_KINDS)[number];

export function isRefKind(value: unknown): value is RefKind {
  return (REF_KINDS as readonly unknown[]).includes(value);
}

/** Plain JSON. */
export interface RefState extends RowState {
  /** Chunks of the newest whole blocks. Under a limit they come after every file and output. */
  chunks: Row[];
}

export const refsFold: KindFold<RefState> = {
  kind: 'refs',
  initial: () => ({ ...initialRows(), chunks: [] }),
  addBlock(state, block) {
    const counts = new Map<number, number>();
    for (const { line, path, kind, summary } of block.refs) {
      const fields = { path, kind, summary, source: `messages:${line}` };
      addExtracted(state, { id: placeId('r', line, counts), line, lastLine: line, event: 0, key: `=${path}`, fields }, mentionAgain);
    }
    if (block.lines === BLOCK_LINES) state.chunks = [...state.chunks, chunkRow(block)].slice(-MOST_CHUNKS);
  },
  addContribution(state, contribution) {
    if (retract(state, contribution, 'refs.jsonl') || contribution.type !== 'context.ref') return;
    const { kind } = contribution.event;
    const path = statedText(contribution.event['path']);
    if (path === undefined) return;
    addContributed(state, {
      id: contributedId('r', contribution),
      line: contribution.afterLine,
      lastLine: contribution.afterLine,
      event: contribution.eventLine,
      key: `=${path}`,
      fields: {
        path,
        kind: isRefKind(kind) ? kind : 'file',
        summary: statedText(contribution.event['summary']) ?? '',
        source: contributedSource(contribution),
      },
    });
  },
  text: (state, limitBytes) => rowsText(state, limitBytes, state.chunks),
};

/** refs.jsonl as a file: with the rows of children, whose results are items of their own in a pack. */
export function refsFileText(state: RefState, children: readonly Row[]): string {
  const paths = new Set(children.map((row) => row.key));
  const items = state.items.filter((row) => !paths.has(row.key));
  return rowsText({ ...state, items }, undefined, [...state.chunks, ...children]);
}

const MOST_SUMMARY_UNITS = 160;
const MOST_CHUNKS = 8;

function chunkRow(block: BlockRecord): Row {
  const path = `context/swap/chunk/${block.digest}`;
  const source = `messages:${block.firstLine}-${block.firstLine + block.lines - 1}`;
  const fields = { path, kind: 'swap', summary: clipLine(block.summary, MOST_SUMMARY_UNITS), source };
  return { id: `rs${block.firstLine}`, line: block.firstLine, lastLine: 0, event: 0, key: `=${path}`, fields };
}

/** One row a path: first and last mention, every tool once in order of first use. */
function mentionAgain(known: Row, again: Row): Row {
  let summary = String(known.fields['summary']);
  const verbs = new Set(summary.split(', '));
  for (const verb of String(again.fields['summary']).split(', ')) {
    if (!verbs.has(verb) && summary.length + verb.length < MOST_SUMMARY_UNITS) summary += `, ${verb}`;
  }
  return { ...known, lastLine: again.line, fields: { ...known.fields, summary, source: `messages:${known.line}-${again.line}` } };
}
