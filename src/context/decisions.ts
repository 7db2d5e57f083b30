// context/decisions.jsonl: {"id","decision","source"}, accepted decisions as they were stated.
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

export const decisionsFold: KindFold<RowState> = {
  kind: 'decisions',
  initial: initialRows,
  addBlock(state, block) {
    const counts = new Map<number, number>();
    for (const { line, decision } of block.decisions) {
      const fields = { decision, source: `messages:${line}` };
      addExtracted(state, { id: placeId('d', line, counts), line, lastLine: line, event: 0, key: statementKey(decision), fields });
    }
  },
  addContribution(state, contribution) {
    if (retract(state, contribution, 'decisions.jsonl') || contribution.type !== 'context.decision') return;
    const decision = statedText(contribution.event['decision']);
    if (decision === undefined) return;
    addContributed(state, {
      id: contributedId('d', contribution),
      line: contribution.afterLine,
      lastLine: contribution.afterLine,
      event: contribution.eventLine,
      key: statementKey(decision),
      fields: { decision, source: contributedSource(contribution) },
    });
  },
  text: rowsText,
};
