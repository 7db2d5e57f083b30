// Extraction speed (JSON.parse included) and what references and differences save. Plain figures, printed as JSON.
//   node test/bench/run.mjs test/bench/extract.ts [TRANSCRIPT.jsonl | .traj | .json …]
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { viewMessage } from '../../src/abi/records.ts';
import { mapBlock } from '../../src/context/blocks.ts';
import { expandWith, RepeatIndex } from '../../src/context/near-repeat.ts';
import { encodeRecord } from '../../src/context/record-codec.ts';
import { swapRows } from '../../src/context/swap.ts';
import { BLOCK_LINES } from '../../src/context/types.ts';
import type { BlockRecord, MessageLine } from '../../src/context/types.ts';

const files = process.argv.slice(2);
const results = {
  speed: measureSpeed(syntheticHistory(64)),
  dedup: files.map((file) => measureRepeats(file, outputsOf(file))),
};
process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);

function measureSpeed(history: Buffer): Record<string, number> {
  const rounds: number[] = [];
  const parseOnly: number[] = [];
  let records: BlockRecord[] = [];
  for (let round = 0; round < 5; round += 1) {
    let started = performance.now();
    for (const [, bytes] of linesOf(history)) viewMessage(JSON.parse(bytes.toString('utf8')) as Record<string, unknown>);
    parseOnly.push(performance.now() - started);
    started = performance.now();
    records = mapAll(history);
    rounds.push(performance.now() - started);
  }
  const mb = history.length / 1e6;
  const best = Math.min(...rounds);
  return {
    historyMB: round1(mb),
    mapMBps: round1((mb / best) * 1000),
    parseAndViewOnlyMBps: round1((mb / Math.min(...parseOnly)) * 1000),
    blocks: records.length,
    recordBytesPercent: round1((sum(records, (r) => Buffer.byteLength(encodeRecord(r)) + 1) / history.length) * 100),
    swapIndexPercent: round1((sum(records, (r) => Buffer.byteLength(swapRows(r))) / history.length) * 100),
    facts: sum(records, (r) => r.facts.length),
    decisions: sum(records, (r) => r.decisions.length),
    todos: sum(records, (r) => r.todos.length),
  };
}

function mapAll(history: Buffer): BlockRecord[] {
  const records: BlockRecord[] = [];
  let block: MessageLine[] = [];
  for (const [line, bytes] of linesOf(history)) {
    block.push({ line, bytes, view: viewMessage(JSON.parse(bytes.toString('utf8')) as Record<string, unknown>) });
    if (block.length === BLOCK_LINES) {
      records.push(mapBlock(block));
      block = [];
    }
  }
  if (block.length > 0) records.push(mapBlock(block));
  return records;
}

function* linesOf(history: Buffer): Generator<[number, Buffer]> {
  let line = 1;
  for (let start = 0; start < history.length;) {
    const end = history.indexOf(10, start) + 1;
    yield [line, history.subarray(start, end)];
    line += 1;
    start = end;
  }
}

/** Repeated-line bytes: bytes of lines (with newline) that already occurred in an earlier output or earlier in this one. */
function measureRepeats(name: string, outputs: readonly string[]): Record<string, unknown> {
  const seen = new Set<string>();
  let total = 0;
  let repeated = 0;
  for (const output of outputs) {
    total += Buffer.byteLength(output);
    for (const line of output.split('\n')) {
      if (seen.has(line)) repeated += Buffer.byteLength(line) + 1;
      else seen.add(line);
    }
  }
  const index = new RepeatIndex();
  const texts = new Map<string, string>();
  let saved = 0;
  let exact = true;
  const started = performance.now();
  outputs.forEach((output, n) => {
    const difference = index.encode(output);
    if (difference !== undefined) {
      saved += Buffer.byteLength(output) - Buffer.byteLength(difference.text);
      exact &&= expandWith((label) => texts.get(label) as string, difference.text) === output;
    }
    index.add(`m${n}`, output);
    texts.set(`m${n}`, output);
  });
  return {
    transcript: name.split('/').at(-1),
    outputs: outputs.length,
    outputBytes: total,
    repeatedLineBytes: repeated,
    savedBytes: saved,
    savedShareOfRepeated: round3(saved / repeated),
    exact,
    MBps: round1(total / 1e3 / (performance.now() - started)),
  };
}

/** Tool outputs in order: of Claude Code lines, OpenAI messages, tau-bench arrays and SWE-agent trajectories. */
function outputsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const values: unknown[] = file.endsWith('.jsonl')
    ? text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown)
    : [JSON.parse(text) as unknown];
  const outputs: string[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(visit);
    if (typeof value !== 'object' || value === null) return;
    const record = value as Record<string, unknown>;
    if (typeof record['role'] === 'string') for (const result of viewMessage(record).toolResults) outputs.push(result.text);
    else for (const key of ['message', 'traj', 'history']) visit(record[key]);
  };
  visit(values);
  return outputs;
}

/** About one thousand bytes a message: requests, answers, calls, and outputs from a few bytes to tens of kilobytes. */
function syntheticHistory(megabytes: number): Buffer {
  const lines: string[] = [];
  let seed = 42;
  const random = (most: number): number => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % most;
  const words =
    'the server returns an error when we open file handle twice because lock stays after close so request fails under load and retry works'.split(
      ' ',
    );
  const sentence = (): string => `${Array.from({ length: 8 + random(12) }, () => words[random(words.length)]).join(' ')}.`;
  const prose = (sentences: number): string => Array.from({ length: sentences }, sentence).join(random(3) === 0 ? '\n' : ' ');
  for (let size = 0, n = 0; size < megabytes * 1e6; n += 1) {
    const turn = n % 8;
    const id = `call_${n - (n % 2)}`;
    const line =
      turn === 0
        ? { role: 'user', content: `${random(20) === 0 ? 'Remember that we deploy on Fridays only. ' : ''}${prose(2 + random(6))}` }
        : turn === 7
          ? { role: 'assistant', content: prose(4 + random(20)) }
          : turn % 2 === 1
            ? {
                role: 'assistant',
                content: prose(1),
                tool_calls: [
                  {
                    id: `call_${n + 1}`,
                    type: 'function',
                    function: { name: 'read', arguments: JSON.stringify({ path: `src/part-${random(500)}.ts` }) },
                  },
                ],
              }
            : { role: 'tool', tool_call_id: id, content: prose(random(10) === 0 ? 60 + random(120) : 2 + random(24)) };
    const text = `${JSON.stringify(line)}\n`;
    size += text.length;
    lines.push(text);
  }
  return Buffer.from(lines.join(''));
}

function sum<T>(list: readonly T[], of: (item: T) => number): number {
  return list.reduce((total, item) => total + of(item), 0);
}

function round1(value: number): number {
  return Math.round(value * 10) / 10;
}

function round3(value: number): number {
  return Math.round(value * 1000) / 1000;
}
