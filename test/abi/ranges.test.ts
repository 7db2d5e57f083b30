import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatSource, parseSource, sourceOfItem } from '../../src/abi/ranges.ts';
import type { SourceRef } from '../../src/abi/ranges.ts';

const line = fc.integer({ min: 1, max: 999_999_999 });
const source: fc.Arbitrary<SourceRef> = fc.oneof(
  fc
    .tuple(fc.constantFrom<'messages' | 'events'>('messages', 'events'), line, line)
    .map(([kind, a, b]) => ({ kind, first: Math.min(a, b), last: Math.max(a, b) })),
  line.map((lines) => ({ kind: 'tail' as const, lines })),
  fc.constantFrom<SourceRef>({ kind: 'latest', role: 'user' }, { kind: 'latest', role: 'assistant' }),
  fc
    .tuple(fc.constantFrom<'swap' | 'dedup' | 'tool'>('swap', 'dedup', 'tool'), fc.stringMatching(/^[a-zA-Z0-9_.:+-]{1,40}$/))
    .map(([kind, id]) => ({ kind, id })),
  fc.constantFrom('context/pinned/system.md', '/work/DESIGN.md', 'DESIGN.md').map((path) => ({ kind: 'file' as const, path })),
);

describe('the source grammar', () => {
  test('every form of the specification reads', () => {
    expect(parseSource('messages:12-18')).toEqual({ kind: 'messages', first: 12, last: 18 });
    expect(parseSource('1-120')).toEqual({ kind: 'messages', first: 1, last: 120 });
    expect(parseSource('tail:40')).toEqual({ kind: 'tail', lines: 40 });
    expect(parseSource('msg-001')).toEqual({ kind: 'messages', first: 1, last: 1 });
    expect(parseSource('ev-991')).toEqual({ kind: 'events', first: 991, last: 991 });
    expect(parseSource('user:latest')).toEqual({ kind: 'latest', role: 'user' });
    expect(parseSource('swap:old-design')).toEqual({ kind: 'swap', id: 'old-design' });
    expect(parseSource('tool:test-output-1')).toEqual({ kind: 'tool', id: 'test-output-1' });
    expect(parseSource('sha256-0123abcd')).toEqual({ kind: 'swap', id: 'sha256-0123abcd' });
    expect(parseSource('context/child/rev-123/result.md')).toEqual({ kind: 'file', path: 'context/child/rev-123/result.md' });
    expect(sourceOfItem('messages.jsonl', 'tail:40')).toEqual({ kind: 'tail', lines: 40 });
    expect(sourceOfItem('events.jsonl', '3')).toEqual({ kind: 'events', first: 3, last: 3 });
  });

  test('what is none of the forms is refused', () => {
    for (const text of [
      '',
      'messages:0',
      'messages:5-4',
      'messages:',
      'tail:0',
      'swap:',
      'one\nline/two',
      'nonsense',
      '12-',
      'messages:1-2-3',
    ])
      expect(parseSource(text)).toBeUndefined();
  });

  test('formatting and parsing are inverse', () => {
    fc.assert(
      fc.property(source, (ref) => {
        expect(parseSource(formatSource(ref))).toEqual(ref);
      }),
    );
  });
});
