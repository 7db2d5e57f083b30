// Damage that no crash of ours makes: what a session says of it, and what fsck finds.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { CtxError } from '../../src/abi/errors.ts';
import { fsckSession, openOrderLog, openSessionJournals } from '../../src/journal/index.ts';
import { openFixture, temporaryDirectory } from './session-fixture.ts';

const LINE = Buffer.from('{"role":"user","content":"x"}\n');

function errorOf(run: () => unknown): CtxError {
  try {
    run();
  } catch (error) {
    if (error instanceof CtxError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

it('a segment that is gone is EIO with its name, never ENOENT, and new lines are still taken', () => {
  const parent = openFixture();
  parent.journals.messages.write('1:1', LINE);
  parent.journals.forkInto(temporaryDirectory());
  parent.close();
  const segments = join(parent.directory, 'segments');
  for (const name of readdirSync(segments)) rmSync(join(segments, name));
  const again = openFixture(parent.directory);
  const error = errorOf(() => again.text());
  expect([error.errno, error.code, error.where?.startsWith(segments), error.next]).toEqual([
    'EIO',
    'journal.segment_missing',
    true,
    expect.stringContaining('backup'),
  ]);
  expect(again.journals.messages.write('1:1', LINE)).toBe(LINE.length);
});

it('a journal that is a symbolic link is not opened', () => {
  const directory = temporaryDirectory();
  const outside = join(temporaryDirectory(), 'outside');
  writeFileSync(outside, '');
  symlinkSync(outside, join(directory, 'messages.jsonl'));
  expect(() => openSessionJournals(directory)).toThrow();
});

it('fsck says what is damaged once, and names an order log of a later format', () => {
  const { directory, journals, close } = openFixture();
  journals.messages.write('1:1', LINE);
  openOrderLog(directory).close();
  close();
  const header = Buffer.alloc(48);
  header.write('ctxorder', 0, 'latin1');
  header.writeUInt16BE(9, 8);
  writeFileSync(join(directory, 'order.log'), header);
  expect(fsckSession(directory).map(({ severity, code }) => [severity, code])).toEqual([['error', 'order.format']]);
  rmSync(join(directory, 'order.log'));
  writeFileSync(join(directory, 'segments.json'), '[{"journal":"messages.jsonl","file":"../../passwd","bytes":1,"sha256":"x"}]');
  expect(fsckSession(directory).map(({ code }) => code)).toEqual(['journal.segments_damaged']);
  expect(existsSync(join(directory, 'order.log'))).toBe(false);
});

it('a FIFO or a device in place of a journal, a segment or the order log is an error, not a wait', () => {
  const session = openFixture();
  session.journals.messages.write('1:1', LINE);
  session.journals.forkInto(temporaryDirectory());
  session.close();
  const { directory } = session;
  const segment = `segments/${readdirSync(join(directory, 'segments')).find((name) => /^messages-[0-9a-f]{16}/.test(name))}`;
  for (const file of ['messages.jsonl', segment, 'order.log', 'inputs.jsonl', 'segments.json']) {
    const path = join(directory, file);
    const there = existsSync(path);
    if (there) renameSync(path, `${path}.aside`);
    for (const make of [() => execFileSync('sh', ['-c', `mkfifo '${path}'`]), () => symlinkSync('/dev/zero', path)]) {
      make();
      expect([file, fsckSession(directory).map(({ severity }) => severity)]).toEqual([file, expect.arrayContaining(['error'])]);
      rmSync(path);
    }
    if (there) renameSync(`${path}.aside`, path);
  }
  expect(fsckSession(directory).filter(({ severity }) => severity === 'error')).toEqual([]);
});
