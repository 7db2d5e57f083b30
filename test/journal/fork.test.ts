import * as fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeDisk, type Disk } from '../../src/journal/disk.ts';
import { fsckSession, openHistory, openOrderLog, readableSegments, type OrderLog } from '../../src/journal/index.ts';
import { planFork } from '../../src/journal/fork-plan.ts';
import { readSealed } from '../../src/journal/layout.ts';
import { performSyncLater } from '../../src/journal/sync-work.ts';
import { openFixture, outcome, temporaryDirectory, unsyncedDisk, user, type Opened } from './session-fixture.ts';

describe('fork', () => {
  test('parent and child share the history by hard link and then grow apart', () => {
    const parent = openFixture();
    parent.journals.messages.write('1:a', Buffer.from(user('a') + user('b')));
    parent.journals.appendEvent({ type: 'start' });
    const directory = temporaryDirectory();
    parent.journals.forkInto(directory);
    const child = openFixture(directory);
    expect(child.text()).toBe(user('a') + user('b'));
    expect(child.text('events.jsonl')).toBe(parent.text('events.jsonl'));
    parent.journals.messages.write('1:a', Buffer.from(user('parent')));
    child.journals.messages.write('1:a', Buffer.from(user('child')));
    expect(parent.text()).toBe(user('a') + user('b') + user('parent'));
    expect(child.text()).toBe(user('a') + user('b') + user('child'));
    const inode = (opened: typeof parent): number => fs.statSync(opened.journals.messages.segments()[0]?.path as string).ino;
    expect(inode(child)).toBe(inode(parent));
    expect(parent.notes.filter((note) => note.file === 'messages.jsonl').at(-1)?.endBytes).toBe(parent.text().length);
  });

  test('the child outlives the parent', () => {
    const parent = openFixture();
    parent.journals.messages.write('1:a', Buffer.from(user('a')));
    const directory = temporaryDirectory();
    parent.journals.forkInto(directory);
    parent.close();
    fs.rmSync(parent.directory, { recursive: true });
    expect(openFixture(directory).text()).toBe(user('a'));
    expect(fsckSession(directory).filter((finding) => finding.severity === 'error')).toEqual([]);
  });

  test('a fork of a fork, and equal bytes sealed twice, read as one file and survive a reopen', () => {
    const first = openFixture();
    const [second, third] = [temporaryDirectory(), temporaryDirectory()];
    first.journals.messages.write('1:a', Buffer.from(user('same')));
    first.journals.forkInto(second);
    const child = openFixture(second);
    child.journals.messages.write('1:a', Buffer.from(user('same')));
    child.journals.forkInto(third);
    child.journals.messages.write('1:a', Buffer.from(user('end')));
    child.close();
    expect(openFixture(second).text()).toBe(user('same') + user('same') + user('end'));
    expect(openFixture(third).text()).toBe(user('same') + user('same'));
  });

  test('a staged piece is not part of the fork; its line lands in the parent alone', () => {
    const parent = openFixture();
    parent.journals.messages.write('1:a', Buffer.from(user('a') + user('b').slice(0, 5)));
    const directory = temporaryDirectory();
    parent.journals.forkInto(directory);
    parent.journals.messages.write('1:a', Buffer.from(user('b').slice(5)));
    expect(parent.text()).toBe(user('a') + user('b'));
    expect(openFixture(directory).text()).toBe(user('a'));
  });

  test('a target with history, and a line that does not exist, are refused', () => {
    const parent = openFixture();
    parent.journals.messages.write('1:a', Buffer.from(user('a')));
    const used = openFixture();
    used.journals.messages.write('1:a', Buffer.from(user('x')));
    expect(outcome(() => parent.journals.forkInto(used.directory))).toBe('EEXIST');
    expect(outcome(() => parent.journals.forkInto(temporaryDirectory(), 2))).toBe('EINVAL');
  });

  test('a crash between naming the segment and starting the new active file is completed on open', () => {
    const parent = openFixture();
    parent.journals.messages.write('1:a', Buffer.from(user('a')));
    parent.journals.forkInto(temporaryDirectory());
    parent.close();
    const segment = readableSegments(parent.directory)['messages.jsonl'][0]?.path as string;
    fs.rmSync(join(parent.directory, 'messages.jsonl'));
    fs.linkSync(segment, join(parent.directory, 'messages.jsonl'));
    expect(fsckSession(parent.directory).map((finding) => finding.code)).toContain('segment.unfinished_seal');
    const again = openFixture(parent.directory);
    again.journals.messages.write('1:a', Buffer.from(user('b')));
    expect(again.text()).toBe(user('a') + user('b'));
  });

  test.each([
    ['before the new active file: the fork is undone', 'openSync', [true, true]],
    ['after it: the journal freezes until a reopen', 'chmodSync', ['EIO', true]],
  ] as const)('a fork that fails %s', (_name, call, [appended, reopened]) => {
    let failing = false;
    const disk: Disk = {
      ...nodeDisk,
      [call]: (path: string, ...rest: never[]): unknown => {
        if (failing && (call === 'chmodSync' || path.endsWith('messages.jsonl.new')))
          throw Object.assign(new Error('full'), { code: 'ENOSPC' });
        return (nodeDisk[call] as (...all: unknown[]) => unknown)(path, ...rest);
      },
    };
    const parent = openFixture(undefined, { disk });
    parent.journals.messages.write('1:a', Buffer.from(user('a')));
    failing = true;
    expect(outcome(() => parent.journals.forkInto(temporaryDirectory()))).toBe('ENOSPC');
    failing = false;
    const append = (opened: typeof parent): unknown => outcome(() => opened.journals.messages.write('1:a', Buffer.from(user('b'))) > 0);
    expect(append(parent)).toBe(appended);
    const before = parent.text();
    parent.close();
    const again = openFixture(parent.directory);
    expect(again.text()).toBe(before);
    expect(append(again)).toBe(reopened);
    expect(again.text()).toBe(before + user('b'));
    expect(fsckSession(parent.directory).filter((finding) => finding.severity === 'error')).toEqual([]);
  });

  const planned = async (
    parent: Opened,
    atLine: number | undefined,
    meanwhile: () => void,
    log?: OrderLog,
  ): Promise<[string, () => void]> => {
    const { parts, settle } = parent.journals.beginFork();
    const work = planFork({ directory: parent.directory, parts, atLine, log, sync: performSyncLater });
    meanwhile();
    const plan = await work;
    settle();
    const child = temporaryDirectory();
    return [child, () => parent.journals.forkInto(child, atLine, plan)];
  };
  const errors = (directory: string): unknown[] => fsckSession(directory).filter((finding) => finding.severity === 'error');

  test('JRN-39: a planned fork reads no history, and lines that come meanwhile go on in the parent alone', async () => {
    let reading = true;
    let readBytes = 0;
    const disk: Disk = {
      ...nodeDisk,
      readSync: ((fd: number, into: Buffer, offset: number, length: number, position: number): number => {
        const got = nodeDisk.readSync(fd, into, offset, length, position);
        if (!reading) readBytes += got;
        return got;
      }) as typeof nodeDisk.readSync,
      fdatasyncSync: (fd: number): void => {
        expect(reading).toBe(true);
        nodeDisk.fdatasyncSync(fd);
      },
    };
    const parent = openFixture(undefined, { disk });
    const log = openOrderLog(parent.directory);
    const before = user('a'.repeat(3 << 20)) + user('b');
    parent.journals.messages.write('1:a', Buffer.from(before));
    parent.journals.appendEvent({ type: 'start' });
    log.commit(parent.notes.splice(0));
    const reader = openHistory(parent.directory, 'messages.jsonl', log);
    const [extent] = reader.extents(0, before.length);
    const later = user('meanwhile') + user('again');
    const [child, fork] = await planned(parent, undefined, () => {
      parent.journals.messages.write('1:a', Buffer.from(later));
      parent.journals.appendEvent({ type: 'meanwhile' });
      parent.journals.messages.fsync();
    });
    reading = false;
    fork();
    expect(readBytes).toBeLessThan(8192);
    reading = true;
    const opened = openFixture(child);
    expect([opened.text(), opened.events().map((event) => event['type'])]).toEqual([before, ['start']]);
    expect([parent.text(), parent.events().map((event) => event['type'])]).toEqual([before + later, ['start', 'meanwhile']]);
    parent.journals.messages.write('1:a', Buffer.from(user('end')));
    log.commit(parent.notes.splice(0));
    expect(reader.readRange(0, reader.sizeBytes).toString()).toBe(before + later + user('end'));
    expect(fs.readFileSync(extent?.path as string, 'utf8').slice(0, before.length)).toBe(before);
    reader.close();
    log.close();
    parent.close();
    opened.close();
    expect(readableSegments(parent.directory)['messages.jsonl'].map(({ sizeBytes }) => sizeBytes)).toEqual([
      before.length,
      (later + user('end')).length,
    ]);
    expect(openFixture(parent.directory).text()).toBe(before + later + user('end'));
    expect([errors(parent.directory), errors(child)]).toEqual([[], []]);
  });

  test('a planned fork at a line, in the active file and in a sealed segment, has the digest of what it holds', async () => {
    const parent = openFixture();
    const log = openOrderLog(parent.directory);
    parent.journals.messages.write('1:a', Buffer.from([1, 2, 3].map((n) => user(`m${n}`)).join('')));
    log.commit(parent.notes.splice(0));
    for (const [atLine, lines] of [
      [2, ['m1', 'm2']],
      [1, ['m1']],
      [0, []],
      [3, ['m1', 'm2', 'm3']],
    ] as const) {
      const [child, fork] = await planned(parent, atLine, () => parent.journals.messages.write('1:a', Buffer.from(user('later'))));
      fork();
      log.commit(parent.notes.splice(0));
      expect(openFixture(child).text()).toBe(lines.map(user).join(''));
      expect(errors(child)).toEqual([]);
    }
    await expect(planned(parent, 9, () => parent.journals.messages.write('1:a', Buffer.from(user('later'))))).rejects.toMatchObject({
      errno: 'EINVAL',
    });
    log.close();
  });

  test('two forks planned at once: the second finds the file sealed, and neither loses a line', async () => {
    const parent = openFixture();
    parent.journals.messages.write('1:a', Buffer.from(user('a')));
    const [first, fork] = await planned(parent, undefined, () => parent.journals.messages.write('1:a', Buffer.from(user('b'))));
    const [second, forkAgain] = await planned(parent, undefined, () => parent.journals.messages.write('1:a', Buffer.from(user('c'))));
    forkAgain();
    fork();
    parent.journals.messages.write('1:a', Buffer.from(user('d')));
    expect(parent.text()).toBe(['a', 'b', 'c', 'd'].map(user).join(''));
    expect([openFixture(first).text(), openFixture(second).text()]).toEqual([user('a'), user('a') + user('b')]);
    expect([errors(first), errors(second), errors(parent.directory)]).toEqual([[], [], []]);
  });

  test('a crash inside a planned fork keeps the lines that came meanwhile, once', async () => {
    const parent = openFixture();
    parent.journals.messages.write('1:a', Buffer.from(user('a')));
    const [, fork] = await planned(parent, undefined, () => parent.journals.messages.write('1:a', Buffer.from(user('b'))));
    fork();
    parent.close();
    // As it was between segments.json and the new active file.
    const segment = join(parent.directory, readSealed(parent.directory)[0]?.file as string);
    fs.rmSync(join(parent.directory, 'messages.jsonl'));
    fs.linkSync(segment, join(parent.directory, 'messages.jsonl'));
    const read = readableSegments(parent.directory)['messages.jsonl'].map(({ path, sizeBytes }) =>
      fs.readFileSync(path).subarray(0, sizeBytes),
    );
    expect(Buffer.concat(read).toString()).toBe(user('a') + user('b'));
    const history = openHistory(parent.directory, 'messages.jsonl');
    expect(history.lines).toBe(2);
    history.close();
    const again = openFixture(parent.directory);
    again.journals.messages.write('1:a', Buffer.from(user('c')));
    expect(again.text()).toBe(user('a') + user('b') + user('c'));
    expect(errors(parent.directory)).toEqual([]);
  });

  test('the child gets the order log up to the cut and the inputs that it names', () => {
    const parent = openFixture(undefined, { now: () => 42 });
    const log = openOrderLog(parent.directory);
    const step = (): void => log.commit(parent.notes.splice(0));
    parent.journals.messages.write('1:a', Buffer.from([1, 2, 3, 4].map((n) => user(`m${n}`)).join('')));
    step();
    log.recordInput('p', Buffer.from('old'), 1);
    parent.journals.appendEvent({ type: 'between' });
    step();
    parent.journals.messages.write('1:a', Buffer.from(user('m5') + user('m6')));
    step();
    log.recordInput('p', Buffer.from('new'), 2);
    const fork = (atLine?: number): { events: number; records: unknown[]; input: string | undefined; text: string; fsck: string[] } => {
      const directory = temporaryDirectory();
      parent.journals.forkInto(directory, atLine);
      const child = openFixture(directory);
      const childLog = openOrderLog(directory);
      childLog.catchUp(child.journals.messages.sizeBytes, child.journals.events.sizeBytes);
      const input = childLog.inputsAsOf().get('p');
      const result = {
        events: child.events().length,
        text: child.text(),
        fsck: fsckSession(directory).map((finding) => finding.code),
        records: Array.from({ length: childLog.length }, (_, index) => [
          childLog.at(index).kind,
          childLog.at(index).messageLines,
          childLog.at(index).timeMs,
        ]),
        input: input === undefined ? undefined : childLog.inputBytes(input).toString(),
      };
      childLog.close();
      return result;
    };
    const lines = (count: number): string => Array.from({ length: count }, (_, index) => user(`m${index + 1}`)).join('');
    expect(fork(2)).toEqual({ events: 0, records: [['messages', 2, 42]], input: undefined, text: lines(2), fsck: [] });
    expect(fork(4)).toEqual({ events: 0, records: [['messages', 4, 42]], input: undefined, text: lines(4), fsck: [] });
    expect(fork(5)).toEqual({
      events: 1,
      records: [
        ['messages', 4, 42],
        ['input', 4, 1],
        ['events', 4, 42],
        ['messages', 5, 42],
      ],
      input: 'old',
      text: lines(5),
      fsck: [],
    });
    expect(fork(0)).toEqual({ events: 0, records: [], input: undefined, text: '', fsck: [] });
    expect(fork().input).toBe('new');
    log.close();
  });

  test('law: after any appends and forks, every session reads as its own model', () => {
    const step = fc.record({
      who: fc.nat(3),
      act: fc.constantFrom('append', 'append', 'append', 'fork', 'forkAt', 'reopen'),
      line: fc.nat(30),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const sessions = [{ opened: openFixture(undefined, { disk: unsyncedDisk }), model: [] as string[] }];
        for (const [number, { who, act, line }] of steps.entries()) {
          const session = sessions[who % sessions.length] as (typeof sessions)[number];
          if (act === 'append') {
            session.opened.journals.messages.write('1:a', Buffer.from(user(`${number % 3}`)));
            session.model.push(user(`${number % 3}`));
          } else if (act === 'reopen') {
            session.opened.close();
            session.opened = openFixture(session.opened.directory, { disk: unsyncedDisk });
          } else {
            const directory = temporaryDirectory();
            const at = act === 'fork' ? undefined : line % (session.model.length + 1);
            session.opened.journals.forkInto(directory, at);
            sessions.push({ opened: openFixture(directory, { disk: unsyncedDisk }), model: session.model.slice(0, at) });
          }
        }
        for (const { opened, model } of sessions) {
          expect(opened.text()).toBe(model.join(''));
          const history = openHistory(opened.directory, 'messages.jsonl');
          expect(history.lines).toBe(model.length);
          history.close();
          expect(fsckSession(opened.directory).filter((finding) => finding.severity === 'error')).toEqual([]);
          opened.close();
        }
      }),
      { numRuns: 25 },
    );
  });
});
