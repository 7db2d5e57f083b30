import * as fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nodeDisk, type Disk } from '../../src/journal/disk.ts';
import { openHistory, openOrderLog } from '../../src/journal/index.ts';
import { openFixture, outcome, temporaryDirectory, unsyncedDisk, user, type Opened } from './session-fixture.ts';

/** What one writer sends: its lines in order, good or bad, cut into pieces anywhere. */
const line = fc.oneof(
  { weight: 5, arbitrary: fc.nat(400).map((size) => ({ good: true, size })) },
  { weight: 1, arbitrary: fc.nat(40).map((size) => ({ good: false, size })) },
);
const action = fc.record({
  writer: fc.nat(3),
  act: fc.constantFrom('write', 'write', 'write', 'write', 'flush', 'release', 'crash', 'order', 'fsync'),
  take: fc.integer({ min: 1, max: 900 }),
});

class WriterModel {
  pending: Buffer;
  /** Good lines whose newline was taken by a WRITE. */
  readonly acknowledged: string[] = [];
  #sent = '';
  #generation = 0;
  readonly #number: number;

  constructor(number: number, lines: readonly { good: boolean; size: number }[]) {
    this.#number = number;
    this.pending = Buffer.from(
      lines.map(({ good, size }, index) => (good ? user(`${number}/${index}/${'é'.repeat(size)}`) : `bad ${'b'.repeat(size)}\n`)).join(''),
    );
  }

  get openFile(): string {
    return `${this.#number}.${this.#generation}`;
  }
  get stage(): string {
    return `${this.openFile}:owner`;
  }

  /** As a C library does it: a short count is followed by the rest; a refused WRITE is given up. */
  send(opened: Opened, take: number): void {
    let bytes = this.pending.subarray(0, take);
    this.pending = this.pending.subarray(bytes.length);
    while (bytes.length > 0) {
      const result = outcome(() => opened.journals.messages.write(this.stage, bytes));
      if (typeof result === 'number') {
        expect(result).toBeGreaterThan(0);
        this.#took(bytes.subarray(0, result).toString('latin1'), false);
        bytes = bytes.subarray(result);
      } else {
        expect(result).toBe('EINVAL');
        this.#took(bytes.toString('latin1'), true);
        bytes = bytes.subarray(bytes.length);
      }
    }
  }

  /** A whole object without its newline is completed; its newline, when it comes, is then an empty line. */
  flush(opened: Opened): void {
    opened.journals.messages.flush(this.stage);
    if (!isGood(this.#sent)) return;
    this.acknowledged.push(Buffer.from(`${this.#sent}\n`, 'latin1').toString('utf8'));
    this.#sent = '';
  }

  /** The open file is gone, with what was staged; so is the rest of the unfinished line. */
  abandon(): void {
    this.#generation++;
    this.#sent = '';
    this.pending = this.pending.subarray(this.pending.indexOf(10) + 1);
  }

  #took(text: string, refused: boolean): void {
    const lines = (this.#sent + text).split('\n');
    const rest = lines.pop() as string;
    for (const each of lines) {
      if (isGood(each)) this.acknowledged.push(Buffer.from(`${each}\n`, 'latin1').toString('utf8'));
    }
    this.#sent = refused ? (rest === '' ? '' : `discarded ${rest}`) : rest;
  }
}

function isGood(text: string): boolean {
  return text.startsWith('{"role":"user"') && text.endsWith('"}');
}

test('law: any interleaving of writers, pieces, flushes, releases, crashes and reopens yields exactly the acknowledged lines, once, none torn', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(line, { maxLength: 12 }), { minLength: 4, maxLength: 4 }),
      fc.array(action, { maxLength: 60 }),
      (scripts, actions) => {
        const directory = temporaryDirectory();
        let opened = openFixture(directory, { disk: unsyncedDisk });
        const writers = scripts.map((lines, number) => new WriterModel(number, lines));
        let log = openOrderLog(directory, { disk: unsyncedDisk });
        for (const { writer, act, take } of actions) {
          const model = writers[writer] as WriterModel;
          if (act === 'write') model.send(opened, take);
          else if (act === 'flush') model.flush(opened);
          else if (act === 'fsync') opened.journals.messages.fsync();
          else if (act === 'order') log.catchUp(opened.journals.messages.sizeBytes, opened.journals.events.sizeBytes);
          else if (act === 'release') {
            opened.journals.messages.release(model.openFile);
            model.abandon();
          } else {
            // A killed daemon: stages vanish, and half a line may have reached the file.
            opened.close();
            log.close();
            fs.appendFileSync(join(directory, 'messages.jsonl'), user('torn').slice(0, take % user('torn').length));
            for (const each of writers) each.abandon();
            opened = openFixture(directory, { disk: unsyncedDisk });
            log = openOrderLog(directory, { disk: unsyncedDisk });
          }
        }
        const lines = opened
          .text()
          .split(/(?<=\n)/)
          .filter((each) => each !== '');
        expect([...lines].sort()).toEqual(writers.flatMap((writer) => writer.acknowledged).sort());
        for (const [number, writer] of writers.entries())
          expect(lines.filter((each) => each.includes(`"${number}/`))).toEqual(writer.acknowledged);
        log.catchUp(opened.journals.messages.sizeBytes, opened.journals.events.sizeBytes);
        const history = openHistory(directory, 'messages.jsonl', log);
        expect(history.lines).toBe(lines.length);
        history.close();
        log.close();
        opened.close();
      },
    ),
    { numRuns: 250 },
  );
});

test('a failed fsync is sticky', () => {
  let failing = false;
  const disk: Disk = {
    ...nodeDisk,
    fdatasyncSync(fd: number): void {
      if (failing) throw Object.assign(new Error('input/output error'), { code: 'EIO' });
      nodeDisk.fdatasyncSync(fd);
    },
  };
  const { journals } = openFixture(undefined, { disk });
  journals.messages.write('1:a', Buffer.from(user('a')));
  journals.messages.fsync();
  journals.messages.write('1:a', Buffer.from(user('b')));
  failing = true;
  expect(outcome(() => journals.messages.fsync())).toBe('EIO');
  failing = false;
  expect(outcome(() => journals.messages.fsync())).toBe('EIO');
});

test('a torn line that cannot be cut freezes the journal with a clear error; reads go on', () => {
  const disk: Disk = {
    ...nodeDisk,
    writeSync: ((fd: number, bytes: Buffer, offset: number, length: number, position?: number | null): number => {
      if (!bytes.includes('half')) return nodeDisk.writeSync(fd, bytes, offset, length, position);
      if (offset > 0) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      return nodeDisk.writeSync(fd, bytes, 0, 5, position);
    }) as typeof nodeDisk.writeSync,
    ftruncateSync(): void {
      throw Object.assign(new Error('input/output error'), { code: 'EIO' });
    },
  };
  const { journals } = openFixture(undefined, { disk });
  journals.messages.write('1:a', Buffer.from(user('a')));
  expect(() => journals.messages.write('1:a', Buffer.from(user('half')))).toThrow('no more lines are taken');
  expect(outcome(() => journals.messages.write('1:a', Buffer.from(user('b'))))).toBe('EIO');
  expect(journals.messages.sizeBytes).toBe(user('a').length);
  expect(journals.messages.read(0, Buffer.alloc(100))).toBe(user('a').length);
});
