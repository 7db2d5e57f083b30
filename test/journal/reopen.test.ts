import * as fs from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { digestParts, fsckSession, lockJournal, lockStore, openOrderLog, readableSegments } from '../../src/journal/index.ts';
import { openFixture, outcome, temporaryDirectory, user } from './session-fixture.ts';

describe('opening', () => {
  test('the time of a journal is that of its newest commit, also when it is opened again', () => {
    const first = openFixture(undefined, { now: () => 1_795_231_500_912 });
    first.journals.messages.write('1:a', Buffer.from(user('a')));
    first.close();
    const again = openFixture(first.directory);
    const events = again.journals.events.modifiedMs;
    expect(again.journals.messages.modifiedMs).toBe(1_795_231_500_912);
    again.close();
    // What nothing was appended to keeps the time it has.
    expect(openFixture(first.directory).journals.messages.modifiedMs).toBe(1_795_231_500_912);
    expect(events).not.toBe(1_795_231_500_912);
  });

  test('the time of a journal stays when it is sealed, and that of an empty one when it is opened again', () => {
    const first = openFixture(undefined, { now: () => 1_795_231_500_912 });
    first.journals.messages.write('1:a', Buffer.from(user('a')));
    first.close();
    const second = openFixture(first.directory);
    second.journals.seal();
    // As after a kill: nothing is put right when it is closed.
    const killed = openFixture(first.directory, { now: () => 1_895_231_500_912 });
    expect(killed.journals.messages.modifiedMs).toBe(1_795_231_500_912);
    expect(killed.journals.events.modifiedMs).toBe(Math.trunc(fs.statSync(join(first.directory, 'events.jsonl')).mtimeMs));
    fs.utimesSync(join(first.directory, 'events.jsonl'), 1_695_231_500, 1_695_231_500);
    expect(openFixture(first.directory).journals.events.modifiedMs).toBe(1_695_231_500_000);
  });

  test('a torn tail is set aside, never glued to the next line', () => {
    const directory = temporaryDirectory();
    fs.writeFileSync(join(directory, 'messages.jsonl'), `${user('a')}{"role":"us`);
    const { journals, text, events } = openFixture(directory);
    journals.messages.write('1:a', Buffer.from(user('b')));
    expect(text()).toBe(user('a') + user('b'));
    const [event] = events();
    expect(event).toMatchObject({ type: 'error', target: 'messages.jsonl', reason: 'torn', bytes: 11 });
    expect(fs.readFileSync(join(directory, event?.['reject'] as string), 'utf8')).toBe('{"role":"us');
  });

  test('a tail that is a whole object without its newline was never acknowledged: it is set aside too', () => {
    const directory = temporaryDirectory();
    fs.writeFileSync(join(directory, 'messages.jsonl'), user('a').trimEnd());
    const { journals } = openFixture(directory);
    expect(journals.messages.sizeBytes).toBe(0);
  });

  test('a torn events tail is set aside and reported in events itself', () => {
    const directory = temporaryDirectory();
    fs.writeFileSync(join(directory, 'events.jsonl'), '{"type":"start"}\n{"ty');
    expect(openFixture(directory).events()).toMatchObject([{ type: 'start' }, { reason: 'torn', target: 'events.jsonl' }]);
  });

  test('after another boot, lines that a hole touched are set aside and whole lines after it are kept', () => {
    const first = openFixture(undefined, { bootId: 'one' });
    first.journals.messages.write('1:a', Buffer.from(user('synced')));
    first.journals.messages.fsync();
    first.journals.messages.write('1:a', Buffer.from(user('b'.repeat(100)) + user('c'.repeat(100)) + user('d')));
    first.close();
    const path = join(first.directory, 'messages.jsonl');
    const bytes = fs.readFileSync(path);
    bytes.fill(0, user('synced').length + 50, user('synced').length + 150);
    fs.writeFileSync(path, bytes);
    const same = openFixture(first.directory, { bootId: 'one' });
    expect(same.events()).toMatchObject([{ reason: 'outside:nul', lines: 1 }]);
    same.close();
    const { text, events } = openFixture(first.directory, { bootId: 'two' });
    expect(text()).toBe(user('synced') + user('d'));
    expect(events().at(-1)).toMatchObject({ reason: 'hole' });
    expect(fsckSession(first.directory).filter((finding) => finding.severity === 'error')).toEqual([]);
  });

  test('a salvage that was interrupted is completed', () => {
    const directory = temporaryDirectory();
    fs.writeFileSync(join(directory, 'messages.jsonl'), `${user('a')}\0\0\0\n${user('b')}`);
    fs.writeFileSync(join(directory, 'salvage.messages.jsonl'), `${user('a').length}\n${user('b')}`);
    const { text } = openFixture(directory);
    expect(text()).toBe(user('a') + user('b'));
    expect(fs.existsSync(join(directory, 'salvage.messages.jsonl'))).toBe(false);
  });

  test('lines appended while no daemon ran are taken; invalid ones stay and are reported', () => {
    const first = openFixture();
    first.journals.messages.write('1:a', Buffer.from(user('a')));
    first.close();
    const log = openOrderLog(first.directory);
    log.catchUp(user('a').length, 0);
    log.close();
    fs.appendFileSync(join(first.directory, 'messages.jsonl'), `${user('b')}junk\n`);
    const { text, events } = openFixture(first.directory);
    expect(text()).toBe(`${user('a')}${user('b')}junk\n`);
    expect(events()).toMatchObject([{ reason: 'outside:json', lines: 1, bytes: 5 }]);
  });
});

describe('others append in the store while the daemon runs', () => {
  test('whole lines are detected, noted and readable', () => {
    const { directory, journals, text, notes, events } = openFixture();
    journals.messages.write('1:a', Buffer.from(user('a')));
    fs.appendFileSync(join(directory, 'messages.jsonl'), user('b') + user('c'));
    expect(journals.refresh()).toBe(true);
    expect(journals.refresh()).toBe(false);
    expect(text()).toBe(user('a') + user('b') + user('c'));
    expect(notes.map((note) => note.lines)).toEqual([1, 2]);
    expect(events()).toEqual([]);
  });

  test('invalid lines are reported as error events', () => {
    const { directory, journals, events } = openFixture();
    fs.appendFileSync(join(directory, 'messages.jsonl'), 'oops\n');
    journals.messages.write('1:a', Buffer.from(user('a')));
    expect(events()).toMatchObject([
      { type: 'error', code: 'EINVAL', target: 'messages.jsonl', reason: 'outside:json', lines: 1, start: 0 },
    ]);
  });

  test.each([
    ['seen before our append', true],
    ['not seen before our append', false],
  ])('an unfinished line of theirs is never glued to ours: %s', (_name, seen) => {
    const { directory, journals, text, notes } = openFixture();
    fs.appendFileSync(join(directory, 'messages.jsonl'), '{"role":"us');
    if (seen) journals.refresh();
    expect(journals.messages.sizeBytes).toBe(0);
    expect(journals.messages.write('1:a', Buffer.from(user('ours')))).toBe(user('ours').length);
    const lines = text()
      .split('\n')
      .filter((line) => line !== '');
    expect(lines.filter((line) => line === user('ours').trimEnd())).toHaveLength(1);
    expect(journals.messages.sizeBytes).toBe(fs.statSync(join(directory, 'messages.jsonl')).size);
    expect(notes.filter((note) => note.file === 'messages.jsonl').at(-1)?.endBytes).toBe(journals.messages.sizeBytes);
  });

  test('a journal that shrank is frozen with a clear error, and reads go on', () => {
    const { directory, journals } = openFixture();
    journals.messages.write('1:a', Buffer.from(user('a') + user('b')));
    fs.truncateSync(join(directory, 'messages.jsonl'), user('a').length);
    expect(outcome(() => journals.refresh())).toBe('EIO');
    expect(outcome(() => journals.messages.write('1:a', Buffer.from(user('c'))))).toBe('EIO');
    expect(journals.messages.read(0, Buffer.alloc(5))).toBe(5);
  });
});

describe('locks', () => {
  test('one daemon owns a store; the error names the holder; release frees it', () => {
    const directory = temporaryDirectory();
    const lock = lockStore(directory);
    expect(() => lockStore(directory)).toThrow(`process ${process.pid}`);
    expect(outcome(() => lockStore(directory))).toBe('EBUSY');
    lock.release();
    lockStore(directory).release();
  });

  test('the kernel releases the lock of a killed process', () => {
    const directory = temporaryDirectory();
    const held = spawnSync('sh', ['-c', 'exec 9>"$1"; flock -n 9 && kill -9 $$', 'sh', join(directory, 'lock')]);
    expect(held.signal).toBe('SIGKILL');
    lockStore(directory).release();
  });

  test('flock(1) and lockJournal exclude each other', () => {
    const directory = temporaryDirectory();
    const lock = lockJournal(directory);
    expect(spawnSync('sh', ['-c', 'flock -n "$1" true', 'sh', join(directory, 'journal.lock')]).status).toBe(1);
    expect(outcome(() => lockJournal(directory))).toBe('EAGAIN');
    lock.release();
    expect(spawnSync('sh', ['-c', 'flock -n "$1" true', 'sh', join(directory, 'journal.lock')]).status).toBe(0);
  });
});

test('the daemon holds the journal lock while it cuts: a tail is left alone while another process holds it', () => {
  const directory = temporaryDirectory();
  const path = join(directory, 'messages.jsonl');
  fs.writeFileSync(path, user('a') + user('b').slice(0, 9));
  const lock = lockJournal(directory);
  const { journals, text, events } = openFixture(directory);
  expect(fs.statSync(path).size).toBe(user('a').length + 9);
  expect(text()).toBe(user('a'));
  fs.appendFileSync(path, user('b').slice(9));
  lock.release();
  journals.refresh();
  expect(text()).toBe(user('a') + user('b'));
  expect(events()).toEqual([]);
});

test('fsck names what is wrong and changes nothing', async () => {
  const { directory, journals, close } = openFixture();
  journals.messages.write('1:a', Buffer.from(user('a') + user('b')));
  journals.forkInto(temporaryDirectory());
  journals.messages.write('1:a', Buffer.from(user('c')));
  close();
  await digestParts(directory);
  const [segment] = readableSegments(directory)['messages.jsonl'];
  fs.chmodSync(segment?.path as string, 0o600);
  fs.writeFileSync(segment?.path as string, (user('a') + user('b')).replace('"b"', '"B"'));
  fs.appendFileSync(join(directory, 'messages.jsonl'), 'bad\ntorn');
  const before = fs.readFileSync(join(directory, 'messages.jsonl'), 'utf8');
  expect(fsckSession(directory).map(({ severity, code }) => `${severity} ${code}`)).toEqual([
    'error segment.digest',
    'error line.invalid',
    'warning journal.torn',
    'warning order.trails',
  ]);
  expect(fs.readFileSync(join(directory, 'messages.jsonl'), 'utf8')).toBe(before);
  fs.rmSync(segment?.path as string);
  expect(fsckSession(directory)[0]?.code).toBe('segment.missing');
});
