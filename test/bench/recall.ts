// Recall: are all evidence lines in the pack, at a 4,000-token budget of which half is the tail? Prints one JSON object.
// `tuning` was seen while the thesaurus and the constants were made; `heldOut` was written after they were frozen.
// `fresh` was written after the vocabulary was (that of ba73cff), by someone who had read nothing of src/search; nobody tunes on it.
// `plain` asks as a person does (people and things by name); `middle` (fresh only) as one who has forgotten the exact words;
// `other` shares as few words with the evidence as possible.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'libsql';
import { openRecallIndex } from '../../src/search/recall-index.ts';
import { recall } from '../../src/search/recall.ts';
import { terms } from '../../src/search/terms.ts';
import { STOP_WORDS } from '../../src/search/words.ts';
import { openCounter } from '../../src/tokens/counter.ts';
import { FRAME_TOKENS, converse, type Conversation } from './recall-set/conversation.ts';
import { readFacts, readFillers, type Fact } from './recall-set/facts.ts';

const BUDGET_TOKENS = 4000;
const TAIL_TOKENS = BUDGET_TOKENS / 2;
const CONVERSATION_TOKENS = 20_000;
const SEEDS = 6;

type System = (question: string) => ReadonlySet<number>;
interface Score {
  asked: number;
  found: number;
  multiAsked: number;
  multiFound: number;
}

export function measureRecall(fixtures: string, seeds: number = SEEDS): Record<string, unknown> {
  const tuning = readFacts(join(fixtures, 'tuning'));
  const heldOut = readFacts(join(fixtures, 'held-out'));
  const fresh = readFacts(join(fixtures, 'fresh'));
  const fillers = readFillers(fixtures);
  const half = tuning.filter((_, i) => i % 2 === 0);
  return {
    budgetTokens: BUDGET_TOKENS,
    tailTokens: TAIL_TOKENS,
    conversationTokens: CONVERSATION_TOKENS,
    conversations: seeds,
    tuning: measureSet(tuning, tuning, fillers, seeds),
    heldOut: measureSet([...heldOut, ...half], heldOut, fillers, seeds),
    fresh: measureSet([...fresh, ...half], fresh, fillers, seeds),
  };
}

function measureSet(
  told: readonly Fact[],
  asked: readonly Fact[],
  fillers: ReturnType<typeof readFillers>,
  seeds: number,
): Record<string, unknown> {
  const names = new Set(asked.map((fact) => fact.name));
  const scores = new Map<string, Score>();
  const overlap: Record<string, number[]> = {};
  const counter = openCounter();
  for (let seed = 1; seed <= seeds; seed += 1) {
    const talk = converse(seed, told, fillers, CONVERSATION_TOKENS, (text) => counter.count(text));
    const costs = talk.lines.map((line) => counter.count(line.text) + FRAME_TOKENS);
    const tail = tailOf(costs, TAIL_TOKENS);
    const whole = tailOf(costs, BUDGET_TOKENS);
    withSystems(talk, costs, talk.lines.length - tail.size, (systems) => {
      for (const question of talk.questions) {
        if (!names.has(question.fact) || question.evidence.every((line) => tail.has(line))) continue;
        for (const [wording, text] of [
          ['plain', question.plain],
          ['middle', question.middle],
          ['other', question.text],
        ] as const) {
          if (text === undefined) continue;
          (overlap[wording] ??= []).push(shared(text, question.evidence.map((line) => talk.lines[line - 1]?.text ?? '').join(' ')));
          note(scores, `${wording} tail-only`, question.evidence, whole);
          for (const [name, system] of systems) note(scores, `${wording} ${name}`, question.evidence, new Set([...tail, ...system(text)]));
        }
      }
    });
  }
  const mean = (list: readonly number[]): number => Math.round((100 * list.reduce((a, b) => a + b, 0)) / list.length);
  return {
    questions: asked.reduce((sum, fact) => sum + fact.questions.length, 0),
    withSeveralLines: asked
      .filter((fact) => fact.parts.flat().filter((turn) => turn.mark !== '').length > 1)
      .reduce((sum, fact) => sum + fact.questions.length, 0),
    questionTermsInEvidencePercent: Object.fromEntries(Object.entries(overlap).map(([wording, list]) => [wording, mean(list)])),
    allEvidencePercent: Object.fromEntries([...scores].map(([name, score]) => [name, percents(score)])),
  };
}

/** Plain BM25, BM25 with stems, stop words and one neighbour on each side, and ours: each fills what the tail leaves. */
function withSystems(talk: Conversation, costs: readonly number[], cut: number, use: (systems: ReadonlyMap<string, System>) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'ctx-recall-'));
  const index = openRecallIndex(directory);
  index.add(talk.lines.slice(0, cut), cut);
  const plain = fullText(talk, cut, 'unicode61');
  const stemmed = fullText(talk, cut, 'porter unicode61');
  const words = (text: string): string[] => [...new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [])];
  const take = (order: readonly number[], neighbours: boolean): Set<number> => {
    const taken = new Set<number>();
    let room = BUDGET_TOKENS - TAIL_TOKENS;
    for (const hit of order) {
      for (const line of neighbours ? [hit, hit - 1, hit + 1] : [hit]) {
        const cost = costs[line - 1];
        if (cost === undefined || line > cut || taken.has(line) || cost > room) continue;
        room -= cost;
        taken.add(line);
      }
    }
    return taken;
  };
  use(
    new Map<string, System>([
      ['bm25', (question) => take(plain(words(question)), false)],
      ['bm25 stemmed, neighbours', (question) => take(stemmed(words(question).filter((word) => !STOP_WORDS.has(word))), true)],
      [
        'ours',
        (question) =>
          new Set(
            recall(index, {
              query: question,
              throughLine: cut,
              limitTokens: BUDGET_TOKENS - TAIL_TOKENS,
              textOf: (line) => talk.lines[line - 1]?.text,
              byPerson: (line) => talk.lines[line - 1]?.role === 'user',
              costOf: (line) => costs[line - 1] as number,
            }).lines.map(({ line }) => line),
          ),
      ],
    ]),
  );
  index.close();
  rmSync(directory, { recursive: true, force: true });
}

function fullText(talk: Conversation, cut: number, tokenizer: string): (words: readonly string[]) => readonly number[] {
  const db = new Database(':memory:');
  db.exec(`CREATE VIRTUAL TABLE t USING fts5(x, tokenize='${tokenizer}')`);
  const insert = db.prepare('INSERT INTO t(rowid, x) VALUES (?, ?)');
  for (const line of talk.lines.slice(0, cut)) insert.run(line.line, line.text);
  const query = db.prepare('SELECT rowid FROM t WHERE t MATCH ? ORDER BY bm25(t), rowid').raw();
  return (words) =>
    words.length === 0 ? [] : (query.all(words.map((word) => `"${word}"`).join(' OR ')) as [number][]).map(([row]) => row);
}

function tailOf(costs: readonly number[], tokens: number): ReadonlySet<number> {
  const lines = new Set<number>();
  let room = tokens;
  for (let line = costs.length; line >= 1 && (costs[line - 1] as number) <= room; line -= 1) {
    room -= costs[line - 1] as number;
    lines.add(line);
  }
  return lines;
}

function shared(question: string, evidence: string): number {
  const own = new Set(terms(question));
  const there = new Set(terms(evidence));
  return own.size === 0 ? 0 : [...own].filter((term) => there.has(term)).length / own.size;
}

function note(scores: Map<string, Score>, name: string, evidence: readonly number[], shown: ReadonlySet<number>): void {
  const score = scores.get(name) ?? { asked: 0, found: 0, multiAsked: 0, multiFound: 0 };
  const found = evidence.every((line) => shown.has(line)) ? 1 : 0;
  score.asked += 1;
  score.found += found;
  if (evidence.length > 1) {
    score.multiAsked += 1;
    score.multiFound += found;
  }
  scores.set(name, score);
}

function percents(score: Score): Record<string, number> {
  const percent = (part: number, whole: number): number => Math.round((1000 * part) / whole) / 10;
  return { all: percent(score.found, score.asked), severalLines: percent(score.multiFound, score.multiAsked), asked: score.asked };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fixtures = process.argv[2] ?? fileURLToPath(new URL('../fixtures/recall', import.meta.url));
  console.log(JSON.stringify(measureRecall(fixtures), null, 1));
}
