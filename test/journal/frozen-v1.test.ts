import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { fsckSession, openHistory, openOrderLog, readableSegments } from '../../src/journal/index.ts';
import { openFixture, temporaryDirectory, user } from './session-fixture.ts';

interface Expected {
  readonly messages: string;
  readonly events: string;
  readonly revision: string;
  readonly records: readonly object[];
  readonly offsets: readonly number[];
  readonly inputs: Readonly<Record<string, string>>;
}

test.each([1, 2])('a store of format version %i reads, verifies and grows as it did when it was frozen', (version) => {
  const fixture = fileURLToPath(new URL(`../fixtures/journal-v${version}/`, import.meta.url));
  const expected = JSON.parse(fs.readFileSync(join(fixture, 'expected.json'), 'utf8')) as Expected;
  const directory = join(temporaryDirectory(), 'session');
  fs.cpSync(join(fixture, 'session'), directory, { recursive: true });
  expect(fsckSession(directory)).toEqual([]);
  expect(
    readableSegments(directory)
      ['messages.jsonl'].map((segment) => fs.readFileSync(segment.path).subarray(0, segment.sizeBytes).toString())
      .join(''),
  ).toBe(expected.messages);

  const { journals, text, notes } = openFixture(directory, { bootId: 'frozen-boot' });
  expect([text(), text('events.jsonl')]).toEqual([expected.messages, expected.events]);
  const log = openOrderLog(directory, { bootId: 'frozen-boot' });
  expect(log.revision()).toBe(expected.revision);
  expect(JSON.parse(JSON.stringify(Array.from({ length: log.length }, (_, index) => log.at(index))))).toEqual(expected.records);
  expect(Object.fromEntries(log.inputsAsOf())).toEqual(expected.inputs);
  const history = openHistory(directory, 'messages.jsonl', log);
  expect(Array.from({ length: history.lines + 1 }, (_, index) => history.offsetOfLine(index + 1))).toEqual(expected.offsets);

  journals.messages.write('1:a', Buffer.from(user('new')));
  log.commit(notes);
  expect(history.readRange(0, history.sizeBytes).toString()).toBe(expected.messages + user('new'));
  history.close();
  log.close();
  expect(fsckSession(directory)).toEqual([]);
});
