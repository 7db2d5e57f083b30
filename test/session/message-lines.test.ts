import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BLOCK_LINES } from '../../src/context/types.ts';
import { openHistory } from '../../src/journal/index.ts';
import { MessageLines } from '../../src/session/message-lines.ts';

const BLOCKS = 45;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ctx-lines-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

test('PCK-5 a line somewhere in history is read as it was written, whatever lines of its block and of others were read before', () => {
  // Short lines, and now and then a long one, so that a line lies anywhere in its block; some blocks are too large to be kept.
  const size = (n: number): number => (n % 61 === 0 ? 30_000 : n % 17 === 0 ? 3000 : (n * 7919) % 300) + (n > 2560 && n < 2624 ? 9000 : 0);
  const lines = Array.from({ length: BLOCKS * BLOCK_LINES - 20 }, (_, n) =>
    JSON.stringify({ role: 'user', content: `${n} é`.padEnd(size(n), '.') }),
  );
  writeFileSync(join(directory, 'messages.jsonl'), `${lines.join('\n')}\n`);
  const history = openHistory(directory, 'messages.jsonl');
  const messages = new MessageLines(history, (block) => {
    const [first, behind] = [block * BLOCK_LINES + 1, (block + 1) * BLOCK_LINES + 1];
    // As in a session: the last block is not whole.
    return behind > history.lines + 1 ? undefined : { start: history.offsetOfLine(first), end: history.offsetOfLine(behind) };
  });
  // In leaps through more blocks than are kept at once, so that what one leaves is used by the next.
  for (let step = 0, line = 1; step < 2500; step += 1, line = (line + 1009) % lines.length) {
    const read = messages.near(line + 1);
    expect(read.line).toBe(line + 1);
    expect(read.bytes.toString()).toBe(`${lines[line] as string}\n`);
  }
  history.close();
});
