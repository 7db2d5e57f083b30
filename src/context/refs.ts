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
import type { KindFold } from './types.ts';

export const REF_KINDS = ['file', 'artifact', 'tool_output', 'swap', 'child_result'] as const;
export type RefKind = (typeof REF_KINDS)[number];

export function isRefKind(value: unknown): value is RefKind {
  return (REF_KINDS as readonly unknown[]).includes(value);
}

export const refsFold: KindFold<RowState> = {
  kind: 'refs',
  initial: initialRows,
  addBlock(state, block) {
    const counts = new Map<number, number>();
    for (const { line, path, kind, summary } of block.refs) {
      const fields = { path, kind, summary, source: `messages:${line}` };
      addExtracted(state, { id: placeId('r', line, counts), line, lastLine: line, event: 0, key: `=${path}`, fields }, mentionAgain);
    }
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
  text: rowsText,
};

const MOST_SUMMARY_UNITS = 160;

/** One row a path: first and last mention, every tool once in order of first use. */
function mentionAgain(known: Row, again: Row): Row {
  let summary = String(known.fields['summary']);
  const verbs = new Set(summary.split(', '));
  for (const verb of String(again.fields['summary']).split(', ')) {
    if (!verbs.has(verb) && summary.length + verb.length < MOST_SUMMARY_UNITS) summary += `, ${verb}`;
  }
  return { ...known, lastLine: again.line, fields: { ...known.fields, summary, source: `messages:${known.line}-${again.line}` } };
}
