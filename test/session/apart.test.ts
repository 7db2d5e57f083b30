// What a pool builds apart is what one thread builds line by line.
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SECTION_FOLDS, SECTION_KINDS, SectionFolds } from '../../src/session/section-folds.ts';
import type { SectionState } from '../../src/session/section-folds.ts';
import { mapHistory, mapWhole } from '../../src/session/map-history.ts';
import type { MapTask } from '../../src/session/map-history.ts';
import { parseMessage } from '../../src/session/message-lines.ts';
import { openSessionDeriver, readContent } from '../../src/session/session-deriver.ts';
import type { DeriverServices } from '../../src/session/services.ts';
import { SessionHistory } from '../../src/session/session-history.ts';
import { BLOCK_LINES } from '../../src/context/types.ts';
import { messageText } from '../bench/pack-corpus.ts';
import { TestSession, services } from './session-fixture.ts';

const LINES = 6000;
let session: TestSession;
beforeEach(async () => {
  session = new TestSession({ 'context/budget': '2000\n' });
  for (let n = 1; n <= LINES; n += 1000) {
    const lines = Array.from({ length: 1000 }, (_, k) => `${messageText(n + k)}\n`).join('');
    expect(session.journals.messages.write(`bulk:${n}`, Buffer.from(lines))).toBe(Buffer.byteLength(lines));
  }
  await session.deriver.close();
});
afterEach(async () => {
  session.deriver = session.open();
  await session.end();
});

/** A pool whose tasks run here, noted down. */
function withPool(ran: MapTask[]): DeriverServices {
  return {
    ...services,
    pool: {
      size: 2,
      map: async (task) => {
        ran.push(task);
        return Promise.resolve(mapHistory(task));
      },
      close: async () => Promise.resolve(),
    },
  };
}

async function packWith(with_: DeriverServices): Promise<string> {
  const deriver = openSessionDeriver(session.directory, with_);
  const { messages, events } = session.journals;
  const content = await deriver.fetch('pack.json', { messagesBytes: messages.sizeBytes, eventsBytes: events.sizeBytes });
  const text = readContent(content).toString();
  await deriver.close();
  return text;
}

test('IDX-12 a pack from blocks and segments that a pool built is the pack that one thread builds', async () => {
  const cache = join(session.directory, 'context/.cache');
  rmSync(cache, { recursive: true, force: true });
  const { pool: _pool, ...single } = services;
  const alone = await packWith(single);
  rmSync(cache, { recursive: true, force: true });
  const ran: MapTask[] = [];
  expect(await packWith(withPool(ran))).toBe(alone);
  expect(ran.filter((task) => task.segment !== undefined).map(({ firstLine, blocks }) => [firstLine, blocks])).toEqual([[1, false]]);

  // The index alone is gone: its segments are built apart, no block is mapped again.
  rmSync(join(cache, 'recall'), { recursive: true, force: true });
  rmSync(join(cache, 'checkpoint.json'), { force: true });
  rmSync(join(cache, 'memos.json'), { force: true });
  ran.length = 0;
  expect(await packWith(withPool(ran))).toBe(alone);
  expect(ran.map(({ segment, blocks }) => [segment?.number, blocks])).toEqual([[0, false]]);

  // Everything is there: nothing runs.
  ran.length = 0;
  expect(await packWith(withPool(ran))).toBe(alone);
  expect(ran).toEqual([]);
});

test('IDX-12 blocks mapped from a file are those mapped from their lines, however long the lines and wherever the file is cut', () => {
  const lines = Array.from({ length: BLOCK_LINES * 4 }, (_, n) => {
    const long = n === 70 ? 3 << 20 : n % 50 === 9 ? 200_000 : 300;
    return `${JSON.stringify({ role: n % 3 === 0 ? 'user' : 'assistant', content: `${n} ${'said é '.repeat(long / 7)}` })}\n`;
  });
  const paths = ['a', 'b'].map((name) => join(session.root, name));
  const cut = BLOCK_LINES + 5;
  writeFileSync(paths[0] as string, lines.slice(0, cut).join(''));
  writeFileSync(paths[1] as string, `elsewhere\n${lines.slice(cut).join('')}`);
  const extents = paths.map((path, i) => ({ path, offsetBytes: i * 10, sizeBytes: statSync(path).size - i * 10 }));
  const wanted = Array.from({ length: 4 }, (_, block) =>
    mapWhole(
      lines
        .slice(block * BLOCK_LINES, (block + 1) * BLOCK_LINES)
        .map((text, i) => parseMessage(block * BLOCK_LINES + i + 1, Buffer.from(text))),
    ),
  );
  const { blocks } = mapHistory({ firstLine: 1, lines: lines.length, extents, blocks: true });
  expect(blocks).toEqual(wanted);
  // What a worker sends is no larger than the record.
  for (const { record } of blocks) expect(record.buffer.byteLength).toBe(record.length);
});

test('the state of a fold may be copied by its fields: folding on the copy leaves the original as it was', async () => {
  const history = openHistory();
  await history.prepare();
  const position = { line: LINES, eventLine: 0, order: history.log.length };
  const states = Object.fromEntries(SECTION_KINDS.map((kind) => [kind, SECTION_FOLDS[kind].initial()])) as SectionState['states'];
  for (const record of history.records(0, 40)) for (const kind of SECTION_KINDS) SECTION_FOLDS[kind].addBlock(states[kind], record);
  const kept: SectionState = { blocks: 40, contributions: 0, states };
  const before = JSON.stringify(kept);
  expect(before.length).toBeGreaterThan(10_000);
  deepFreeze(kept.states);
  const others = new SectionFolds(history, kept);
  for (const cut of [3001, 5001]) for (const kind of SECTION_KINDS) others.text(kind, cut, position);
  expect(JSON.stringify(kept)).toBe(before);
  history.close();
});

test('IDX-12 a restart finds the index where it was', async () => {
  const first = openHistory();
  await first.prepare();
  const { lastLine } = first.index;
  expect(lastLine).toBe(LINES - (LINES % BLOCK_LINES));
  first.close();
  expect(existsSync(join(session.root, 'cache/recall'))).toBe(true);
  expect(readdirSync(join(session.root, 'cache/recall'))).toEqual(['open-0.db']);
  const again = openHistory();
  expect(again.index.lastLine).toBe(lastLine);
  again.close();
});

function openHistory(): SessionHistory {
  const history = new SessionHistory(session.directory, join(session.root, 'cache'), services);
  history.log.catchUp(session.revision.messagesBytes, session.revision.eventsBytes);
  return history;
}

/** Rows are shared between copies: who changed one in place would throw. */
function deepFreeze(value: unknown): void {
  for (const field of Object.values(value as Record<string, Record<string, unknown>>))
    for (const list of Object.values(field)) if (Array.isArray(list)) for (const row of list) Object.freeze(row);
}
