import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSource } from '../../src/abi/ranges.ts';
import { mapBlock } from '../../src/context/blocks.ts';
import { contributionEvent, wholeFileEvent } from '../../src/context/contributions.ts';
import { decisionsFold } from '../../src/context/decisions.ts';
import { factsFold } from '../../src/context/facts.ts';
import { refsFold } from '../../src/context/refs.ts';
import { summaryFold } from '../../src/context/summary.ts';
import { parseTodoLine, todoFold } from '../../src/context/todo.ts';
import { BLOCK_LINES, MAX_EXTRACTED_ITEMS } from '../../src/context/types.ts';
import type { BlockRecord, Contribution, KindFold } from '../../src/context/types.ts';
import { blocksOf, codingSession, journal, linesOf, message } from './history.ts';

const FOLDS = [summaryFold, factsFold, decisionsFold, todoFold, refsFold] as unknown as readonly KindFold<unknown>[];

function contribution(eventLine: number, afterLine: number, event: Readonly<Record<string, unknown>>): Contribution {
  return { eventLine, afterLine, type: event['type'] as Contribution['type'], event };
}

/** What the deriver does: whole blocks, contributions, at most one partial block, through plain JSON. */
function textOf<S>(fold: KindFold<S>, steps: readonly (BlockRecord | Contribution)[], limitBytes?: number): string {
  let state = fold.initial();
  for (const step of steps) {
    if ('firstLine' in step) fold.addBlock(state, step);
    else fold.addContribution(state, step);
    state = JSON.parse(JSON.stringify(state)) as S;
  }
  return fold.text(state, limitBytes);
}

const rows = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const block = (firstLine: number, over: Partial<BlockRecord> = {}): BlockRecord => ({
  ...mapBlock(
    linesOf(
      journal(
        Array.from({ length: BLOCK_LINES }, (_, n) => ({ role: 'user', content: `Please look at part ${firstLine + n} of the store.` })),
      ),
      firstLine,
    ),
  ),
  ...over,
});
const session = mapBlock(linesOf(codingSession));

describe('formats of the specification', () => {
  test('facts.jsonl rows are id, text, source', () => {
    expect(textOf(factsFold, [session]).split('\n')[0]).toBe(
      '{"id":"f2","text":"the CI machine has only two cores.","source":"messages:2"}',
    );
  });

  test('decisions.jsonl rows are id, decision, source', () => {
    expect(textOf(decisionsFold, [session]).split('\n')[1]).toBe(
      '{"id":"d12","decision":"Let\'s use SQLite for the lock table.","source":"messages:12"}',
    );
  });

  test('refs.jsonl rows are id, path, kind, summary and the messages that mention it', () => {
    expect(rows(textOf(refsFold, [session]))[0]).toEqual({
      id: 'r3',
      path: '/repo/src/lock.ts',
      kind: 'file',
      summary: 'Read, edit_file',
      source: 'messages:3',
    });
  });

  test('todo.md is checkbox lines with sources, closed by the last statement', () => {
    expect(textOf(todoFold, [session])).toBe(
      [
        '- [ ] document the retry in README.md (messages:11)',
        '- [x] raise the CI timeout (messages:11)',
        '- [x] add a bench for lock contention (messages:12)',
        '- [ ] Write the bench (messages:13)',
        '- [ ] tag the release. (messages:21)',
        '',
      ].join('\n'),
    );
  });

  test('summary.md names the task, the latest request and the source of each line', () => {
    const lines = textOf(summaryFold, [session]).split('\n');
    expect(lines[0]).toMatch(/^Task: Please fix the flaky lock test in src\/lock\.test\.ts\. Remember that .* \[messages:1-21\]$/);
    expect(lines[1]).toBe('Latest request: Decision: ship it as 0.4.1. [messages:1-21]');
    // The task is said once.
    expect(lines[3]).toMatch(/^- Asked: yes, go ahead · .* \[messages:1-21\]$/);
    const head = `${lines[0]}\n${lines[1]}\n`;
    expect(textOf(summaryFold, [session], Buffer.byteLength(head) + 1)).toBe(head);
  });

  test('a file mentioned again keeps its id and gains its range and tools', () => {
    const again = block(65, { refs: [{ line: 70, path: '/repo/src/lock.ts', kind: 'file', summary: 'Grep' }] });
    expect(rows(textOf(refsFold, [session, again]))[0]).toEqual({
      id: 'r3',
      path: '/repo/src/lock.ts',
      kind: 'file',
      summary: 'Read, edit_file, Grep',
      source: 'messages:3-70',
    });
  });
});

test('refs.jsonl names the chunks of the newest whole blocks; under a limit files come first', () => {
  const blocks = Array.from({ length: 12 }, (_, n) =>
    block(1 + n * BLOCK_LINES, { refs: [{ line: 2 + n * BLOCK_LINES, path: `/repo/${n}.ts`, kind: 'file', summary: 'Read' }] }),
  );
  const all = rows(textOf(refsFold, [...blocks, session]));
  const swap = all.filter((row) => row['kind'] === 'swap');
  expect(swap.map((row) => row['path'])).toEqual(blocks.slice(-8).map((one) => `context/swap/chunk/${one.digest}`));
  expect(swap.at(-1)).toMatchObject({ id: 'rs705', source: 'messages:705-768' });
  expect(rows(textOf(refsFold, blocks, 1200)).filter((row) => row['kind'] === 'file')).toHaveLength(12);
});

describe('contributions', () => {
  const line = (file: 'facts.jsonl' | 'decisions.jsonl' | 'refs.jsonl', event: number, value: object, after = 21): Contribution =>
    contribution(event, after, contributionEvent(file, JSON.stringify(value)));

  test('an appended decision is a row; without a source its event is the source', () => {
    expect(rows(textOf(decisionsFold, [session, line('decisions.jsonl', 7, { decision: 'use NATS' })])).at(-1)).toEqual({
      id: 'de7',
      decision: 'use NATS',
      source: 'ev-7',
    });
  });

  test('CTX-5: a contribution of an id wins over the extracted row and over older contributions', () => {
    const text = textOf(factsFold, [
      session,
      line('facts.jsonl', 1, { id: 'f2', text: 'CI has four cores', source: 'user:latest' }),
      line('facts.jsonl', 2, { id: 'f2', text: 'CI has eight cores' }),
    ]);
    expect(rows(text).filter((row) => row['id'] === 'f2')).toEqual([{ id: 'f2', text: 'CI has eight cores', source: 'ev-2' }]);
  });

  test('CTX-5: a contribution that says what was extracted takes its place', () => {
    const text = textOf(factsFold, [session, line('facts.jsonl', 1, { text: 'i prefer  TABS over spaces' })]);
    expect(rows(text).map((row) => row['id'])).toEqual(['f2', 'f5', 'f12-2', 'fe1']);
  });

  test('CTX-6: a retraction removes the row of its id, in its own file only, until it is contributed again', () => {
    const gone = line('facts.jsonl', 1, { retract: 'f2' });
    expect(textOf(factsFold, [session, gone])).not.toContain('two cores');
    expect(textOf(decisionsFold, [session, line('facts.jsonl', 1, { retract: 'd12' })])).toContain('SQLite');
    expect(textOf(factsFold, [session, gone, line('facts.jsonl', 2, { id: 'f2', text: 'three cores' })])).toContain('three cores');
  });

  test('CTX-7: what was written to summary.md reads back until there is more to say', () => {
    const written = contribution(3, 21, wholeFileEvent('summary.md', '# Mine\n\nAll is well.\n'));
    expect(textOf(summaryFold, [session, written])).toBe('# Mine\n\nAll is well.\n');
    expect(textOf(summaryFold, [written, block(1)])).toMatch(
      /^# Mine\n\nAll is well\.\n\n- Asked: Please look at part 1 .* \[messages:1-64\]\n$/,
    );
    expect(textOf(summaryFold, [session, written, contribution(4, 21, wholeFileEvent('summary.md', '\n'))])).toMatch(/^Task: /);
    expect(textOf(summaryFold, [session, written, contribution(4, 21, { type: 'context.retract', target: 'ev-3' })])).toMatch(/^Task: /);
  });

  test('CTX-7: a summary with a source speaks for those messages only', () => {
    const text = textOf(summaryFold, [
      block(1),
      block(65),
      contribution(1, 128, { type: 'context.summary', content: 'Up to 64.', source: 'messages:1-64', model: 'tiny' }),
    ]);
    expect(text).toMatch(/^Up to 64\.\n\n- .*\[messages:65-128\]\n$/);
  });

  test('CTX-15: an open item that a planning tool no longer lists is gone; what is done or contributed stays', () => {
    const plan = (line: number, ...items: [text: string, done: boolean][]): BlockRecord['todos'] =>
      items.map(([text, done]) => ({ line, text, done, planned: true }));
    const record = block(1, {
      todos: [
        ...plan(3, ['Write it', true], ['Test it', false], ['Ship it', false]),
        ...plan(9, ['Ship it', false], ['Tell them', false]),
        { line: 12, text: 'By hand', done: false },
        ...plan(20, ['Tell them', false]),
      ],
    });
    const kept = contribution(1, 5, { type: 'context.todo', text: 'Test it', done: false });
    const shown = (parts: readonly (BlockRecord | Contribution)[]): string[] =>
      textOf(todoFold, parts)
        .split('\n')
        .slice(0, -1)
        .map((line) => line.replace(/ \(.*/, ''));
    expect(shown([record])).toEqual(['- [x] Write it', '- [ ] Tell them', '- [ ] By hand']);
    expect(shown([record, kept])).toEqual(['- [x] Write it', '- [ ] Test it', '- [ ] Tell them', '- [ ] By hand']);
    expect(shown([kept, record])).toEqual(shown([record, kept]));
    const again = block(65, { todos: plan(70, ['Tell them', false], ['Ship it', false]) });
    expect(shown([record, again])).toContain('- [ ] Ship it');
  });

  test('CTX-8: what was written to todo.md reads back; later statements flip its boxes and add items', () => {
    const own = '# Plan\n\n- [ ] Tag the release\n- [ ] rest\n';
    const written = contribution(3, 64, wholeFileEvent('todo.md', own));
    const later = block(65, {
      todos: [
        { line: 70, text: 'tag the release.', done: true },
        { line: 71, text: 'sleep', done: false },
      ],
    });
    expect(textOf(todoFold, [session, written])).toBe(own);
    expect(textOf(todoFold, [session, written, later])).toBe('# Plan\n\n- [x] Tag the release\n- [ ] rest\n- [ ] sleep (messages:71)\n');
    expect(textOf(todoFold, [session, written, contribution(4, 64, wholeFileEvent('todo.md', ''))])).toContain('document the retry');
  });

  test('a todo item can be contributed, closed and retracted by events', () => {
    const add = contribution(5, 21, { type: 'context.todo', text: 'Rest', source: 'messages:3' });
    expect(textOf(todoFold, [session, add])).toContain('- [ ] Rest (messages:3)\n');
    expect(textOf(todoFold, [session, add, contribution(6, 21, { type: 'context.todo', text: 'rest', done: true })])).toContain(
      '- [x] Rest (messages:3)\n',
    );
    expect(textOf(todoFold, [session, add, contribution(6, 21, { type: 'context.retract', target: 'te5' })])).not.toContain('Rest');
  });

  test('malformed events change nothing', () => {
    for (const fold of FOLDS) {
      const before = textOf(fold, [session]);
      for (const type of ['context.fact', 'context.decision', 'context.todo', 'context.ref', 'context.summary', 'context.retract']) {
        expect(
          textOf(fold, [
            session,
            contribution(1, 21, { type }),
            contribution(2, 21, { type, text: 7, decision: null, path: [], content: {}, target: 3 }),
          ]),
        ).toBe(before);
      }
    }
  });
});

const wordsOf = (n: number): string => ['red', 'green', 'blue', 'white'][n % 4] as string;
const event: fc.Arbitrary<Record<string, unknown>> = fc.oneof(
  fc
    .nat(9)
    .map((n) =>
      contributionEvent('facts.jsonl', JSON.stringify({ text: `The ${wordsOf(n)} key opens it`, ...(n > 5 ? { id: `f${n}` } : {}) })),
    ),
  fc
    .nat(9)
    .map((n) => contributionEvent('decisions.jsonl', JSON.stringify({ decision: `use ${wordsOf(n)}`, source: `messages:${n + 1}` }))),
  fc.nat(9).map((n) => contributionEvent('refs.jsonl', JSON.stringify({ path: `/repo/${wordsOf(n)}`, kind: 'file' }))),
  fc
    .tuple(fc.constantFrom('f', 'd', 'r', 't'), fc.integer({ min: 1, max: 90 }))
    .map(([letter, n]) => ({ type: 'context.retract', target: `${letter}${n}` })),
  fc.constantFrom('- [ ] write the docs\n- [x] add a test\n', '', 'no boxes').map((text) => wholeFileEvent('todo.md', text)),
  fc.record({ type: fc.constant('context.todo'), text: fc.constantFrom('add a test', 'write the docs', 'rest'), done: fc.boolean() }),
  fc.constantFrom('Mine.', '').map((text) => wholeFileEvent('summary.md', text)),
);

const stream = fc.record({
  messages: fc.array(message, { minLength: 1, maxLength: 160 }),
  events: fc.array(fc.record({ at: fc.nat(160), event }), { maxLength: 6 }),
});

/** Blocks and contributions in stream order; a contribution inside a block comes before or after it. */
function steps(
  { messages, events }: { messages: readonly object[]; events: readonly { at: number; event: Record<string, unknown> }[] },
  straddlersFirst: boolean,
): (BlockRecord | Contribution)[] {
  const blocks = blocksOf(linesOf(journal(messages)));
  const contributions = events
    .toSorted((a, b) => a.at - b.at)
    .map(({ at, event: one }, n) => contribution(n + 1, Math.min(at, messages.length), one));
  const out: (BlockRecord | Contribution)[] = [];
  for (const one of blocks) {
    const from = straddlersFirst ? one.firstLine + one.lines - 1 : one.firstLine;
    while (contributions[0] !== undefined && contributions[0].afterLine < from) out.push(contributions.shift() as Contribution);
    out.push(one);
  }
  return [...out, ...contributions];
}

test('CTX-9: it makes no difference whether a contribution inside a block is folded before or after the block', () => {
  fc.assert(
    fc.property(stream, (one) => {
      for (const fold of FOLDS) expect(textOf(fold, steps(one, true))).toBe(textOf(fold, steps(one, false)));
    }),
    { numRuns: 60 },
  );
});

test('CTX-9: of two statements about an item the earlier names it and the later decides, in either order of folding', () => {
  const early = block(1, { todos: [{ line: 10, text: 'Add a test', done: false }] });
  const late = block(1, { todos: [{ line: 50, text: 'Add a test', done: true }] });
  const between = contribution(1, 20, { type: 'context.todo', text: 'add a test', done: true });
  const reopened = contribution(1, 20, { type: 'context.todo', text: 'add a test', done: false });
  for (const steps of [
    [early, between],
    [between, early],
  ])
    expect(textOf(todoFold, steps)).toBe('- [x] Add a test (messages:10)\n');
  for (const steps of [
    [late, reopened],
    [reopened, late],
  ])
    expect(textOf(todoFold, steps)).toBe('- [x] add a test (ev-1)\n');
});

test('CTX-10: ids are unique and stay when history grows; every source resolves', () => {
  fc.assert(
    fc.property(stream, fc.nat(), (one, pick) => {
      const part = { messages: one.messages.slice(0, 1 + (pick % one.messages.length)), events: [] };
      for (const fold of [factsFold, decisionsFold, refsFold] as const) {
        const grown = rows(textOf(fold, steps(one, true)));
        expect(new Set(grown.map((row) => row['id'])).size).toBe(grown.length);
        for (const row of grown) expect(parseSource(String(row['source']))).toBeDefined();
        const alone = rows(textOf(fold, steps({ ...one, events: [] }, true)));
        for (const row of rows(textOf(fold, steps(part, true)))) expect(alone.map((other) => other['id'])).toContain(row['id']);
      }
      for (const text of textOf(todoFold, steps({ ...one, events: [] }, true))
        .split('\n')
        .slice(0, -1))
        expect(parseTodoLine(text)).toBeDefined();
    }),
    { numRuns: 60 },
  );
});

test('CTX-11: a limit in bytes holds, keeps whole lines and their order', () => {
  fc.assert(
    fc.property(stream, fc.nat(3000), (one, limit) => {
      for (const fold of FOLDS) {
        const whole = textOf(fold, steps(one, true));
        const bounded = textOf(fold, steps(one, true), limit);
        expect(Buffer.byteLength(bounded)).toBeLessThanOrEqual(limit);
        expect(bounded === '' || bounded.endsWith('\n')).toBe(true);
        if (fold === (summaryFold as unknown)) continue;
        const lines = whole.split('\n');
        let at = 0;
        for (const row of bounded.split('\n').slice(0, -1)) {
          const found = lines.indexOf(row, at);
          expect(found).toBeGreaterThanOrEqual(at);
          at = found + 1;
        }
        if (Buffer.byteLength(whole) <= limit) expect(bounded).toBe(whole);
      }
    }),
    { numRuns: 60 },
  );
});

test('under a limit contributions stay, then what was stated last', () => {
  const own = contribution(1, 0, contributionEvent('facts.jsonl', '{"text":"mine"}'));
  const stated = block(1, {
    facts: [
      { line: 1, text: 'the oldest of all' },
      { line: 9, text: 'the newest of all' },
    ],
  });
  expect(rows(textOf(factsFold, [own, stated], 110)).map((row) => row['text'])).toEqual(['mine', 'the newest of all']);
});

describe('a long history', () => {
  const many = Array.from({ length: 700 }, (_, n) =>
    block(1 + n * BLOCK_LINES, {
      facts: Array.from({ length: 5 }, (__, k) => ({ line: 1 + n * BLOCK_LINES + k, text: `fact ${n} ${k} about the store` })),
      todos: [{ line: 2 + n * BLOCK_LINES, text: `item ${n}`, done: n % 2 === 0 }],
    }),
  );

  test('CTX-12: the summary is hierarchical: O(log n) lines that cover every message once, newest in most detail', () => {
    const state = summaryFold.initial();
    for (const one of many) summaryFold.addBlock(state, one);
    expect(state.levels.flat().length).toBeLessThan(3 * 32);
    const ranges = [...summaryFold.text(state).matchAll(/^- .*\[messages:(\d+)-(\d+)\]$/gm)].map(
      ([, first, last]) => [Number(first), Number(last)] as const,
    );
    expect(ranges[0]?.[0]).toBe(1);
    expect(ranges.at(-1)?.[1]).toBe(700 * BLOCK_LINES);
    ranges.forEach(([first], n) => expect(first).toBe(n === 0 ? 1 : (ranges[n - 1]?.[1] ?? 0) + 1));
    expect(ranges.slice(-16).every(([first, last]) => last - first === BLOCK_LINES - 1)).toBe(true);
  });

  test('CTX-12: a bounded summary still covers the whole history', () => {
    const text = textOf(summaryFold, many.slice(0, 100), 1500);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1500);
    expect(text).toContain('[messages:1-');
    expect(text).toContain(`-${100 * BLOCK_LINES}]`);
  });

  test('extracted items are bounded, the newest stay; open todos outlive done ones', () => {
    const facts = factsFold.initial();
    const todo = todoFold.initial();
    for (const one of many) {
      factsFold.addBlock(facts, one);
      todoFold.addBlock(todo, one);
    }
    const kept = rows(factsFold.text(facts));
    expect(kept.length).toBe(MAX_EXTRACTED_ITEMS);
    expect(kept.at(-1)?.['text']).toBe('fact 699 4 about the store');
    expect(Object.keys(facts.places).length).toBe(MAX_EXTRACTED_ITEMS);
    expect(todoFold.text(todo).split('\n').length).toBe(701);
  });
});
