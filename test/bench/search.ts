// The recall index: indexing rate, disk, query time and memory. `search.ts [MB of text] [fixtures]`; prints one JSON object.
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSegment, openRecallIndex } from '../../src/search/recall-index.ts';
import { recall } from '../../src/search/recall.ts';
import { SEGMENT_LINES } from '../../src/search/version.ts';
import type { SearchDoc } from '../../src/search/types.ts';
import { random } from './recall-set/conversation.ts';
import { readFacts, readFillers } from './recall-set/facts.ts';

const MESSAGE_BYTES = 1000;

export function measureSearch(fixtures: string, megabytes: number): Record<string, unknown> {
  const facts = [...readFacts(join(fixtures, 'tuning')), ...readFacts(join(fixtures, 'held-out'))];
  const turns = [...facts.flatMap((fact) => fact.parts.flat()), ...readFillers(fixtures).flat()].map((turn) => turn.text);
  const questions = facts.flatMap((fact) => fact.plain);
  const directory = mkdtempSync(join(tmpdir(), 'ctx-search-'));
  const message = (line: number): string => {
    const next = random(line);
    let text = '';
    while (text.length < MESSAGE_BYTES) text += `${turns[next(turns.length)] ?? ''} name${next(40_000)} case ${next(100_000)}. `;
    return text;
  };
  const lines = (megabytes * 1e6) / MESSAGE_BYTES;
  let bytes = 0;
  let spentMs = 0;
  const textOf = (line: number): SearchDoc => ({ line, role: 'user', text: Buffer.from(message(line)).toString() });
  let built = 0;
  for (; (built + 1) * SEGMENT_LINES <= lines; built += 1) {
    const docs = Array.from({ length: SEGMENT_LINES }, (_, i) => textOf(built * SEGMENT_LINES + i + 1));
    for (const doc of docs) bytes += doc.text.length;
    const started = process.cpuUsage();
    buildSegment(directory, built, docs);
    const used = process.cpuUsage(started);
    spentMs += (used.user + used.system) / 1000;
  }
  const index = openRecallIndex(directory);
  let appendMs = 0;
  let appended = 0;
  for (let line = built * SEGMENT_LINES + 1; line <= lines; line += 1000) {
    const docs: SearchDoc[] = Array.from({ length: Math.min(1000, lines - line + 1) }, (_, i) => textOf(line + i));
    for (const doc of docs) appended += doc.text.length;
    const started = process.cpuUsage();
    index.add(docs, line + docs.length - 1);
    index.flush();
    const used = process.cpuUsage(started);
    appendMs += (used.user + used.system) / 1000;
  }
  index.close();
  const disk = readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
  const openStarted = performance.now();
  const again = openRecallIndex(directory);
  const openMs = performance.now() - openStarted;
  const twelve = questions.map((question, i) => `${question} ${questions[(i * 7 + 3) % questions.length] ?? ''}`);
  const queryMs = times(twelve, (text) => again.query(text, 50));
  const recallMs = times(questions, (text) =>
    recall(again, { query: text, throughLine: lines, limitTokens: 2000, textOf: message, costOf: () => 224 }),
  );
  again.close();
  rmSync(directory, { recursive: true, force: true });
  return {
    messages: lines,
    textMB: Math.round((bytes + appended) / 1e6),
    buildMBPerCpuSecond: rate(bytes, spentMs),
    appendMBPerCpuSecond: rate(appended, appendMs),
    diskPercentOfText: Math.round((1000 * disk) / (bytes + appended)) / 10,
    openMs: Math.round(openMs),
    queryMs,
    recallMs,
    rssMB: Math.round(process.memoryUsage().rss / 1e6),
  };
}

function rate(bytes: number, ms: number): number {
  return ms === 0 ? 0 : Math.round(bytes / 100 / ms) / 10;
}

function times(texts: readonly string[], run: (text: string) => unknown): { p50: number; p95: number; max: number } {
  const spent = texts
    .map((text) => {
      const started = performance.now();
      run(text);
      return performance.now() - started;
    })
    .sort((a, b) => a - b);
  const at = (share: number): number => Math.round((spent[Math.floor((spent.length - 1) * share)] as number) * 10) / 10;
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fixtures = process.argv[3] ?? fileURLToPath(new URL('../fixtures/recall', import.meta.url));
  console.log(JSON.stringify(measureSearch(fixtures, Number(process.argv[2] ?? 100)), null, 1));
}
