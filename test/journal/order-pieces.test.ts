import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { nodeDisk, type Disk } from '../../src/journal/disk.ts';
import { planFork } from '../../src/journal/fork-plan.ts';
import { fsckSession, openHistory, openOrderLog, type OrderLog } from '../../src/journal/index.ts';
import { performSyncLater } from '../../src/journal/sync-work.ts';
import { openFixture, outcome, temporaryDirectory, unsyncedDisk, user, type Opened } from './session-fixture.ts';

const errors = (directory: string): unknown[] => fsckSession(directory).filter((finding) => finding.severity === 'error');

/** A session with so many messages, each with a record of its own, and an input now and then. */
function talked(messages: number, every = 50): { parent: Opened; log: OrderLog; add: (count: number) => void } {
  const parent = openFixture(undefined, { disk: unsyncedDisk });
  const log = openOrderLog(parent.directory, { disk: unsyncedDisk });
  let n = 0;
  const add = (count: number): void => {
    for (const end = n + count; n < end;) {
      n += 1;
      parent.journals.messages.write('1:a', Buffer.from(user(`m${n}`)));
      log.commit(parent.notes.splice(0).map((note) => ({ ...note, timeMs: n * 2000 })));
      if (n % every === 0) log.recordInput('context/pinned/a.md', Buffer.from(`version ${n}`), n * 2000);
    }
  };
  add(messages);
  return { parent, log, add };
}

async function forked(parent: Opened, log: OrderLog, atLine?: number): Promise<string> {
  const { parts, settle } = parent.journals.beginFork();
  const plan = await planFork({ directory: parent.directory, parts, atLine, log, sync: performSyncLater });
  settle();
  const child = temporaryDirectory();
  parent.journals.forkInto(child, atLine, plan);
  return child;
}

function records(directory: string): { records: unknown[]; inputs: Record<string, string> } {
  const log = openOrderLog(directory, { disk: unsyncedDisk });
  try {
    const inputs = Object.fromEntries([...log.inputsAsOf()].map(([path, digest]) => [path, log.inputBytes(digest).toString()]));
    return { records: Array.from({ length: log.length }, (_, index) => log.at(index)), inputs };
  } finally {
    log.close();
  }
}

const pieces = (directory: string): string[] =>
  fs
    .readdirSync(join(directory, 'segments'))
    .filter((name) => /^(order|inputs)-/.test(name))
    .sort();

describe('pieces of the order log', () => {
  test('the order log of forks is shared by link, and every one reads as one log', async () => {
    const { parent, log, add } = talked(300);
    const all = Array.from({ length: log.length }, (_, index) => log.at(index));
    const child = await forked(parent, log);
    expect(pieces(child)).toEqual(['inputs-0-6-768.jsonl', 'order-0-306.log']);
    for (const name of pieces(child))
      expect(fs.statSync(join(child, 'segments', name)).ino).toBe(fs.statSync(join(parent.directory, 'segments', name)).ino);
    expect(records(child)).toEqual({ records: all, inputs: { 'context/pinned/a.md': 'version 300' } });
    add(10);
    expect(log.length).toBe(316);
    expect(log.at(315)).toMatchObject({ messageLines: 310 });
    expect(log.at(3)).toEqual(all[3]);
    const again = await forked(parent, log);
    expect(pieces(again)).toEqual(['inputs-0-6-768.jsonl', 'order-0-306.log', 'order-306-10.log']);
    // At a line inside a piece: the same file, seen in part.
    const middle = await forked(parent, log, 120);
    expect(pieces(middle)).toEqual(['inputs-0-2-256.jsonl', 'order-0-122.log']);
    expect(fs.statSync(join(middle, 'segments/order-0-122.log')).ino).toBe(fs.statSync(join(child, 'segments/order-0-306.log')).ino);
    expect(records(middle)).toEqual({ records: all.slice(0, 122), inputs: { 'context/pinned/a.md': 'version 100' } });
    log.close();
    parent.close();
    expect(records(parent.directory).records).toHaveLength(316);
    expect([parent.directory, child, again, middle].map(errors)).toEqual([[], [], [], []]);
  });

  test('a fork of a fork goes on in its own log, and its parent in the other', async () => {
    const { parent, log, add } = talked(20);
    const directory = await forked(parent, log);
    const child = openFixture(directory, { disk: unsyncedDisk });
    const childLog = openOrderLog(directory, { disk: unsyncedDisk });
    child.journals.messages.write('1:a', Buffer.from(user('child')));
    childLog.commit(child.notes.splice(0).map((note) => ({ ...note, timeMs: 7 })));
    add(1);
    const grandchild = await forked(child, childLog);
    expect(records(grandchild).records.at(-1)).toMatchObject({ messageLines: 21, timeMs: 7 });
    expect(log.last()).toMatchObject({ messageLines: 21, timeMs: 42_000 });
    childLog.close();
    log.close();
    expect([parent.directory, directory, grandchild].map(errors)).toEqual([[], [], []]);
  });

  test('a crash inside a seal of the order log leaves every record once', async () => {
    const { parent, log } = talked(100);
    const before = log.length;
    await forked(parent, log);
    log.close();
    parent.close();
    // As it was between the link and the new file, for both.
    for (const [active, piece] of [
      ['order.log', `order-0-${before}.log`],
      ['inputs.jsonl', 'inputs-0-2-256.jsonl'],
    ] as const) {
      fs.rmSync(join(parent.directory, active));
      fs.linkSync(join(parent.directory, 'segments', piece), join(parent.directory, active));
    }
    const read = openHistory(parent.directory, 'messages.jsonl');
    expect(read.lines).toBe(100);
    read.close();
    expect(records(parent.directory)).toMatchObject({ inputs: { 'context/pinned/a.md': 'version 100' } });
    expect(records(parent.directory).records).toHaveLength(before);
    expect(fs.statSync(join(parent.directory, 'order.log')).ino).not.toBe(
      fs.statSync(join(parent.directory, `segments/order-0-${before}.log`)).ino,
    );
    expect(errors(parent.directory)).toEqual([]);
  });

  test('a seal that fails leaves the log as it was, and the next one succeeds', async () => {
    let failing = '';
    const disk: Disk = {
      ...unsyncedDisk,
      openSync: (path, flags, mode) => {
        if (failing !== '' && String(path).endsWith(failing)) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
        return nodeDisk.openSync(path, flags, mode);
      },
    };
    const { parent, log: first } = talked(60);
    first.close();
    const log = openOrderLog(parent.directory, { disk });
    for (failing of ['inputs.jsonl.new', 'order.log.new']) expect(outcome(() => log.seal(1e9, 1e9))).toBe('ENOSPC');
    failing = '';
    const line = (): void => {
      parent.journals.messages.write('1:a', Buffer.from(user('more')));
      log.commit(parent.notes.splice(0));
    };
    line();
    expect(log.length).toBe(62);
    log.seal(parent.journals.messages.sizeBytes, 0);
    line();
    expect(log.length).toBe(63);
    log.close();
    expect(records(parent.directory).records).toHaveLength(63);
    expect(errors(parent.directory)).toEqual([]);
  });

  test('records that cover what may not be on the disk are not sealed', () => {
    const { parent, log, add } = talked(10);
    const durable = parent.journals.messages.sizeBytes;
    add(5);
    log.seal(durable, 0);
    expect(pieces(parent.directory)).toEqual(['order-0-10.log']);
    expect(log.length).toBe(15);
    log.close();
    expect(records(parent.directory).records).toHaveLength(15);
  });

  test('a piece of the order log that is gone is EIO, and lines are still taken', async () => {
    const { parent, log, add } = talked(30);
    await forked(parent, log);
    add(5);
    await forked(parent, log);
    add(1);
    log.close();
    parent.close();
    for (const name of ['order-0-30.log', 'order-30-5.log']) {
      const path = join(parent.directory, 'segments', name);
      const bytes = fs.readFileSync(path);
      fs.rmSync(path);
      expect(outcome(() => openOrderLog(parent.directory))).toBe('EIO');
      expect(fsckSession(parent.directory).map(({ code }) => code)).toContain('journal.segment_missing');
      const again = openFixture(parent.directory, { disk: unsyncedDisk });
      expect(again.journals.messages.write('1:a', Buffer.from(user('taken')))).toBeGreaterThan(0);
      again.close();
      fs.writeFileSync(path, bytes);
    }
    expect(records(parent.directory).records).toHaveLength(36);
  });
});
