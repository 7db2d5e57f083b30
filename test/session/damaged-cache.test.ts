// DRV-11: what a disk lost of the cache (blocks of zeros, flipped bits) costs a rebuild, never a reader.
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { services, TestSession } from './session-fixture.ts';

afterAll(() => services.close());

const FILES = [
  'pack.json',
  'pack.md',
  'prompt.json',
  'summary.md',
  'facts.jsonl',
  'decisions.jsonl',
  'swap/index.jsonl',
  'dedup/index.jsonl',
];

async function all(session: TestSession): Promise<Record<string, string>> {
  const read: Record<string, string> = {};
  // A search reads the index, a summary the blocks, a pack both.
  read['search'] = JSON.stringify(await session.deriver.search('kettle3', 400, session.revision));
  for (const name of FILES) read[name] = await session.read(name);
  return read;
}

const say = (session: TestSession, n: number): void =>
  session.append({ role: n % 2 === 0 ? 'user' : 'assistant', content: `note ${n}: remember that kettle${n % 7} stands on shelf ${n}` });

const zeros = (bytes: Buffer): void => void bytes.fill(0, Math.floor(bytes.length / 3), Math.ceil((bytes.length * 2) / 3));
/** One in each of 32 places over the whole file, its first line aside. */
const flips = (bytes: Buffer): void => {
  const from = Math.min(64, bytes.length >> 1);
  for (let at = 0; at < 32; at += 1) {
    const place = from + Math.floor(((bytes.length - from) * at) / 32);
    bytes[place] = (bytes[place] ?? 0) ^ 4;
  }
};

describe('DRV-11: damage in the cache', () => {
  test.each([
    ['zeros', zeros, ''],
    // Pages of SQLite have no sum: bits are noticed there where they break its structure.
    ['flipped bits', flips, 'recall/open-0.db'],
  ])('%s in any file of it: everything reads as if it were built from nothing', async (_name, damage, but) => {
    const session = new TestSession({ 'context/budget': '1500\n' });
    for (let n = 1; n <= 300; n += 1) say(session, n);
    session.event({ type: 'context.decision', decision: 'use the blue kettle', from: 'messages:3' });
    const wanted = await all(session);
    await session.deriver.close();
    const cache = join(session.directory, 'context/.cache');
    const whole = join(session.root, 'whole');
    cpSync(cache, whole, { recursive: true });
    // One of each kind.
    const kinds = new Map<string, string>();
    for (const name of readdirSync(whole, { recursive: true, encoding: 'utf8' })) {
      const stats = statSync(join(whole, name));
      if (stats.isFile() && stats.size > 0 && name !== but) kinds.set(name.replace(/^(epochs|out)\/[^.]*/, '$1'), name);
    }
    const files = [...kinds.values()];
    expect(files).toEqual(expect.arrayContaining(['blocks.z', 'blocks.at', 'checkpoint.json', 'contributions.json', 'memos.json']));
    for (const name of files) {
      rmSync(cache, { recursive: true });
      cpSync(whole, cache, { recursive: true });
      const bytes = readFileSync(join(cache, name));
      damage(bytes);
      writeFileSync(join(cache, name), bytes);
      session.deriver = session.open();
      expect({ damaged: name, ...(await all(session)) }).toEqual({ damaged: name, ...wanted });
      // What memos spared is needed now.
      session.deriver.drop('summary.md');
      session.deriver.drop('decisions.jsonl');
      session.deriver.drop('swap/index.jsonl');
      expect({ damaged: name, ...(await all(session)) }).toEqual({ damaged: name, ...wanted });
      await session.deriver.close();
    }
    rmSync(session.root, { recursive: true });
  });
});
