import { expect, test } from 'vitest';
import { childRefRows, readChildren, referencedChildren } from '../../src/context/child.ts';

const files = new Map<string, Buffer | string>([
  ['context/child/rev-123/status', 'done\n'],
  ['context/child/rev-123/agent', 'reviewer\n'],
  ['context/child/rev-123/session', 'default\n'],
  ['context/child/rev-123/result.md', Buffer.from('# Review\n\nThe lock is right; two names are not.\n')],
  ['context/child/rev-123/handoff.md', 'Review src/lock.ts\n'],
  [
    'context/child/rev-123/refs.jsonl',
    '{"path":"/repo/src/lock.ts","kind":"file","summary":"reviewed"}\nnot json\n{"kind":"file"}\n{"path":"x.md","kind":"odd"}\n',
  ],
  ['context/child/rev-123/artifact/', 'names.patch\n'],
  ['context/child/b/status', 'odd'],
  ['context/child/.x/status', 'done'],
  ['context/pinned/a.md', ''],
]);

test('children are read from their files, in id order; odd values fall back', () => {
  const [b, review] = readChildren(files);
  expect(b).toEqual({ id: 'b', agent: '', session: '', status: 'pending', handoff: '', result: '', artifacts: [], refs: [] });
  expect(review).toMatchObject({
    id: 'rev-123',
    agent: 'reviewer',
    session: 'default',
    status: 'done',
    handoff: 'Review src/lock.ts\n',
    artifacts: ['names.patch'],
    refs: [
      { path: '/repo/src/lock.ts', kind: 'file', summary: 'reviewed' },
      { path: 'x.md', kind: 'file', summary: '' },
    ],
  });
});

test('CTX-13: a child result is merged as a result ref, its artifacts and its own refs', () => {
  const rows = childRefRows(readChildren(files)).map(({ id, fields }) => ({ id, ...fields }) as Record<string, string>);
  expect(rows.map((row) => [row['id'], row['kind'], row['path']])).toEqual([
    ['c-rev-123', 'child_result', 'context/child/rev-123/result.md'],
    ['c-rev-123:names.patch', 'artifact', 'context/child/rev-123/artifact/names.patch'],
    ['c-rev-123:ref-1', 'file', '/repo/src/lock.ts'],
    ['c-rev-123:ref-2', 'file', 'x.md'],
  ]);
  expect(rows[0]?.['summary']).toBe('done reviewer: Review');
  expect(rows.every((row) => files.has(row['source'] ?? ''))).toBe(true);
});

test('children named anywhere in the parent context are found', () => {
  expect(
    [...referencedChildren(['{"source":"context/child/rev-123/result.md"} and context/child/b.', 'child/c', 'context/child/-'])].sort(),
  ).toEqual(['b', 'b.', 'rev-123']);
});
