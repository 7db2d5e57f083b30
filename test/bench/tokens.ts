// Token counting: bulk text and pathological input, beside tiktoken on the same text. Prints one JSON object.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Tiktoken } from 'tiktoken/lite';
import { openCounter } from '../../src/tokens/counter.ts';
import { random } from './recall-set/conversation.ts';
import { readFacts, readFillers } from './recall-set/facts.ts';

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
  const next = random(7);
  const letters = Array.from({ length: PATHOLOGICAL_BYTES }, () => String.fromCharCode(97 + next(26))).join('');
  const runs: Record<string, string> = { letter: 'a', spaces: ' ', newlines: '\n', exclamation: '!', equals: '=', cjk: '文', pair: 'ab' };
  const pathological = Object.fromEntries(
    Object.entries(runs).map(([kind, unit]) => [
      kind,
      rate(unit.repeat(PATHOLOGICAL_BYTES / Buffer.byteLength(unit)), (input) => counter.count(input)),
    ]),
  );
  return {
    name,
    loadMs,
    memoryMB,
    unit: 'MB/s',
    bulk: rate(text, (input) => counter.count(input)),
    tiktokenBulk: rate(oracleText, (input) => oracle.encode_ordinary(input).length),
    sameCount: counter.count(oracleText) === oracle.encode_ordinary(oracleText).length,
    pathological: { ...pathological, randomLetters: rate(letters, (input) => counter.count(input)) },
    memoryAfterMB: Math.round((process.memoryUsage().rss - before) / 1e6),
  };
}

/** Best of three, in MB of UTF-8 a second. */
function rate(input: string, run: (input: string) => number): number {
  const bytes = Buffer.byteLength(input);
  let best = Infinity;
  for (let i = 0; i < 3; i += 1) {
    const started = performance.now();
    run(input);
    best = Math.min(best, performance.now() - started);
  }
  return Math.round(bytes / 100 / best) / 10;
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
