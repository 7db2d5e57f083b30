// Recall through the pack itself: a 20,000-token conversation, one question appended, a 4,000-token budget. Are all lines of
// evidence in pack.json (recalled or in the tail)? Beside it: the newest lines that fit. Prints JSON.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSessionJournals } from '../../src/journal/index.ts';
import { initialControls } from '../../src/session/controls.ts';
import { defaultServices, openSessionDeriver, readContent } from '../../src/session/session-deriver.ts';
import { converse } from './recall-set/conversation.ts';
import { readFacts, readFillers } from './recall-set/facts.ts';

const BUDGET = 4000;
const fixtures = process.argv[2] ?? 'test/fixtures/recall';
const seeds = Number(process.argv[3] ?? 2);
const services = defaultServices({ workers: 0 });
const counter = services.counter('o200k_base');
const facts = readFacts(join(fixtures, 'held-out'));
const half = readFacts(join(fixtures, 'tuning')).filter((_, i) => i % 2 === 0);
const names = new Set(facts.map((fact) => fact.name));
const root = mkdtempSync(join(tmpdir(), 'ctx-pack-recall-'));
const found = { plain: 0, other: 0, tailOnly: 0, asked: 0 };
const kinds: Record<string, number> = {};

for (let seed = 1; seed <= seeds; seed++) {
  const talk = converse(seed, [...facts, ...half], readFillers(fixtures), 20_000, (text) => counter.count(text));
  const base = join(root, `base-${seed}`);
  mkdirSync(join(base, 'context/pinned'), { recursive: true });
  for (const [path, text] of initialControls(Date.now(), '/tmp', BUDGET)) writeFileSync(join(base, path), text);
  writeFileSync(join(base, 'messages.jsonl'), talk.lines.map(({ role, text }) => `${JSON.stringify({ role, content: text })}\n`).join(''));
  await packOf(base, undefined);
  let tail = talk.lines.length;
  for (let total = 0; tail > 1; tail--) {
    total += counter.count(talk.lines[tail - 1]?.text ?? '') + 12;
    if (total > BUDGET) break;
  }
  for (const question of talk.questions) {
    // Evidence that the tail of a half-budget pack shows anyway says nothing about recall.
    if (!names.has(question.fact) || question.evidence.every((line) => line > talk.lines.length - (talk.lines.length - tail) / 2)) continue;
    found.asked += 1;
    if (question.evidence.every((line) => line > tail)) found.tailOnly += 1;
    for (const wording of ['plain', 'other'] as const) {
      const shown = await ask(base, wording === 'plain' ? question.plain : question.text);
      if (question.evidence.every((line) => shown.has(line))) found[wording] += 1;
    }
  }
}
rmSync(root, { recursive: true });
await services.close();
const percent = (value: number): number => Math.round((1000 * value) / found.asked) / 10;
console.log(
  JSON.stringify({
    budget: BUDGET,
    seeds,
    asked: found.asked,
    all_evidence_percent: { plain: percent(found.plain), other_words: percent(found.other), tail_only: percent(found.tailOnly) },
    mean_tokens: Object.fromEntries(Object.entries(kinds).map(([kind, tokens]) => [kind, Math.round(tokens / found.asked / 2)])),
  }),
);

async function ask(base: string, text: string): Promise<ReadonlySet<number>> {
  const directory = join(root, 'asked');
  cpSync(base, directory, { recursive: true });
  try {
    return await packOf(directory, text);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function packOf(directory: string, question: string | undefined): Promise<ReadonlySet<number>> {
  const journals = openSessionJournals(directory);
  if (question !== undefined) journals.messages.write('q:1', Buffer.from(`${JSON.stringify({ role: 'user', content: question })}\n`));
  const deriver = openSessionDeriver(directory, services);
  const content = await deriver.fetch('pack.json', { messagesBytes: journals.messages.sizeBytes, eventsBytes: journals.events.sizeBytes });
  const pack = JSON.parse(readContent(content).toString('utf8')) as {
    items: { kind: string; source: string; range?: string; tokens: number }[];
  };
  await deriver.close();
  journals.close();
  const shown = new Set<number>();
  for (const item of pack.items) {
    if (question !== undefined) kinds[item.kind] = (kinds[item.kind] ?? 0) + item.tokens;
    if (item.source !== 'messages.jsonl') continue;
    const [first, last] = (item.range ?? '').split('-').map(Number);
    for (let line = first as number; line <= (last ?? (first as number)); line++) shown.add(line);
  }
  return shown;
}
