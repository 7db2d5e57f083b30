import fc from 'fast-check';
import { expect, test } from 'vitest';
import { batchLines } from '../../src/interop/index.ts';
import { imported } from './session-lines.ts';

test('batches hold whole lines in order, at most the limit, the mark last', async () => {
  const session = await imported('claude-code.jsonl', '/x.jsonl');
  const planned = [
    ...session.messages.map((line) => ({ file: 'messages' as const, line })),
    ...session.events.map((line) => ({ file: 'events' as const, line })),
  ];
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 30_000 }), async (limit) => {
      const written = { messages: '', events: '' };
      let last = '';
      for await (const { file, bytes, lines } of batchLines(planned, limit)) {
        expect(bytes.at(-1)).toBe(10);
        expect(lines).toBe(bytes.toString().split('\n').length - 1);
        if (lines > 1) expect(bytes.length).toBeLessThanOrEqual(limit);
        written[file] += bytes.toString();
        last = bytes.toString();
      }
      expect(written).toEqual({ messages: `${session.messages.join('\n')}\n`, events: `${session.events.join('\n')}\n` });
      expect(last.trimEnd().split('\n').at(-1)).toContain('"type":"import.source"');
    }),
    { numRuns: 40 },
  );
});
