import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Disk } from '../../src/journal/disk.ts';
import { planFork } from '../../src/journal/fork-plan.ts';
import { adoptHistory, digestParts, fsckSession, openHistory, openOrderLog, sealedHistory } from '../../src/journal/index.ts';
import { readSealed } from '../../src/journal/layout.ts';
import { performSyncLater } from '../../src/journal/sync-work.ts';
import { openFixture, temporaryDirectory, unsyncedDisk, user, type Opened } from './session-fixture.ts';

/** The bench makes a thousand. */
const DEEP = 240;

const errors = (directory: string): unknown[] => fsckSession(directory).filter((finding) => finding.severity === 'error');

/** Messages in batches, each with a record of its own. */
function fill(opened: Opened, batches: number, disk: Disk): void {
  const log = openOrderLog(opened.directory, { disk });
  const batch = Buffer.from(user('x'.repeat(900)).repeat(20));
  for (let n = 0; n < batches; n++) opened.journals.messages.write('1:a', batch);
  log.commit(opened.notes.splice(0).map((note, n) => ({ ...note, timeMs: n * 2000 })));
  log.close();
}

test('a fork of a long session writes little, whatever its size, and a fork reads no history', () => {
  const cost = (batches: number): { read: number; wrote: number; calls: number } => {
    const paths = new Map<number, string>();
    const spent = { read: 0, wrote: 0, calls: 0 };
    const disk: Disk = {
      ...unsyncedDisk,
      openSync: (path, flags, mode) => {
        const fd = unsyncedDisk.openSync(path, flags, mode);
        paths.set(fd, String(path));
        spent.calls++;
        return fd;
      },
      readSync: ((fd: number, into: Buffer, offset: number, length: number, position: number): number => {
        const got = unsyncedDisk.readSync(fd, into, offset, length, position);
        if (/messages[^/]*\.jsonl$/.test(paths.get(fd) ?? '')) spent.read += got;
        return got;
      }) as typeof fs.readSync,
      writeSync: ((fd: number, bytes: Buffer, offset: number, length: number, position?: number | null): number => {
        const wrote = unsyncedDisk.writeSync(fd, bytes, offset, length, position);
        spent.wrote += wrote;
        return wrote;
      }) as typeof fs.writeSync,
    };
    const parent = openFixture(undefined, { disk });
    fill(parent, batches, disk);
    const log = openOrderLog(parent.directory, { disk });
    log.seal(1e12, 1e12);
    Object.assign(spent, { read: 0, wrote: 0, calls: 0 });
    const child = temporaryDirectory();
    parent.journals.forkInto(child);
    const result = { ...spent };
    // The second one seals nothing.
    Object.assign(spent, { read: 0, wrote: 0, calls: 0 });
    parent.journals.forkInto(temporaryDirectory());
    expect(spent.wrote).toBeLessThan(result.wrote);
    log.close();
    expect(openFixture(child, { disk: unsyncedDisk }).journals.messages.sizeBytes).toBe(parent.journals.messages.sizeBytes);
    return result;
  };
  const [small, large] = [cost(100), cost(1500)];
  // Digits of sizes in lists and marks are what may differ.
  expect(large.wrote - small.wrote).toBeLessThan(64);
  expect(large.wrote).toBeLessThan(4096);
  // A few more pages of the order log, which has fifteen times as many records.
  expect(large.calls - small.calls).toBeLessThan(5);
  // Its end, for the name.
  expect(large.read).toBeLessThanOrEqual(4096);
});

test('a chain of forks, a message each, has few segments, and each holds what its own ends with', async () => {
  const disk = unsyncedDisk;
  let opened = openFixture(undefined, { disk, copyTailBytes: 8192 });
  const made = [opened.directory];
  for (let depth = 1; depth <= DEEP; depth++) {
    opened.journals.messages.write('1:a', Buffer.from(user(`${depth}`.padStart(200, '.'))));
    const log = openOrderLog(opened.directory, { disk });
    log.commit(opened.notes.splice(0));
    log.seal(opened.journals.messages.sizeBytes, opened.journals.events.sizeBytes, 8192);
    log.close();
    const child = join(made[0] as string, '..', `${made[0]?.split('/').at(-1)}-${depth}`);
    fs.mkdirSync(child);
    opened.journals.forkInto(child);
    opened.close();
    if (made.length > 1) fs.rmSync(made.pop() as string, { recursive: true });
    made.push(child);
    opened = openFixture(child, { disk, copyTailBytes: 8192 });
  }
  const last = made.at(-1) as string;
  try {
    const bytes = opened.journals.messages.sizeBytes;
    expect(readSealed(last).length).toBeLessThan(16 + bytes / 8192 + 1);
    expect(fs.readdirSync(join(last, 'segments')).length).toBeLessThan(100);
    const history = openHistory(last, 'messages.jsonl');
    expect(history.lines).toBe(DEEP);
    for (const line of [1, DEEP / 2, DEEP])
      expect(history.readRange(history.offsetOfLine(line), history.offsetOfLine(line + 1)).toString()).toBe(
        user(`${line}`.padStart(200, '.')),
      );
    history.close();
    expect(errors(last)).toEqual([]);
  } finally {
    opened.close();
    fs.rmSync(last, { recursive: true });
  }
});

test('many forks of one session share its files, and name nothing else', () => {
  const parent = openFixture(undefined, { disk: unsyncedDisk });
  fill(parent, 30, unsyncedDisk);
  const log = openOrderLog(parent.directory, { disk: unsyncedDisk });
  log.seal(1e12, 1e12);
  log.close();
  const root = temporaryDirectory();
  for (let n = 0; n < DEEP; n++) {
    fs.mkdirSync(join(root, `${n}`));
    parent.journals.forkInto(join(root, `${n}`));
  }
  const [segment] = readSealed(parent.directory);
  expect(fs.statSync(join(parent.directory, segment?.file as string)).nlink).toBeGreaterThan(DEEP);
  expect(readSealed(join(root, `${DEEP - 1}`))).toEqual(readSealed(parent.directory));
  expect(errors(join(root, `${DEEP - 1}`))).toEqual([]);
});

test('digests are found out once, and remembered: by the next list of segments, and by later forks', async () => {
  const parent = openFixture(undefined, { disk: unsyncedDisk });
  fill(parent, 5, unsyncedDisk);
  const first = temporaryDirectory();
  parent.journals.forkInto(first);
  expect(readSealed(parent.directory).map(({ sha256 }) => sha256)).toEqual([undefined]);
  const seen: number[] = [];
  await digestParts(parent.directory, { onProgress: (done) => seen.push(done) });
  expect(seen.at(-1)).toBe(parent.journals.messages.sizeBytes);
  await digestParts(parent.directory, { onProgress: () => expect.unreachable() });
  // The same file in another session of this process: nothing is read.
  await digestParts(first, { onProgress: () => expect.unreachable() });
  expect(fsckSession(first).map(({ code }) => code)).not.toContain('segment.digest');
  const second = temporaryDirectory();
  parent.journals.forkInto(second);
  expect(readSealed(second).map(({ sha256 }) => sha256)).toEqual(
    sealedHistory(parent.directory)
      .blobs.slice(0, 1)
      .map(({ sha256 }) => sha256),
  );
  expect(readSealed(second)[0]?.sha256).toMatch(/^[0-9a-f]{64}$/);
  // Remembered for the very file: another one has none.
  const file = join(parent.directory, readSealed(parent.directory)[0]?.file as string);
  const bytes = fs.readFileSync(file);
  fs.rmSync(file);
  fs.writeFileSync(file, bytes);
  fs.utimesSync(file, 1, 1);
  expect(sealedHistory(parent.directory).blobs[0]?.sha256).toBeUndefined();
  await expect(digestParts(second, { signal: AbortSignal.abort() })).resolves.toBeUndefined();
  await expect(digestParts(parent.directory, { signal: AbortSignal.abort() })).rejects.toThrow();
});

test('a byte changed in a segment without a digest is found', () => {
  const parent = openFixture(undefined, { disk: unsyncedDisk });
  fill(parent, 5, unsyncedDisk);
  parent.journals.forkInto(temporaryDirectory());
  const file = join(parent.directory, readSealed(parent.directory)[0]?.file as string);
  const bytes = fs.readFileSync(file);
  bytes[bytes.indexOf('xx')] = 121;
  fs.chmodSync(file, 0o600);
  fs.writeFileSync(file, bytes);
  expect(fsckSession(parent.directory).map(({ code }) => code)).toContain('order.mismatch');
});

test('a session made of a sealed history is the same: lines, order, inputs, and what is recorded next', async () => {
  const parent = openFixture(undefined, { disk: unsyncedDisk });
  fill(parent, 3, unsyncedDisk);
  parent.journals.appendEvent({ type: 'start' });
  const log = openOrderLog(parent.directory, { disk: unsyncedDisk });
  log.commit(parent.notes.splice(0));
  log.recordInput('context/budget', Buffer.from('9\n'), 5);
  const { parts, settle } = parent.journals.beginFork();
  const plan = await planFork({ directory: parent.directory, parts, atLine: undefined, log, sync: performSyncLater, keptOrderBytes: 0 });
  settle();
  parent.journals.seal(plan);
  await digestParts(parent.directory);
  const history = sealedHistory(parent.directory);
  expect(history.blobs.map(({ journal }) => journal)).toEqual(['messages.jsonl', 'events.jsonl', 'order', 'inputs']);
  for (const { bytes, fileBytes, sha256 } of history.blobs) {
    expect(bytes).toBe(fileBytes);
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
  }
  const directory = temporaryDirectory();
  adoptHistory(directory, history);
  const child = openFixture(directory, { disk: unsyncedDisk });
  const childLog = openOrderLog(directory, { disk: unsyncedDisk });
  const all = (of: typeof log): unknown[] => Array.from({ length: of.length }, (_, index) => of.at(index));
  expect([child.text(), child.text('events.jsonl'), all(childLog), childLog.revision(), [...childLog.inputsAsOf()]]).toEqual([
    parent.text(),
    parent.text('events.jsonl'),
    all(log),
    log.revision(),
    [...log.inputsAsOf()],
  ]);
  expect(childLog.inputBytes(childLog.inputsAsOf().get('context/budget') as string).toString()).toBe('9\n');
  for (const { path } of [...history.blobs, ...history.inputs]) expect(fs.statSync(path).nlink).toBeGreaterThan(1);
  child.journals.messages.write('1:a', Buffer.from(user('next')));
  childLog.commit(child.notes.splice(0));
  expect(childLog.last()).toMatchObject({ messageLines: 61 });
  expect(parent.text()).not.toContain('next');
  childLog.close();
  log.close();
  expect([errors(directory), errors(parent.directory)]).toEqual([[], []]);
  expect(() => adoptHistory(directory, history)).toThrow('history already');
  const short = { ...history, blobs: history.blobs.map((blob) => ({ ...blob, bytes: blob.fileBytes + 1 })) };
  expect(() => adoptHistory(temporaryDirectory(), short)).toThrow('fewer than');
});
