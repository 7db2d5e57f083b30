// Recall over the search index: hits with their neighbours, best first, until the share is used up.
import type { TokenCounter } from '../tokens/types.ts';
import type { TermIndex } from '../search/recall-index.ts';
import { terms } from '../search/terms.ts';
import { fits, headAndTail } from './partial.ts';
import type { RecallAnswer, RecallPick } from './pack-source.ts';
import type { MessageLine } from './types.ts';

const HITS = 48;
const QUERY_CHARS = 4000;
/** Most of one recalled message. */
const LINE_TOKENS = 192;

export function recallFrom(
  index: TermIndex, message: (line: number) => MessageLine, counter: TokenCounter, query: MessageLine, cut: number, limitTokens: number, except: ReadonlySet<number>,
): RecallAnswer {
  const words = [...new Set(terms(query.view.text.slice(0, QUERY_CHARS)))].slice(0, 64);
  if (words.length === 0) return { picks: [], next: [] };
  const hits = index.rank(words.map((term) => ({ term, weight: 16 })), HITS, { throughLine: cut - 1 });
  const taken = new Map<number, string>();
  const next: { line: number; score: number }[] = [];
  let room = limitTokens;
  for (const hit of hits) {
    for (const line of [hit.line, hit.line - 1, hit.line + 1]) {
      if (line < 1 || line >= cut || taken.has(line) || except.has(line)) continue;
      const body = lineBody(message(line), counter);
      if (body === '') continue;
      const tokens = counter.count(body) + 12;
      if (tokens > room) {
        if (line === hit.line) next.push(hit);
        continue;
      }
      room -= tokens;
      taken.set(line, body);
    }
  }
  return { picks: ranges(taken), next };
}

/** Neighbouring lines become one pick. */
function ranges(taken: ReadonlyMap<number, string>): readonly RecallPick[] {
  const picks: RecallPick[] = [];
  for (const line of [...taken.keys()].sort((a, b) => a - b)) {
    const last = picks[picks.length - 1];
    const body = taken.get(line) as string;
    if (last !== undefined && last.last === line - 1) picks[picks.length - 1] = { first: last.first, last: line, body: `${last.body}\n${body}` };
    else picks.push({ first: line, last: line, body });
  }
  return picks;
}

function lineBody(message: MessageLine, counter: TokenCounter): string {
  const { view } = message;
  const said = [view.text, ...view.toolResults.map((result) => result.text)].filter((text) => text.trim() !== '').join('\n');
  if (said === '') return '';
  const who = view.name === undefined ? view.role : `${view.role} ${view.name}`;
  return `${who}: ${fits(counter, said, LINE_TOKENS) ? said : headAndTail(counter, said, LINE_TOKENS, () => '[...]')}`;
}
