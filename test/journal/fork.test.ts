import * as fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeDisk, type Disk } from '../../src/journal/disk.ts';
import { fsckSession, openHistory, openOrderLog, readableSegments } from '../../src/journal/index.ts';
import { openFixture, outcome, temporaryDirectory, unsyncedDisk, user } from './session-fixture.ts';

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
