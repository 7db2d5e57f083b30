import { expect, test } from 'vitest';
import { contributionEvent, isContributionType, wholeFileEvent } from '../../src/context/contributions.ts';
import { CtxError } from '../../src/abi/errors.ts';

test.each([
  [
    'facts.jsonl',
    { text: 'CI has two cores', source: 'messages:12-18' },
    { type: 'context.fact', text: 'CI has two cores', source: 'messages:12-18' },
  ],
  ['facts.jsonl', { id: 'f1', text: 'x' }, { type: 'context.fact', id: 'f1', text: 'x' }],
  ['decisions.jsonl', { decision: 'use NATS' }, { type: 'context.decision', decision: 'use NATS' }],
  [
    'decisions.jsonl',
    { decision: 'd', model: 'tiny', digest: 'sha256-0' },
    { type: 'context.decision', decision: 'd', model: 'tiny', digest: 'sha256-0' },
  ],
  [
    'refs.jsonl',
    { id: 'r2', path: 'context/swap/chunk/sha256-abc', kind: 'swap', summary: 'old' },
    { type: 'context.ref', id: 'r2', path: 'context/swap/chunk/sha256-abc', kind: 'swap', summary: 'old' },
  ],
  ['facts.jsonl', { retract: 'f1' }, { type: 'context.retract', file: 'facts.jsonl', target: 'f1' }],
  ['decisions.jsonl', { id: 'd1', retract: true }, { type: 'context.retract', file: 'decisions.jsonl', target: 'd1' }],
  ['decisions.jsonl', { type: 'context.retract', target: 'd1' }, { type: 'context.retract', file: 'decisions.jsonl', target: 'd1' }],
] as const)('CNT-1: a line of %s, %j, becomes an event', (file, row, event) => {
  const made = contributionEvent(file, Buffer.from(JSON.stringify(row)));
  expect(made).toEqual(event);
  expect(isContributionType(made.type)).toBe(true);
});

test.each([
  ['facts.jsonl', '{"text":"a"'],
  ['facts.jsonl', '["a"]'],
  ['facts.jsonl', '"a"'],
  ['facts.jsonl', ''],
  ['facts.jsonl', '{"decision":"a"}'],
  ['facts.jsonl', '{"text":" "}'],
  ['facts.jsonl', '{"text":7}'],
  ['facts.jsonl', '{"text":"a","id":"__proto__"}'],
  ['facts.jsonl', '{"text":"a","id":7}'],
  ['facts.jsonl', '{"text":"a","source":"nowhere at all"}'],
  ['facts.jsonl', '{"text":"a","source":"messages:9-3"}'],
  ['facts.jsonl', '{"text":"a","type":"context.ref"}'],
  ['facts.jsonl', '{"retract":"*"}'],
  ['facts.jsonl', '{"retract":true}'],
  ['facts.jsonl', '{"text":"a\u0000"}'],
  ['decisions.jsonl', '{"text":"a"}'],
  ['refs.jsonl', '{"path":"a.ts","kind":"thing"}'],
  ['refs.jsonl', '{"path":"a\\nb"}'],
  ['refs.jsonl', '{"path":"a.ts","summary":1}'],
] as const)('CNT-2: %s refuses the line %s', (file, line) => {
  expect(() => contributionEvent(file, line)).toThrow(expect.objectContaining({ errno: 'EINVAL', where: `context/${file}` }) as CtxError);
});

test('CNT-2: invalid UTF-8 is refused', () => {
  expect(() => contributionEvent('facts.jsonl', Buffer.from([0x7b, 0xff, 0x7d]))).toThrow(
    expect.objectContaining({ errno: 'EINVAL' }) as CtxError,
  );
  expect(() => wholeFileEvent('todo.md', Buffer.from([0xc3]))).toThrow(expect.objectContaining({ errno: 'EINVAL' }) as CtxError);
});

test('CNT-3: a whole summary.md or todo.md is one event; empty takes it back; over-long is EFBIG', () => {
  expect(wholeFileEvent('summary.md', Buffer.from('# S\n'))).toEqual({ type: 'context.summary', content: '# S\n' });
  expect(wholeFileEvent('todo.md', '- [ ] a\n')).toEqual({ type: 'context.todo', content: '- [ ] a\n' });
  expect(wholeFileEvent('todo.md', ' \n')).toEqual({ type: 'context.retract', file: 'todo.md', target: '*' });
  expect(() => wholeFileEvent('summary.md', 'x'.repeat(65_537))).toThrow(expect.objectContaining({ errno: 'EFBIG' }) as CtxError);
  expect(wholeFileEvent('todo.md', 'x'.repeat(65_537))['content']).toHaveLength(65_537);
  expect(() => wholeFileEvent('todo.md', 'x'.repeat(1024 * 1024 + 1))).toThrow(expect.objectContaining({ errno: 'EFBIG' }) as CtxError);
  expect(() => contributionEvent('facts.jsonl', JSON.stringify({ text: 'x'.repeat(4097) }))).toThrow(
    expect.objectContaining({ errno: 'EFBIG' }) as CtxError,
  );
});
