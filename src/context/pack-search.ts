// Recall as the pack shows it: the lines that search chose, neighbours joined, long messages by the passage that answers.
import { digestOf } from '../abi/digest.ts';
import type { Steps } from '../abi/steps.ts';
import type { TokenCounter } from '../tokens/types.ts';
import { passages } from '../search/passages.ts';
import { LineMemory } from '../search/line-terms.ts';
import type { TermIndex } from '../search/recall-index.ts';
import { recallSteps } from '../search/recall.ts';
import type { RecallChoice } from '../search/recall.ts';
import { terms } from '../search/terms.ts';
import { fits, headAndTail } from './partial.ts';
import { leadSentence } from './sentences.ts';
import type { RecallAnswer, RecallPick } from './pack-source.ts';
import type { MessageLine } from './types.ts';

const QUERY_CHARS = 4000;
/** Most of one recalled message. */
const LINE_TOKENS = 224;
/** What an item costs beside its lines, in pack.md and in prompt.json. */
const ITEM_TOKENS = 14;
/** Search is asked for somewhat more than fits: it does not know which lines lie side by side. */
const ASKED_SHARE = 1.5;
/** Longest text that passages are looked for in. */
const PASSAGE_CHARS = 32_768;
const SCORED_CHARS = 2400;
const COUNTED_LINES = 48;

export interface RecallHistory {
  readonly index: TermIndex;
  message(line: number): MessageLine;
  readonly memory: RecallMemory;
}

const KNOWN_ANSWERS = 512;

/** What earlier questions to one history leave: a cache, everything in it follows from history. */
export class RecallMemory {
  /** Answers by question, the latest last. */
  readonly known: Map<string, RecallChoice> = new Map<string, RecallChoice>();
  readonly lines: LineMemory = new LineMemory();
  #asked = '';
  #bodies = new Map<number, string>();

  /** Bodies of lines as this question gets to see them. The same question often comes twice: at an epoch's start. */
  bodies(asked: string): Map<number, string> {
    if (asked !== this.#asked) {
      this.#asked = asked;
      this.#bodies = new Map();
    }
    return this.#bodies;
  }

  remember(key: string, choice: RecallChoice): void {
    this.known.delete(key);
    this.known.set(key, choice);
    this.keep(KNOWN_ANSWERS);
  }

  /** Forgets all answers but the latest. */
  keep(answers: number): void {
    for (const oldest of this.known.keys()) {
      if (this.known.size <= answers) break;
      this.known.delete(oldest);
    }
  }
}

/** "Thank you for your help!" */
export function asksNothing(text: string): boolean {
  const asked = text.slice(0, QUERY_CHARS);
  return !asked.includes('?') && leadSentence(asked, 80) === '';
}

export function* recallFrom(
  history: RecallHistory,
  counter: TokenCounter,
  query: MessageLine,
  cut: number,
  limitTokens: number,
  except: ReadonlySet<number>,
): Steps<RecallAnswer> {
  const asked = query.view.text.slice(0, QUERY_CHARS);
  if (asksNothing(asked)) return { picks: [], next: [] };
  const { memory } = history;
  const words = terms(asked);
  let wanted: ReadonlySet<number> | undefined;
  const bodies = memory.bodies(asked);
  const bodyOf = (line: number): string => {
    let body = bodies.get(line);
    if (body !== undefined) return body;
    if (wanted === undefined || memory.lines.stale) {
      memory.lines.begin();
      wanted = new Set(words.map((term) => memory.lines.idOf(term)));
    }
    bodies.set(line, (body = lineBody(history.message(line), counter, memory.lines, wanted)));
    return body;
  };
  let counted = 0;
  const key = digestOf(`${query.line} ${cut} ${limitTokens} ${[...except].sort((a, b) => a - b).join(' ')}`).slice(7, 39);
  const choice =
    memory.known.get(key) ??
    (yield* recallSteps(history.index, {
      query: asked,
      throughLine: cut - 1,
      limitTokens: Math.floor(limitTokens * ASKED_SHARE),
      except,
      memory: memory.lines,
      textOf: (line) => scoredText(history.message(line)),
      byPerson: (line) => speaker(history.message(line)) === 'user',
      // The first choices are counted; of those that come late only their size matters.
      costOf: (line) =>
        (counted++ < COUNTED_LINES
          ? counter.count(bodyOf(line))
          : Math.ceil(Math.min(said(history.message(line)).length / 3.5, LINE_TOKENS))) + ITEM_TOKENS,
    }));
  memory.remember(key, choice);
  // Best first, each at what it really costs: a line beside one that is taken needs no frame of its own.
  const taken = new Set<number>();
  let room = limitTokens;
  const bodiesTaken = new Set<string>();
  for (const { line } of choice.lines) {
    // A tool that always says the same is heard once.
    if (bodiesTaken.has(bodyOf(line))) continue;
    const cost = counter.count(bodyOf(line)) + (taken.has(line - 1) || taken.has(line + 1) ? 1 : ITEM_TOKENS);
    if (cost > room) continue;
    room -= cost;
    taken.add(line);
    bodiesTaken.add(bodyOf(line));
  }
  const picks: RecallPick[] = [];
  for (const line of [...taken].sort((a, b) => a - b)) {
    const last = picks[picks.length - 1];
    const body = bodyOf(line);
    if (last !== undefined && last.last === line - 1)
      picks[picks.length - 1] = { first: last.first, last: line, body: `${last.body}\n${body}` };
    else picks.push({ first: line, last: line, body });
  }
  return { picks, next: choice.next };
}

/** Tool results often come in a user's message: nobody wrote them. */
function speaker({ view }: MessageLine): string {
  return view.toolResults.length > 0 && view.text.trim() === '' ? 'tool' : view.role;
}

/** What a line says, without its calls. */
function said(message: MessageLine): string {
  const { view } = message;
  if (view.toolResults.length === 0) return view.text;
  return [view.text, ...view.toolResults.map((result) => result.text)].filter((text) => text !== '').join('\n');
}

/** What a candidate is scored by: the beginning of a long line stands for it. */
function scoredText(message: MessageLine): string | undefined {
  const text = said(message);
  if (text.trim() === '') return undefined;
  return text.length <= SCORED_CHARS ? text : text.slice(0, SCORED_CHARS);
}

function lineBody(message: MessageLine, counter: TokenCounter, memory: LineMemory, wanted: ReadonlySet<number>): string {
  const { view } = message;
  const text = said(message);
  const role = speaker(message);
  const who = view.name === undefined ? role : `${role} ${view.name}`;
  if (fits(counter, text, LINE_TOKENS)) return `${who}: ${text}`;
  const part = bestPassage(text.slice(0, PASSAGE_CHARS), memory, wanted);
  return `${who}: [...] ${fits(counter, part, LINE_TOKENS) ? part : headAndTail(counter, part, LINE_TOKENS, () => '[...]')} [...]`;
}

/** The passage with the most different words of the question; the first among equals. */
function bestPassage(text: string, memory: LineMemory, wanted: ReadonlySet<number>): string {
  let best = '';
  let most = -1;
  for (const { start, end } of passages(text)) {
    const passage = text.slice(start, end);
    const found = memory.countIn(passage, wanted);
    if (found > most) {
      most = found;
      best = passage;
    }
  }
  return best.trim();
}
