import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openFixture, outcome, user } from './session-fixture.ts';

describe('a line is the unit', () => {
  test('bytes in are bytes out: odd spacing, CR before LF, unknown fields and duplicate keys are kept verbatim', () => {
    const { journals, text } = openFixture();
    const lines = ['{ "role" : "user",\t"content":"a" , "x":[1, 2.50]}\r\n', '{"role":"tool","role":"user","content":"\\u00e9é"}\n'];
    for (const line of lines) expect(journals.messages.write('1:a', Buffer.from(line))).toBe(Buffer.byteLength(line));
    expect(text()).toBe(lines.join(''));
  });

  test('a WRITE acknowledges the lines whose newline it holds; the rest is staged outside the size', () => {
    const { journals, text, notes } = openFixture();
    const [a, b] = [user('a'), user('b')];
    expect(journals.messages.write('1:a', Buffer.from(a + b.slice(0, 9)))).toBe(a.length + 9);
    expect(journals.messages.sizeBytes).toBe(a.length);
    expect(journals.messages.write('1:a', Buffer.from(b.slice(9)))).toBe(b.length - 9);
    expect(text()).toBe(a + b);
    expect(notes.map(({ file, endBytes, lines }) => ({ file, endBytes, lines }))).toEqual([
      { file: 'messages.jsonl', endBytes: a.length, lines: 1 },
      { file: 'messages.jsonl', endBytes: a.length + b.length, lines: 1 },
    ]);
  });

  test('stages of different open files and lock owners do not mix', () => {
    const { journals, text } = openFixture();
    const lines = { '1:a': user('one'), '1:b': user('two'), '2:a': user('three') };
    for (let at = 0; at < 40; at += 5) {
      for (const [key, line] of Object.entries(lines)) journals.messages.write(key, Buffer.from(line.slice(at, at + 5)));
    }
    expect(text().split('\n').sort()).toEqual([...Object.values(lines).map((line) => line.trimEnd()), ''].sort());
  });

  test('a staged piece is copied: the caller may use its buffer again', () => {
    const { journals, text } = openFixture();
    const buffer = Buffer.from(user('kept'));
    journals.messages.write('1:a', buffer.subarray(0, 10));
    const rest = Buffer.from(buffer.subarray(10));
    buffer.fill(0);
    journals.messages.write('1:a', rest);
    expect(text()).toBe(user('kept'));
  });
});

describe('refusal', () => {
  test('lines before the first bad line are stored and the count ends before it', () => {
    const { journals, text } = openFixture();
    const good = user('a') + user('b');
    expect(journals.messages.write('1:a', Buffer.from(`${good}not json\n`))).toBe(good.length);
    expect(text()).toBe(good);
  });

  test('a WRITE that starts with the bad line costs EINVAL once, is kept in rejects and reported', () => {
    const { journals, events, directory } = openFixture();
    expect(outcome(() => journals.messages.write('1:a', Buffer.from('{"role":"robot"}\n')))).toBe('EINVAL');
    const [event] = events();
    expect(event).toMatchObject({ type: 'error', code: 'EINVAL', target: 'messages.jsonl', reason: 'role', bytes: 17 });
    const reject = event?.['reject'] as string;
    expect(fs.readFileSync(join(directory, reject), 'utf8')).toBe('{"role":"robot"}\n');
    expect(JSON.parse(fs.readFileSync(join(directory, `${reject}.json`), 'utf8'))).toMatchObject({
      target: 'messages.jsonl',
      reason: 'role',
      digest: event?.['digest'],
      bytes: 17,
      stage: 'write',
    });
    expect(journals.messages.write('1:a', Buffer.from(user('next')))).toBe(user('next').length);
  });

  test.each([
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d, 10]), 'utf8'],
    ['invalid JSON', Buffer.from('{"role":"user"\n'), 'json'],
    ['an empty line', Buffer.from('\n'), 'json'],
    ['an array', Buffer.from('["user"]\n'), 'object'],
    ['a missing role', Buffer.from('{"content":"x"}\n'), 'role'],
    ['an unknown role', Buffer.from('{"role":"bot"}\n'), 'role'],
  ])('%s is refused', (_name, bytes, reason) => {
    const { journals, events, text } = openFixture();
    expect(outcome(() => journals.messages.write('1:a', bytes))).toBe('EINVAL');
    expect(events()[0]).toMatchObject({ reason });
    expect(text()).toBe('');
  });

  test('the developer role is known', () => {
    const { journals, text } = openFixture();
    journals.messages.write('1:a', Buffer.from('{"role":"developer","content":"x"}\n'));
    expect(text()).toContain('developer');
  });

  test('events need a type', () => {
    const { journals } = openFixture();
    expect(outcome(() => journals.events.write('1:a', Buffer.from('{"code":"x"}\n')))).toBe('EINVAL');
    expect(journals.events.write('1:a', Buffer.from('{"type":"x"}\n'))).toBe(13);
  });

  test('good lines after the bad line of a refused WRITE are stored, and its identical retry stores nothing twice', () => {
    const { journals, text, events } = openFixture();
    const bytes = Buffer.from(`bad\n${user('a')}worse\n${user('b')}`);
    expect(outcome(() => journals.messages.write('1:a', bytes))).toBe('EINVAL');
    expect(text()).toBe(user('a') + user('b'));
    expect(journals.messages.write('1:a', bytes)).toBe(bytes.length);
    expect(text()).toBe(user('a') + user('b'));
    expect(events()).toHaveLength(1);
    expect(events()[0]).toMatchObject({ lines: 2, bytes: 10 });
  });

  test('a third identical WRITE is a new WRITE, and without good lines every repeat is refused', () => {
    const { journals, text } = openFixture();
    const bytes = Buffer.from(`bad\n${user('a')}`);
    const outcomes = [1, 2, 3].map(() => outcome(() => journals.messages.write('1:a', bytes)));
    expect(outcomes).toEqual(['EINVAL', bytes.length, 'EINVAL']);
    expect(text()).toBe(user('a') + user('a'));
    expect([1, 2].map(() => outcome(() => journals.messages.write('2:a', Buffer.from('bad\n'))))).toEqual(['EINVAL', 'EINVAL']);
  });

  test('a bad line whose start was staged is refused whole', () => {
    const { journals, events, directory } = openFixture();
    expect(journals.messages.write('1:a', Buffer.from('{"role":'))).toBe(8);
    expect(outcome(() => journals.messages.write('1:a', Buffer.from('"nobody"}\n')))).toBe('EINVAL');
    expect(fs.readFileSync(join(directory, events()[0]?.['reject'] as string), 'utf8')).toBe('{"role":"nobody"}\n');
  });

  test('a trailing partial of a refused WRITE is kept in rejects, and its continuation is discarded through the newline', () => {
    const { journals, text, events, directory } = openFixture();
    expect(outcome(() => journals.messages.write('1:a', Buffer.from('bad\n{"role":"us')))).toBe('EINVAL');
    const tail = 'er","content":"x"}\n';
    expect(journals.messages.write('1:a', Buffer.from(tail + user('next')))).toBe(tail.length + user('next').length);
    expect(text()).toBe(user('next'));
    expect(fs.readFileSync(join(directory, events()[0]?.['reject'] as string), 'utf8')).toBe(`bad\n{"role":"us${tail}`);
  });

  test('while discarding, one whole valid line that arrives is stored', () => {
    const { journals, text } = openFixture();
    expect(outcome(() => journals.messages.write('1:a', Buffer.from('bad\npartial')))).toBe('EINVAL');
    expect(journals.messages.write('1:a', Buffer.from(user('whole')))).toBe(user('whole').length);
    expect(text()).toBe(user('whole'));
  });

  test('an over-long line costs EFBIG as soon as the stage exceeds the limit, and the rest of it is discarded', () => {
    const { journals, text, events } = openFixture(undefined, { maxLineBytes: 1000 });
    const piece = Buffer.from('x'.repeat(400));
    const outcomes = [1, 2, 3, 4].map(() => outcome(() => journals.messages.write('1:a', piece)));
    expect(outcomes).toEqual([400, 400, 'EFBIG', 400]);
    expect(journals.messages.write('1:a', Buffer.from('end"}\n'))).toBe(6);
    expect(journals.messages.write('1:a', Buffer.from(user('after')))).toBe(user('after').length);
    expect(text()).toBe(user('after'));
    expect(events()[0]).toMatchObject({ code: 'EFBIG', reason: 'too_long' });
  });

  test('the limit counts the newline: a line of exactly the limit is stored, one byte more is not', () => {
    const exact = user('x'.repeat(50));
    const { journals } = openFixture(undefined, { maxLineBytes: exact.length });
    expect(journals.messages.write('1:a', Buffer.from(exact))).toBe(exact.length);
    expect(outcome(() => journals.messages.write('1:a', Buffer.from(user('x'.repeat(51)))))).toBe('EFBIG');
    expect(journals.messages.write('1:b', Buffer.from(exact.slice(0, 20)))).toBe(20);
    expect(journals.messages.write('1:b', Buffer.from(exact.slice(20)))).toBe(exact.length - 20);
    expect(journals.messages.sizeBytes).toBe(2 * exact.length);
  });

  test('a WRITE of a million bad lines is one reject and one event', () => {
    const { journals, events, directory } = openFixture();
    expect(outcome(() => journals.messages.write('1:a', Buffer.alloc(1 << 20, 10)))).toBe('EINVAL');
    expect(events()).toHaveLength(1);
    expect(events()[0]).toMatchObject({ lines: 1 << 20, bytes: 1 << 20 });
    expect(fs.readdirSync(join(directory, 'rejects'))).toHaveLength(2);
  });

  test('the reject store is bounded by count and bytes, and the oldest go first', () => {
    const { journals, directory } = openFixture(undefined, { rejectLimits: { count: 5, bytes: 1000 } });
    for (let index = 0; index < 20; index++) outcome(() => journals.messages.write('1:a', Buffer.from(`bad ${index}\n`)));
    const kept = (): string[] =>
      fs
        .readdirSync(join(directory, 'rejects'))
        .filter((name) => !name.endsWith('.json'))
        .sort();
    expect(kept().map((name) => fs.readFileSync(join(directory, 'rejects', name), 'utf8'))).toEqual(
      [15, 16, 17, 18, 19].map((n) => `bad ${n}\n`),
    );
    outcome(() => journals.messages.write('1:a', Buffer.from(`${'y'.repeat(980)}\n`)));
    expect(kept().length).toBeLessThanOrEqual(3);
  });
});

describe('flush and release', () => {
  test('FLUSH completes a whole object of its own owner with one newline', () => {
    const { journals, text } = openFixture();
    journals.messages.write('1:a', Buffer.from('{"role":"user"}'));
    journals.messages.write('1:b', Buffer.from('{"role":"tool"}'));
    journals.messages.flush('1:a');
    expect(text()).toBe('{"role":"user"}\n');
  });

  test('FLUSH keeps an unfinished stage, however often dups close', () => {
    const { journals, text } = openFixture();
    journals.messages.write('1:a', Buffer.from('{"role":"user",'));
    for (let dup = 0; dup < 3; dup++) journals.messages.flush('1:a');
    journals.messages.write('1:a', Buffer.from('"content":"x"}\n'));
    expect(text()).toBe('{"role":"user","content":"x"}\n');
  });

  test('RELEASE turns a remainder into a reject and an error event, for its open file only', () => {
    const { journals, text, events } = openFixture();
    journals.messages.write('1:a', Buffer.from('{"role":"us'));
    journals.messages.write('2:a', Buffer.from('{"role":"us'));
    journals.messages.release('1');
    expect(events()).toHaveLength(1);
    expect(events()[0]).toMatchObject({ type: 'error', code: 'EINVAL', reason: 'unfinished', target: 'messages.jsonl', bytes: 11 });
    journals.messages.write('2:a', Buffer.from('er"}\n'));
    expect(text()).toBe('{"role":"user"}\n');
  });

  test('a release during discard forgets the discard', () => {
    const { journals, text } = openFixture();
    outcome(() => journals.messages.write('1:a', Buffer.from('bad\npart')));
    journals.messages.release('1');
    journals.messages.write('1:a', Buffer.from(user('x').slice(0, 5)));
    journals.messages.write('1:a', Buffer.from(user('x').slice(5)));
    expect(text()).toBe(user('x'));
  });
});

test('an event of ours is one line with a time', () => {
  const { journals, events } = openFixture(undefined, { now: () => 0 });
  journals.appendEvent({ type: 'start', run: 'r1' });
  expect(events()).toEqual([{ type: 'start', run: 'r1', time: '1970-01-01T00:00:00.000Z' }]);
  expect(outcome(() => journals.appendEvent({ run: 'r1' }))).toBe('EINVAL');
});

test('an 8 MiB line in 4 KiB pieces costs linear time and lands whole', () => {
  const { journals } = openFixture();
  const line = Buffer.from(user('z'.repeat(8 << 20)));
  for (let at = 0; at < line.length; at += 4096) journals.messages.write('1:a', line.subarray(at, at + 4096));
  expect(journals.messages.sizeBytes).toBe(line.length);
});
