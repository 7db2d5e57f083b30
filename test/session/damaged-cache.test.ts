// DRV-11: what a disk lost of the cache (blocks of zeros, flipped bits) costs a rebuild, never a reader.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
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

const inPlace =
  (damage: (bytes: Buffer) => void) =>
  (path: string): void => {
    const bytes = readFileSync(path);
    damage(bytes);
    writeFileSync(path, bytes);
  };
const zeros = inPlace((bytes) => void bytes.fill(0, Math.floor(bytes.length / 3), Math.ceil((bytes.length * 2) / 3)));
/** One in each of 32 places over the whole file, its first line aside. */
const flips = inPlace((bytes) => {
  const from = Math.min(64, bytes.length >> 1);
  for (let at = 0; at < 32; at += 1) {
    const place = from + Math.floor(((bytes.length - from) * at) / 32);
    bytes[place] = (bytes[place] ?? 0) ^ 4;
  }
});
/** DRV-15: a FIFO, a directory or a link, one after the other. */
const others = (path: string, turn: number): void => {
  rmSync(path);
  if (turn % 3 === 0) execFileSync('sh', ['-c', `mkfifo '${path}'`]);
  else if (turn % 3 === 1) mkdirSync(path);
  else symlinkSync('/dev/zero', path);
};

describe('DRV-11: damage in the cache', () => {
  test.each([
    ['zeros', zeros],
    ['flipped bits', flips],
    ['a FIFO, a directory, a link', others],
  ])('%s in any file of it: everything reads as if it were built from nothing', async (_name, damage) => {
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
      if (stats.isFile() && stats.size > 0) kinds.set(name.replace(/^(epochs|out)\/[^.]*/, '$1'), name);
    }
    const files = [...kinds.values()];
    expect(files).toEqual(expect.arrayContaining(['blocks.z', 'blocks.at', 'checkpoint.json', 'contributions.json', 'memos.json']));
    for (const [turn, name] of files.entries()) {
      rmSync(cache, { recursive: true });
      cpSync(whole, cache, { recursive: true });
      damage(join(cache, name), turn);
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
