// Token counting: bulk text and pathological input, beside tiktoken on the same text, in MB of UTF-8 a second of
// processor time (others load the machine). Prints one JSON object.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Tiktoken } from 'tiktoken/lite';
import { openCounter } from '../../src/tokens/counter.ts';
import { random } from './recall-set/conversation.ts';
import { readFacts, readFillers } from './recall-set/facts.ts';
import { textKinds } from './token-texts.ts';

const BULK_BYTES = 8_000_000;
const PATHOLOGICAL_BYTES = 1_000_000;

export function measureTokens(fixtures: string, name: string): Record<string, unknown> {
  const before = process.memoryUsage().rss;
  const started = performance.now();
  const counter = openCounter(name);
  counter.count('a');
  const loadMs = Math.round(performance.now() - started);
  const memoryMB = Math.round((process.memoryUsage().rss - before) / 1e6);
  const text = transcript(fixtures);
  const data = JSON.parse(readFileSync(createRequire(import.meta.url).resolve(`tiktoken/encoders/${name}.json`), 'utf8')) as {
    bpe_ranks: string;
    special_tokens: Record<string, number>;
    pat_str: string;
  };
  const oracle = new Tiktoken(data.bpe_ranks, data.special_tokens, data.pat_str);
  const oracleText = text.slice(0, BULK_BYTES / 8);
  const firstLong = processorMs(() => counter.count('qzjxvkwpbhfy'.repeat(40)));
  const pathological: Record<string, number> = {};
  const references: number[] = [];
  for (const [kind, make] of textKinds()) {
    const rounds = [0, 1, 2].map((round) => make(PATHOLOGICAL_BYTES, round));
    references.push(processorMs(referenceLoop));
    pathological[kind] = rate(rounds, (input) => counter.count(input));
  }
  references.sort((a, b) => a - b);
  return {
    name,
    loadMs,
    memoryMB,
    firstLongPieceMs: Math.round(firstLong),
    unit: 'MB/s',
    bulk: rate([text, text, text], (input) => counter.count(input)),
    tiktokenBulk: rate([oracleText], (input) => oracle.encode_ordinary(input).length),
    sameCount: counter.count(oracleText) === oracle.encode_ordinary(oracleText).length,
    pathological,
    slowest: Math.min(...Object.values(pathological)),
    // The same work beside each kind: processor time also grows when others share the core and its caches.
    referenceMs: { best: round(references[0] ?? 0), median: round(references[references.length >> 1] ?? 0) },
    memoryAfterMB: Math.round((process.memoryUsage().rss - before) / 1e6),
  };
}

/** The best of the inputs. */
function rate(inputs: readonly string[], run: (input: string) => number): number {
  const rates = inputs.map((input) => Buffer.byteLength(input) / 1000 / processorMs(() => run(input)));
  return round(Math.max(...rates));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

const table = Int32Array.from({ length: 1 << 18 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 5);

/** Dependent look-ups in 1 MB and a little arithmetic: what an encoder spends its time on. */
function referenceLoop(): number {
  let hash = 1;
  for (let i = 0; i < 600_000; i += 1) hash = (Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) + (table[(hash >>> 7) & 0x3ffff] ?? 0)) | 0;
  return hash;
}

function processorMs(run: () => void): number {
  const before = process.cpuUsage();
  run();
  const spent = process.cpuUsage(before);
  return (spent.user + spent.system) / 1000;
}

/** Messages as JSON lines: talk, with figures and identifiers of its own in every line. */
function transcript(fixtures: string): string {
  const turns = [...readFacts(`${fixtures}/tuning`).flatMap((fact) => fact.parts.flat()), ...readFillers(fixtures).flat()];
  const next = random(3);
  const lines: string[] = [];
  for (let size = 0; size < BULK_BYTES;) {
    const turn = turns[next(turns.length)]?.text ?? '';
    const line = JSON.stringify({
      role: 'assistant',
      content: `${turn}\n\nconst item${next(5000)} = await fetch_${next(900)}('/api/v${next(9)}/${next(1e6).toString(16)}');`,
      id: `msg_${next(1e9).toString(36)}`,
    });
    lines.push(line);
    size += line.length + 1;
  }
  return lines.join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fixtures = process.argv[2] ?? fileURLToPath(new URL('../fixtures/recall', import.meta.url));
  console.log(
    JSON.stringify(
      ['o200k_base', 'cl100k_base'].map((name) => measureTokens(fixtures, name)),
      null,
      1,
    ),
  );
}
