import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/abi/digest.ts';
import { nodeDisk } from '../../src/journal/disk.ts';
import { fsckSession, openHistory, openOrderLog, type HistoryReader, type OrderFinding, type OrderLog } from '../../src/journal/index.ts';
import { openFixture, outcome, temporaryDirectory, user, type Opened } from './session-fixture.ts';

const EVENT = Buffer.from('{"type":"start"}\n');

function drain(opened: Opened, log: OrderLog): void {
  log.commit(opened.notes.splice(0));
}

function kinds(log: OrderLog): string[] {
  return Array.from({ length: log.length }, (_, index) => log.at(index).kind);
}

function reopenLog(directory: string, options: Parameters<typeof openOrderLog>[1] = {}): { log: OrderLog; findings: OrderFinding[] } {
  const findings: OrderFinding[] = [];
  return { log: openOrderLog(directory, { onFinding: (finding) => findings.push(finding), ...options }), findings };
}

describe('order', () => {
  test('messages, events and inputs have one order with cumulative ends and lines', () => {
    const opened = openFixture(undefined, { now: () => 5 });
    const log = openOrderLog(opened.directory);
    opened.journals.messages.write('1:a', Buffer.from(user('a') + user('b')));
    opened.journals.events.write('1:a', EVENT);
    drain(opened, log);
    expect(log.recordInput('context/pinned/x.md', Buffer.from('hello'), 7)).toBe(true);
    opened.journals.messages.write('1:a', Buffer.from(user('c')));
    drain(opened, log);
    const [a, c] = [user('a').length * 2, user('c').length];
    expect(Array.from({ length: log.length }, (_, index) => log.at(index))).toEqual([
      { kind: 'messages', timeMs: 5, messagesEnd: a, eventsEnd: 0, messageLines: 2, eventLines: 0 },
      { kind: 'events', timeMs: 5, messagesEnd: a, eventsEnd: EVENT.length, messageLines: 2, eventLines: 1 },
      {
        kind: 'input',
        timeMs: 7,
        messagesEnd: a,
        eventsEnd: EVENT.length,
        messageLines: 2,
        eventLines: 1,
        path: 'context/pinned/x.md',
        digest: digestOf('hello'),
      },
      { kind: 'messages', timeMs: 5, messagesEnd: a + c, eventsEnd: EVENT.length, messageLines: 3, eventLines: 1 },
    ]);
    expect(log.last()).toEqual(log.at(3));
    expect(log.indexOfMessagesOffset(a - 1)).toBe(0);
    expect(log.indexOfMessagesOffset(a)).toBe(3);
    log.close();
  });

  test('DRV-16 records that a full disk kept back are read from memory, and written by the next reader', () => {
    let full = false;
    const writeSync = ((fd: number, bytes: Buffer, offset: number, length: number, position?: number | null): number => {
      if (full) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      return nodeDisk.writeSync(fd, bytes, offset, length, position);
    }) as typeof nodeDisk.writeSync;
    const opened = openFixture();
    const [a, b, c] = ['a', 'b', 'c'].map(user) as [string, string, string];
    opened.journals.messages.write('1:a', Buffer.from(a));
    const log = openOrderLog(opened.directory, { disk: { ...nodeDisk, writeSync } });
    const catchUp = (): void => log.catchUp(opened.journals.messages.sizeBytes, 0);
    const sizeBytes = (): number => fs.statSync(join(opened.directory, 'order.log')).size;
    catchUp();
    const before = sizeBytes();
    full = true;
    for (const line of [b, c]) {
      opened.journals.messages.write('1:a', Buffer.from(line));
      catchUp();
    }
    const look = (): unknown => [
      Array.from({ length: log.length }, (_, index) => log.at(index).messagesEnd),
      log.indexOfMessagesOffset(a.length),
      log.indexOfMessagesOffset(a.length + b.length),
      log.revision(),
    ];
    const inMemory = look();
    expect([log.last()?.messageLines, sizeBytes()]).toEqual([3, before]);
    expect(inMemory).toEqual([[a.length, a.length + b.length, a.length + b.length + c.length], 1, 2, log.revision()]);
    expect(() => log.at(3)).toThrow(RangeError);
    full = false;
    catchUp();
    expect(look()).toEqual(inMemory);
    expect(sizeBytes()).toBeGreaterThan(before);
    log.close();
    const again = openOrderLog(opened.directory);
    expect([again.length, again.revision()]).toEqual([3, (inMemory as unknown[])[3]]);
    again.close();
  });

  test('commits of one journal coalesce, up to a second and never across the other journal', () => {
    let now = 0;
    const opened = openFixture(undefined, { now: () => now });
    const log = openOrderLog(opened.directory);
    for (const step of ['m', 'm', 'e', 'm', 'late', 'm']) {
      if (step === 'late') now += 1000;
      else if (step === 'e') opened.journals.events.write('1:a', EVENT);
      else opened.journals.messages.write('1:a', Buffer.from(user('x')));
    }
    drain(opened, log);
    expect(kinds(log)).toEqual(['messages', 'events', 'messages', 'messages']);
    log.close();
  });

  test('no record covers more than 1,024 lines or 256 KiB, unless one line is longer; records end at line ends', () => {
    const opened = openFixture();
    const log = openOrderLog(opened.directory);
    const lines = [
      ...Array.from({ length: 3000 }, () => user('s')),
      user('l'.repeat(300_000)),
      ...Array.from({ length: 10 }, () => user('m'.repeat(60_000))),
    ];
    opened.journals.messages.write('1:a', Buffer.from(lines.join('')));
    drain(opened, log);
    const text = Buffer.from(lines.join(''));
    let [end, count] = [0, 0];
    for (let index = 0; index < log.length; index++) {
      const record = log.at(index);
      const [bytes, covered] = [record.messagesEnd - end, record.messageLines - count];
      expect(covered).toBeLessThanOrEqual(1024);
      expect(bytes <= 256 * 1024 || covered === 1).toBe(true);
      expect(text[record.messagesEnd - 1]).toBe(10);
      [end, count] = [record.messagesEnd, record.messageLines];
    }
    expect([end, count]).toEqual([text.length, lines.length]);
    log.close();
  });

  test('catchUp gives every byte without a record one, and late notes for those bytes add nothing', () => {
    const opened = openFixture();
    const log = openOrderLog(opened.directory);
    opened.journals.messages.write('1:a', Buffer.from(user('a')));
    opened.journals.events.write('1:a', EVENT);
    log.catchUp(opened.journals.messages.sizeBytes, opened.journals.events.sizeBytes);
    expect(kinds(log)).toEqual(['messages', 'events']);
    const revision = log.revision();
    drain(opened, log);
    expect([log.length, log.revision()]).toEqual([2, revision]);
    log.close();
  });
});

describe('recorded inputs', () => {
  test('an unchanged digest makes no record; a removed file makes one; bytes come back by digest after the file is gone', () => {
    const directory = temporaryDirectory();
    const log = openOrderLog(directory);
    const results = ['one', 'one', 'two', undefined, undefined, 'one'].map((text, time) =>
      log.recordInput('p', text === undefined ? undefined : Buffer.from(text), time),
    );
    expect(results).toEqual([true, false, true, true, false, true]);
    expect([0, 1, 2, 3, 4].map((index) => log.inputsAsOf(index).get('p'))).toEqual([
      undefined,
      digestOf('one'),
      digestOf('two'),
      undefined,
      digestOf('one'),
    ]);
    expect(log.inputBytes(digestOf('two')).toString()).toBe('two');
    expect(outcome(() => log.inputBytes(digestOf('never')))).toBe('ENOENT');
    log.close();
    const again = openOrderLog(directory);
    expect([...again.inputsAsOf()]).toEqual([['p', digestOf('one')]]);
    expect(again.recordInput('p', Buffer.from('one'), 9)).toBe(false);
    again.close();
  });

  test('inputs recorded together make the records of one by one, and wait for the disk once each for lines, records and names', () => {
    const versions = ['one', 'two', 'three', 'two', undefined].map((text, index) => ({
      path: `p${index}`,
      bytes: text === undefined ? undefined : Buffer.from(text),
    }));
    const synced = (record: (log: OrderLog) => void): { syncs: number; kept: readonly unknown[] } => {
      let syncs = 0;
      const count = <T extends (fd: number) => void>(sync: T): T =>
        ((fd: number) => {
          syncs++;
          sync(fd);
        }) as T;
      const disk = { ...nodeDisk, fsyncSync: count(fs.fsyncSync), fdatasyncSync: count(fs.fdatasyncSync) };
      const log = openOrderLog(temporaryDirectory(), { disk, bootId: 'same' });
      log.recordInput('first', Buffer.from('first'), 1);
      syncs = 0;
      record(log);
      const kept = [log.revision(), log.length, ...log.inputsAsOf()];
      for (const digest of log.inputsAsOf().values()) expect(digestOf(log.inputBytes(digest))).toBe(digest);
      const counted = syncs;
      log.close();
      return { syncs: counted, kept };
    };
    const alone = synced((log) => {
      for (const { path, bytes } of versions) log.recordInput(path, bytes, 2);
    });
    const together = synced((log) => expect(log.recordInputs(versions, 2)).toBe(true));
    expect(together.kept).toEqual(alone.kept);
    expect(together.kept).toHaveLength(2 + 5);
    // Three files of bytes (one content is there twice), their folder, the lines, the records.
    expect(together.syncs).toBe(3 + 3);
    expect(alone.syncs).toBeGreaterThan(2 * together.syncs);
  });

  test('damaged input bytes are an error, never served', () => {
    const directory = temporaryDirectory();
    const log = openOrderLog(directory);
    log.recordInput('p', Buffer.from('good'), 1);
    fs.writeFileSync(join(directory, 'inputs', digestOf('good').slice(7)), 'evil');
    expect(outcome(() => log.inputBytes(digestOf('good')))).toBe('EIO');
    expect(fsckSession(directory).map((finding) => finding.code)).toEqual(['input.digest']);
    log.close();
  });
});

describe('recovery', () => {
  function filled(): { directory: string; opened: Opened; revision: string; length: number } {
    const opened = openFixture(undefined, { now: () => 1 });
    const log = openOrderLog(opened.directory);
    for (let index = 0; index < 10; index++) {
      opened.journals.messages.write('1:a', Buffer.from(user(`m${index}`)));
      drain(opened, log);
      if (index === 4) log.recordInput('p', Buffer.from('x'), 3);
    }
    const result = { directory: opened.directory, opened, revision: log.revision(), length: log.length };
    log.close();
    return result;
  }

  test('reopening changes nothing', () => {
    const { directory, revision, length } = filled();
    const { log, findings } = reopenLog(directory);
    expect([log.revision(), log.length, findings]).toEqual([revision, length, []]);
    log.close();
    const other = reopenLog(directory, { bootId: 'another boot' });
    expect([other.log.revision(), other.log.length, other.findings]).toEqual([revision, length, []]);
    other.log.close();
  });

  test('a torn last record is cut, and its bytes get a record again', () => {
    const { directory, opened, length } = filled();
    const path = join(directory, 'order.log');
    fs.truncateSync(path, fs.statSync(path).size - 20);
    const { log, findings } = reopenLog(directory);
    expect([log.length, findings.map((finding) => finding.code)]).toEqual([length - 1, ['order.torn']]);
    log.catchUp(opened.journals.messages.sizeBytes, 0);
    expect(log.last()).toMatchObject({ messageLines: 10, messagesEnd: opened.journals.messages.sizeBytes });
    log.close();
    expect(fsckSession(directory)).toEqual([]);
  });

  test('records past the data are dropped, and inputs among them are recorded again', () => {
    const { directory, opened } = filled();
    opened.close();
    fs.truncateSync(join(directory, 'messages.jsonl'), user('m0').length * 2);
    const { log, findings } = reopenLog(directory);
    expect(findings).toMatchObject([{ code: 'order.rebuilt' }]);
    expect(log.last()).toMatchObject({ kind: 'input', messageLines: 2, path: 'p', digest: digestOf('x') });
    log.close();
    expect(fsckSession(directory)).toEqual([]);
  });

  test('records whose bytes changed (lost and written anew) are rebuilt from the first that does not hold', () => {
    const { directory, opened } = filled();
    opened.close();
    const path = join(directory, 'messages.jsonl');
    const lines = fs.readFileSync(path, 'utf8').replace('m7', 'M7');
    fs.writeFileSync(path, lines);
    const { log, findings } = reopenLog(directory);
    expect(findings).toMatchObject([{ code: 'order.rebuilt', droppedRecords: 3 }]);
    log.catchUp(lines.length, 0);
    expect(log.last()).toMatchObject({ messageLines: 10 });
    log.close();
    expect(fsckSession(directory)).toEqual([]);
  });

  test('zeroed pages in the log are found after another boot', () => {
    const { directory, opened } = filled();
    const path = join(directory, 'order.log');
    const bytes = fs.readFileSync(path);
    bytes.fill(0, 48 + 3 * 48, 48 + 5 * 48);
    fs.writeFileSync(path, bytes);
    const { log } = reopenLog(directory, { bootId: 'another boot' });
    expect(log.length).toBe(3 + 1);
    log.catchUp(opened.journals.messages.sizeBytes, 0);
    log.close();
    expect(fsckSession(directory)).toEqual([]);
  });

  test('an input line without its record gets one; a torn input line is cut', () => {
    const { directory, length } = filled();
    fs.appendFileSync(join(directory, 'inputs.jsonl'), `{"path":"q","digest":null,"time":4}\n{"path":"r","dig`);
    const { log } = reopenLog(directory);
    expect(log.length).toBe(length + 1);
    expect(log.last()).toMatchObject({ kind: 'input', path: 'q', digest: undefined });
    log.recordInput('r', Buffer.from('r'), 5);
    log.close();
    expect(fs.readFileSync(join(directory, 'inputs.jsonl'), 'utf8').split('\n')).toHaveLength(4);
    expect(fsckSession(directory)).toEqual([]);
  });

  test('a log of a later format is refused and left alone', () => {
    const { directory } = filled();
    const path = join(directory, 'order.log');
    const bytes = fs.readFileSync(path);
    bytes.writeUInt16BE(3, 8);
    fs.writeFileSync(path, bytes);
    expect(outcome(() => openOrderLog(directory))).toBe('EOPNOTSUPP');
    expect(fs.readFileSync(path).equals(bytes)).toBe(true);
  });
});

describe('history', () => {
  test.each([
    ['with the order log', true],
    ['without it', false],
  ])('lines and offsets agree with the text, %s', (_name, withLog) => {
    const opened = openFixture();
    const log = openOrderLog(opened.directory);
    const lines = Array.from({ length: 2500 }, (_, index) =>
      user('x'.repeat((index * 37) % 300) + (index === 1200 ? 'L'.repeat(400_000) : '')),
    );
    for (let at = 0; at < lines.length; at += 700) {
      opened.journals.messages.write('1:a', Buffer.from(lines.slice(at, at + 700).join('')));
      if (at !== 1400 || withLog) drain(opened, log);
    }
    const history = openHistory(opened.directory, 'messages.jsonl', withLog ? log : undefined);
    const text = Buffer.from(lines.join(''));
    expect([history.lines, history.sizeBytes]).toEqual([2500, text.length]);
    let offset = 0;
    for (const [index, line] of lines.entries()) {
      const end = offset + Buffer.byteLength(line);
      if (index % 7 === 0 || index > 2490 || index === 1200) {
        expect(history.offsetOfLine(index + 1)).toBe(offset);
        expect([history.lineOfOffset(offset), history.lineOfOffset(end - 1)]).toEqual([index + 1, index + 1]);
        expect(history.readRange(offset, end).toString()).toBe(line);
      }
      offset = end;
    }
    expect(history.offsetOfLine(2501)).toBe(text.length);
    expect(outcome(() => history.offsetOfLine(2502))).toBe('EINVAL');
    expect(outcome(() => history.lineOfOffset(text.length))).toBe('EINVAL');
    history.close();
    log.close();
  });

  test('extents given out before a fork still name the same bytes after it', () => {
    const opened = openFixture();
    const history = openHistory(opened.directory, 'messages.jsonl');
    opened.journals.messages.write('1:a', Buffer.from(user('before')));
    const extents = history.extents(0, history.sizeBytes);
    opened.journals.forkInto(temporaryDirectory());
    opened.journals.messages.write('1:a', Buffer.from(user('after after after')));
    const second = history.extents(user('before').length, history.sizeBytes);
    opened.close();
    openFixture(opened.directory).journals.forkInto(temporaryDirectory());
    const bytes = (list: typeof extents): string =>
      list
        .map((extent) =>
          fs
            .readFileSync(extent.path)
            .subarray(extent.offsetBytes, extent.offsetBytes + extent.sizeBytes)
            .toString(),
        )
        .join('');
    expect([bytes(extents), bytes(second)]).toEqual([user('before'), user('after after after')]);
    history.close();
  });

  test('a reader that looks in the middle of a fork counts sealed bytes once and follows to the new file', () => {
    const seen: unknown[] = [];
    const readers: HistoryReader[] = [];
    const opened = openFixture(undefined, {
      disk: {
        ...nodeDisk,
        renameSync(from: fs.PathLike, to: fs.PathLike): void {
          nodeDisk.renameSync(from, to);
          for (const reader of readers) seen.push([reader.sizeBytes, reader.readRange(0, reader.sizeBytes).toString()]);
        },
      },
    });
    opened.journals.messages.write('1:a', Buffer.from(user('one')));
    const history = openHistory(opened.directory, 'messages.jsonl');
    readers.push(history);
    opened.journals.forkInto(temporaryDirectory());
    expect(seen.length).toBeGreaterThan(2);
    expect(seen).toEqual(seen.map(() => [user('one').length, user('one')]));
    opened.journals.messages.write('1:a', Buffer.from(user('two')));
    expect(history.readRange(0, history.sizeBytes).toString()).toBe(user('one') + user('two'));
    history.close();
  });

  test('a reader opened before the journal exists finds it later', () => {
    const directory = temporaryDirectory();
    const history = openHistory(directory, 'messages.jsonl');
    expect([history.lines, history.sizeBytes]).toEqual([0, 0]);
    openFixture(directory).journals.messages.write('1:a', Buffer.from(user('a')));
    expect([history.lines, history.readRange(0, history.sizeBytes).toString()]).toEqual([1, user('a')]);
    history.close();
  });

  test('a reader opened before later appends and before a fork keeps giving right bytes', () => {
    const opened = openFixture();
    const history = openHistory(opened.directory, 'messages.jsonl');
    let all = '';
    for (let round = 0; round < 4; round++) {
      const line = user(`round ${round}`);
      opened.journals.messages.write('1:a', Buffer.from(line));
      all += line;
      expect([history.lines, history.sizeBytes]).toEqual([round + 1, all.length]);
      expect(history.readRange(0, all.length).toString()).toBe(all);
      const child = temporaryDirectory();
      if (round % 2 === 0) opened.journals.forkInto(child);
      expect(history.readRange(0, all.length).toString()).toBe(all);
      expect(
        history
          .extents(0, all.length)
          .map((extent) =>
            fs
              .readFileSync(extent.path)
              .subarray(extent.offsetBytes, extent.offsetBytes + extent.sizeBytes)
              .toString(),
          )
          .join(''),
      ).toBe(all);
    }
    history.close();
  });
});

test('reading history writes nothing', () => {
  const opened = openFixture();
  opened.journals.messages.write('1:a', Buffer.from(user('a')));
  opened.close();
  const stamp = (): string[] =>
    fs
      .readdirSync(opened.directory)
      .map((name) => `${name} ${fs.statSync(join(opened.directory, name)).mtimeMs} ${fs.statSync(join(opened.directory, name)).size}`);
  const before = stamp();
  const history = openHistory(opened.directory, 'messages.jsonl');
  expect(history.readRange(0, history.sizeBytes).toString()).toBe(user('a'));
  history.close();
  fsckSession(opened.directory);
  expect(stamp()).toEqual(before);
});
