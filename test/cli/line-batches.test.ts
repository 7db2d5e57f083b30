import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { lineBatches, RUN_BYTES, type LineBatch } from '../../src/cli/line-batches.ts';

async function* pieces(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (const cut of [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    yield bytes.subarray(at, cut);
    at = cut;
  }
}

async function collect(bytes: Buffer, cuts: readonly number[], bad: (line: Buffer) => boolean): Promise<LineBatch[]> {
  const batches: LineBatch[] = [];
  for await (const batch of lineBatches(pieces(bytes, cuts), bad)) batches.push(batch);
  return batches;
}

describe('line batches', () => {
  it('whatever the pieces, every byte comes once and in order, in batches of whole lines', async () => {
    const line = fc.string({ maxLength: 30 }).map((text) => text.replaceAll('\n', ' '));
    const law = fc.asyncProperty(
      fc.array(line, { maxLength: 40 }),
      fc.array(fc.nat(), { maxLength: 10 }),
      fc.boolean(),
      async (lines, cuts, ended) => {
        const text = lines.join('\n') + (ended && lines.length > 0 ? '\n' : '');
        const isBad = (candidate: Buffer): boolean => candidate.includes('x');
        const batches = await collect(Buffer.from(text), cuts, isBad);
        const whole = text === '' || text.endsWith('\n') ? text : `${text}\n`;
        expect(Buffer.concat(batches.map((batch) => batch.bytes)).toString()).toBe(whole);
        for (const { bytes, lines: count } of batches) {
          const inside = bytes.toString().split('\n').slice(0, -1);
          expect(bytes.at(-1)).toBe(0x0a);
          expect(inside).toHaveLength(count);
          if (inside.some((one) => one.includes('x'))) expect(count).toBe(1);
        }
      },
    );
    await fc.assert(law);
  });

  it('a run is one write: no longer than RUN_BYTES unless it is one line', async () => {
    const short = Buffer.alloc(1000, 'a');
    short[999] = 0x0a;
    const long = Buffer.alloc(RUN_BYTES * 3, 'b');
    long[long.length - 1] = 0x0a;
    const batches = await collect(
      Buffer.concat([...Array.from({ length: 500 }, () => short), long, short]),
      [70_000, 400_000],
      () => false,
    );
    for (const { bytes, lines } of batches) expect(bytes.length <= RUN_BYTES || lines === 1).toBe(true);
    expect(batches.reduce((sum, { lines }) => sum + lines, 0)).toBe(502);
  });

  it('a line is passed on before more input is awaited', async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    async function* slow(): AsyncGenerator<Buffer> {
      yield Buffer.from('{"a":1}\n{"b"');
      await gate;
      yield Buffer.from(':2}\n');
    }
    const batches = lineBatches(slow(), () => false);
    expect((await batches.next()).value).toMatchObject({ lines: 1 });
    release();
    expect(((await batches.next()).value as LineBatch).bytes.toString()).toBe('{"b":2}\n');
  });
});
