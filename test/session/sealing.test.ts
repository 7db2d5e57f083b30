// A segment of the search index that becomes complete is sealed beside the readers; one that is damaged is built again.
import { closeSync, existsSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { openRecallIndex } from '../../src/search/recall-index.ts';
import { SEGMENT_LINES } from '../../src/search/version.ts';
import { mapHistory } from '../../src/session/map-history.ts';
import type { Pool } from '../../src/session/pool.ts';
import { openSessionDeriver, readContent } from '../../src/session/session-deriver.ts';
import type { InspectableDeriver } from '../../src/session/session-deriver.ts';
import { TestSession, services } from './session-fixture.ts';

const CITIES = 'Lisbon Oslo Turin Ghent Porto Graz Basel Lyon Malmo Bergen Split Gdansk'.split(' ');
const FIRST = SEGMENT_LINES - 40;

/** A pool whose tasks run here: many lines are built apart. */
const pool: Pool = { size: 1, map: async (task) => Promise.resolve(mapHistory(task)), close: async () => Promise.resolve() };

function lineOf(n: number): string {
  const city = `${CITIES[n % 12]}${Math.floor(n / 12) % 97}`;
  return `${JSON.stringify({ role: n % 2 === 0 ? 'user' : 'assistant', content: `The parcel ${n} goes to ${city}` })}\n`;
}

test('IDX-11 IDX-5 a segment is sealed while nobody asks, and packs are those of a rebuild; damaged, it is built again', async () => {
  const session = new TestSession({ 'context/budget': '2000\n' });
  try {
    await session.deriver.close();
    const write = (from: number, to: number): void => {
      const lines = Array.from({ length: to - from + 1 }, (_, i) => lineOf(from + i)).join('');
      expect(session.journals.messages.write(`bulk:${from}`, Buffer.from(lines))).toBe(Buffer.byteLength(lines));
    };
    const logged: string[] = [];
    const open = (): InspectableDeriver =>
      openSessionDeriver(session.directory, { ...services, pool, log: (line) => void logged.push(line) });
    const packOf = async (deriver: InspectableDeriver): Promise<string> =>
      readContent(await deriver.fetch('pack.json', session.revision)).toString();
    const recall = join(session.directory, 'context/.cache/recall');
    const sealed = join(recall, 'segment-0');

    write(1, FIRST);
    let deriver = open();
    await packOf(deriver);
    expect(existsSync(sealed)).toBe(false);
    write(FIRST + 1, SEGMENT_LINES + 80);
    const grown = await packOf(deriver);
    await vi.waitUntil(() => existsSync(sealed) && !existsSync(join(recall, 'open-0.db')), { timeout: 120_000, interval: 5 });

    // The words of the question were not asked for: their blocks are read now.
    const size = statSync(sealed).size;
    const file = openSync(sealed, 'r+');
    for (let at = 200; at < size; at += 400) writeSync(file, 'changed', at);
    closeSync(file);
    write(SEGMENT_LINES + 81, SEGMENT_LINES + 81);
    const question = `${JSON.stringify({ role: 'user', content: 'Which parcel goes to Lisbon7 and which to Basel31?' })}\n`;
    session.journals.messages.write('ask', Buffer.from(question));
    const asked = await packOf(deriver);
    expect(logged.filter((line) => line.startsWith('derive.index')).length).toBe(1);
    expect(existsSync(sealed)).toBe(true);
    await deriver.close();

    rmSync(join(session.directory, 'context/.cache'), { recursive: true });
    deriver = open();
    expect(await packOf(deriver)).toBe(asked);
    expect(asked).not.toBe(grown);
    expect((JSON.parse(asked) as { items: { kind: string }[] }).items.some(({ kind }) => kind === 'recall')).toBe(true);
    await deriver.close();
  } finally {
    session.deriver = session.open();
    await session.end();
  }
});

test('IDX-11 IDX-13 a segment that cannot be sealed fails no read, and is sealed later', async () => {
  const session = new TestSession({ 'context/budget': '2000\n' });
  try {
    await session.deriver.close();
    const lines = Array.from({ length: 2 * SEGMENT_LINES + 64 }, (_, i) => lineOf(i + 1)).join('');
    expect(session.journals.messages.write('bulk:1', Buffer.from(lines))).toBe(Buffer.byteLength(lines));
    const logged: string[] = [];
    let laterMs = 0;
    // Without a pool all lines are indexed here, and sealed on the way; something is in the way of the first segment.
    const deriver = openSessionDeriver(session.directory, {
      counter: services.counter,
      now: () => services.now() + laterMs,
      close: async () => Promise.resolve(),
      log: (line) => void logged.push(line),
      openRecall: (directory) => {
        const index = openRecallIndex(directory);
        mkdirSync(join(directory, 'segment-0'), { recursive: true });
        return index;
      },
    });
    const pack = readContent(await deriver.fetch('pack.json', session.revision)).toString();
    expect((JSON.parse(pack) as { items: unknown[] }).items.length).toBeGreaterThan(2);
    expect(logged.filter((line) => line.startsWith('derive.seal')).length).toBe(1);
    const sealed = join(session.directory, 'context/.cache/recall/segment-0');
    rmSync(sealed, { recursive: true });
    laterMs = 60_000;
    await deriver.fetch('pack.md', session.revision);
    await vi.waitUntil(() => existsSync(sealed), { timeout: 120_000, interval: 5 });
    await deriver.close();
    session.deriver = session.open();
    expect((await session.deriver.search('Lisbon7', 1, session.revision)).length).toBe(1);
  } finally {
    await session.end();
  }
});
