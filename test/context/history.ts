// Messages for the tests of this room: the fixture transcript and generated ones.
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { viewMessage } from '../../src/abi/records.ts';
import { mapBlock } from '../../src/context/blocks.ts';
import { BLOCK_LINES } from '../../src/context/types.ts';
import type { BlockRecord, MessageLine } from '../../src/context/types.ts';

export const codingSession: Buffer = readFileSync(new URL('../fixtures/context/coding-session.jsonl', import.meta.url));

/** Lines of a journal, side by side in one buffer, as the reader gives them. */
export function linesOf(history: Buffer, firstLine: number = 1): MessageLine[] {
  const lines: MessageLine[] = [];
  for (let start = 0; start < history.length;) {
    const end = history.indexOf(10, start) + 1;
    const bytes = history.subarray(start, end);
    lines.push({ line: firstLine + lines.length, bytes, view: viewMessage(JSON.parse(bytes.toString('utf8')) as Record<string, unknown>) });
    start = end;
  }
  return lines;
}

export function journal(messages: readonly object[]): Buffer {
  return Buffer.from(messages.map((message) => `${JSON.stringify(message)}\n`).join(''));
}

export function blocksOf(lines: readonly MessageLine[]): BlockRecord[] {
  const blocks: BlockRecord[] = [];
  for (let at = 0; at < lines.length; at += BLOCK_LINES) blocks.push(mapBlock(lines.slice(at, at + BLOCK_LINES)));
  return blocks;
}

const PHRASES = [
  'Remember that the cluster has three nodes.',
  "Let's go with NATS.",
  'TODO: write the docs',
  '- [ ] add a test',
  '- [x] add a test',
  'Hi!',
  'We decided to keep JSON lines.',
  'I prefer short names.',
  'Next steps:\n- tag it\n- ship it',
  'What is the root cause?',
  '```\nTODO: code\n```',
  'yes',
  'Shall I go on with the migration of the store?',
  'note: the port is 8080',
  '日本語の文です。次の文。',
  'x'.repeat(500),
  '\u{1f600} fine',
  '<b>',
  '',
  "Don't forget to close the file.",
  'Plain words without any statement in them.',
  '\ud800 lone',
];

const prose = fc.array(fc.constantFrom(...PHRASES), { maxLength: 5 }).map((parts) => parts.join('\n'));
const path = fc.constantFrom('/repo/a.ts', 'src/b.ts', 'C:\\x\\"q".ts', './c d.md');
const output = fc.oneof(prose, fc.constantFrom(`${'line of output\n'.repeat(100)}`, `${'other\n'.repeat(2000)}`));

/** Messages in the OpenAI and Anthropic shapes. */
export const message: fc.Arbitrary<object> = fc.oneof(
  fc.record({ role: fc.constantFrom('user', 'assistant', 'system', 'developer'), content: prose }),
  fc.record({ role: fc.constant('user'), content: fc.array(fc.record({ type: fc.constant('text'), text: prose }), { maxLength: 2 }) }),
  fc.tuple(prose, path, fc.constantFrom('Read', 'Write', 'Edit')).map(([text, file_path, name]) => ({
    role: 'assistant',
    content: [
      { type: 'text', text },
      { type: 'tool_use', id: 'toolu_1', name, input: { file_path } },
    ],
  })),
  fc.tuple(path, output).map(([file, content]) => ({
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'edit', arguments: JSON.stringify({ path: file, content }) } }],
  })),
  output.map((content) => ({ role: 'tool', tool_call_id: 'call_1', content })),
  output.map((content) => ({ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content }] })),
);
