// context/facts.jsonl: {"id","text","source"}, stable facts as they were stated.
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
  statementKey,
} from './rows.ts';
import type { RowState } from './rows.ts';
import type { KindFold } from './types.ts';

export const factsFold: KindFold<RowState> = {
  kind: 'facts',
  initial: initialRows,
  addBlock(state, block) {
    const counts = new Map<number, number>();
    for (const { line, text } of block.facts) {
      const fields = { text, source: `messages:${line}` };
      addExtracted(state, { id: placeId('f', line, counts), line, lastLine: line, event: 0, key: statementKey(text), fields }, restate);
    }
  },
  addContribution(state, contribution) {
    if (retract(state, contribution, 'facts.jsonl') || contribution.type !== 'context.fact') return;
    const text = statedText(contribution.event['text']);
    if (text === undefined) return;
    addContributed(state, {
      id: contributedId('f', contribution),
      line: contribution.afterLine,
      lastLine: contribution.afterLine,
      event: contribution.eventLine,
      key: statementKey(text),
      fields: { text, source: contributedSource(contribution) },
    });
  },
  text: rowsText,
};

/** A fact that is stated again keeps its first place and gains weight. */
function restate<R extends { readonly lastLine: number }>(known: R, again: R): R {
  return { ...known, lastLine: again.lastLine };
}
