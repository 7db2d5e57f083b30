import { Ajv2020 } from 'ajv/dist/2020.js';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { mapBlock } from '../../src/context/blocks.ts';
import { contributionEvent, wholeFileEvent } from '../../src/context/contributions.ts';
import { decisionsFold } from '../../src/context/decisions.ts';
import { dedupFold } from '../../src/context/dedup.ts';
import { factsFold } from '../../src/context/facts.ts';
import { refsFold } from '../../src/context/refs.ts';
import { swapRows } from '../../src/context/swap.ts';
import type { KindFold } from '../../src/context/types.ts';
import { codingSession, linesOf } from './history.ts';

const block = mapBlock(linesOf(codingSession));

function folded<S>(fold: Pick<KindFold<S>, 'initial' | 'addBlock' | 'text'>): string {
  const state = fold.initial();
  fold.addBlock(state, block);
  return fold.text(state);
}

const events = [
  contributionEvent('facts.jsonl', '{"text":"a","id":"f1","source":"messages:1-2"}'),
  contributionEvent('decisions.jsonl', '{"decision":"a","by":"tiny"}'),
  contributionEvent('refs.jsonl', '{"path":"a.ts","kind":"file"}'),
  contributionEvent('facts.jsonl', '{"retract":"f1"}'),
  wholeFileEvent('summary.md', 'text'),
  wholeFileEvent('todo.md', '- [ ] a'),
  wholeFileEvent('todo.md', ''),
];

test.each([
  ['fact', folded(factsFold)],
  ['decision', folded(decisionsFold)],
  ['ref', folded(refsFold)],
  ['swap-row', swapRows(block)],
  ['dedup-row', folded(dedupFold)],
  ['contribution', events.map((event) => `${JSON.stringify(event)}\n`).join('')],
])('what is written validates against abi-spec/schema/%s.json', (name, text) => {
  const schema = JSON.parse(readFileSync(new URL(`../../abi-spec/schema/${name}.json`, import.meta.url), 'utf8')) as object;
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
  const rows = text.trimEnd().split('\n');
  expect(rows.length).toBeGreaterThan(0);
  for (const row of rows) expect(validate(JSON.parse(row)), `${row} ${JSON.stringify(validate.errors)}`).toBe(true);
});
