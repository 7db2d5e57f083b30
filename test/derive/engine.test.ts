import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/abi/digest.ts';
import { Engine } from '../../src/derive/engine.ts';
import type { Content, Rule } from '../../src/derive/types.ts';

let directory = '';
let clock = 0;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ctx-engine-'));
});
afterEach(() => rmSync(directory, { recursive: true }));
const engine = (version = 'v1'): Engine => new Engine(join(directory, 'memos.json'), version, () => clock++);

function content(text: string): Content {
  const path = join(directory, digestOf(text));
  writeFileSync(path, text);
  return { digest: digestOf(text), sizeBytes: text.length, modifiedMs: clock, extents: [{ path, offsetBytes: 0, sizeBytes: text.length }] };
}
/** A rule over two variables; counts its runs. */
function rule(inputs: Record<string, string>, output: () => string): Rule & { runs: number } {
  const made = {
    name: 'file',
    runs: 0,
    inputs: () => Object.entries(inputs).map(([name, version]) => ({ name, version })),
    run: (): Content => {
      made.runs += 1;
      return content(output());
    },
  };
  return made;
}

describe('the rebuild engine', () => {
  test('a fresh rule is not run again', async () => {
    const e = engine();
    const r = rule({ messages: '1' }, () => 'a');
    const first = await e.fetch(r);
    expect(await e.fetch(r)).toBe(first);
    expect(r.runs).toBe(1);
    expect(e.log.map((entry) => [entry.rule, entry.why])).toEqual([['file', ['there is no earlier build']]]);
  });

  test('a changed input runs the rule, and the log says which', async () => {
    const e = engine();
    const inputs = { messages: '1', budget: 'x' };
    const r = rule(inputs, () => inputs.messages);
    await e.fetch(r);
    inputs.messages = '2';
    await e.fetch(r);
    expect(e.log.at(-1)?.why).toEqual(['messages changed from 1 to 2']);
    expect(r.runs).toBe(2);
  });

  test('equal output is backdated: it keeps the time of before', async () => {
    const e = engine();
    const inputs = { messages: '1' };
    const r = rule(inputs, () => 'same');
    const first = await e.fetch(r);
    inputs.messages = '2';
    clock += 1000;
    const second = await e.fetch(r);
    expect(second.modifiedMs).toBe(first.modifiedMs);
    expect(e.log.at(-1)?.outcome).toBe('backdated');
  });

  test('concurrent fetches share one run', async () => {
    const e = engine();
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let runs = 0;
    const slow: Rule = {
      name: 'slow',
      inputs: () => [],
      run: async () => {
        runs += 1;
        await gate;
        return content('s');
      },
    };
    const both = Promise.all([e.fetch(slow), e.fetch(slow)]);
    release();
    const [a, b] = await both;
    expect(a).toBe(b);
    expect(runs).toBe(1);
  });

  test('a failed run is not remembered: the next fetch runs again', async () => {
    const e = engine();
    let fail = true;
    const r: Rule = {
      name: 'f',
      inputs: () => [],
      run: () => {
        if (fail) throw new Error('disk');
        return content('ok');
      },
    };
    await expect(e.fetch(r)).rejects.toThrow('disk');
    fail = false;
    expect((await e.fetch(r)).digest).toBe(digestOf('ok'));
  });

  test('memos survive a restart; another version of the code starts over', async () => {
    const r = rule({ messages: '1' }, () => 'kept');
    const first = engine();
    await first.fetch(r);
    first.save();
    const second = engine();
    await second.fetch(r);
    expect(second.log).toEqual([]);
    expect(second.lastRun('file')?.why).toEqual(['there is no earlier build']);
    const third = engine('v2');
    await third.fetch(r);
    expect(third.log.map((entry) => entry.why)).toEqual([['the rules changed since the build before']]);
    expect(r.runs).toBe(2);
  });

  test('a deleted output comes back', async () => {
    const e = engine();
    const r = rule({ messages: '1' }, () => 'gone');
    const first = await e.fetch(r);
    unlinkSync(first.extents[0]?.path as string);
    expect((await e.fetch(r)).digest).toBe(first.digest);
    expect(e.log.at(-1)?.why).toEqual(['its cached bytes were deleted']);
    e.drop('file');
    await e.fetch(r);
    expect(e.log.at(-1)?.why).toEqual(['it was removed']);
  });
});
