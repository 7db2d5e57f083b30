// An fsync whose work is done on another thread (JRN-38).
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeDisk } from '../../src/journal/disk.ts';
import { readMark } from '../../src/journal/sync-mark.ts';
import { performSync, performSyncLater, type PendingSync } from '../../src/journal/sync-work.ts';
import { openFixture, outcome, user } from './session-fixture.ts';

test('an fsync that runs elsewhere speaks for what was there when it began, and no more', async () => {
  const { directory, journals } = openFixture();
  const { messages } = journals;
  messages.write('1:a', Buffer.from(user('a')));
  const first = messages.beginSync() as PendingSync;
  messages.write('1:a', Buffer.from(user('b')));
  // The second asks while the first is under way: it has to wait for both lines, whatever comes of the first.
  const second = messages.beginSync() as PendingSync;
  expect([first.work.key, first.work.file]).toEqual([second.work.key, second.work.file]);
  expect(first.work.directories).toEqual([directory, join(directory, '..')]);
  await performSyncLater(first.work);
  expect(first.settle(undefined)).toBeUndefined();
  expect(readMark(directory)?.messages).toBe(user('a').length);
  expect(messages.beginSync()).toBeDefined();
  performSync(second.work, nodeDisk);
  expect(second.settle(undefined)).toBeUndefined();
  expect(readMark(directory)?.messages).toBe(user('a').length * 2);
});

test('nothing is left to sync only when everything is on the disk: lines, names, refused lines', () => {
  const { directory, journals } = openFixture();
  const { messages } = journals;
  messages.write('1:a', Buffer.from(user('a')));
  messages.fsync();
  expect(messages.beginSync()).toBeUndefined();
  expect(outcome(() => messages.write('1:a', Buffer.from('not json\n')))).toBe('EINVAL');
  const pending = messages.beginSync() as PendingSync;
  expect(pending.work.rejects.map((path) => path.slice(directory.length))).toEqual([
    expect.stringMatching(/^\/rejects\/[^/]+$/),
    expect.stringMatching(/^\/rejects\/[^/]+\.json$/),
    '/rejects',
  ]);
  expect(outcome(() => messages.write('1:a', Buffer.from('nor this\n')))).toBe('EINVAL');
  performSync(pending.work, nodeDisk);
  pending.settle(undefined);
  expect(messages.beginSync()?.work.rejects).toHaveLength(3);
});

test('a failure elsewhere is sticky, and an fsync that began before it fails too', () => {
  const { journals } = openFixture();
  const { messages } = journals;
  messages.write('1:a', Buffer.from(user('a')));
  const [first, second] = [messages.beginSync() as PendingSync, messages.beginSync() as PendingSync];
  expect(first.settle(new Error('input/output error'))).toMatchObject({ code: 'journal.fsync_failed', errno: 'EIO' });
  expect(second.settle(undefined)).toMatchObject({ errno: 'EIO' });
  expect(outcome(() => messages.beginSync())).toBe('EIO');
  expect(outcome(() => messages.fsync())).toBe('EIO');
});

test('a journal that is closed meanwhile keeps its descriptor until the sync has ended', () => {
  const { journals, close } = openFixture();
  journals.messages.write('1:a', Buffer.from(user('a')));
  const pending = journals.messages.beginSync() as PendingSync;
  close();
  const fd = pending.work.file as number;
  performSync({ ...pending.work, directories: [] }, nodeDisk);
  pending.settle(undefined);
  expect(() => fs.fstatSync(fd)).toThrow('EBADF');
});
