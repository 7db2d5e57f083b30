// Which pages answer a question: BM25 over stems, with title, alias, heading and tag counting more, and links between pages a little.
// Pure: the same pages and question give the same answer, whatever was asked before.
import { lightnessOf } from '../search/light.ts';
import { terms } from '../search/terms.ts';
import type { Section } from './sections.ts';

export interface SearchPage {
  readonly path: string;
  readonly title: string;
  readonly names: readonly string[];
  readonly tags: readonly string[];
  readonly status: string | undefined;
  readonly sections: readonly Section[];
  /** Curated pages that it links to. */
  readonly links: readonly string[];
}

export interface SearchedPage {
  readonly page: SearchPage;
  readonly score: number;
  /** Words of the question that the page has, as they were asked. */
  readonly words: readonly string[];
  /** Sections that have any of them, best first. */
  readonly sections: readonly { readonly section: Section; readonly score: number }[];
  /** The page that led here, where links did. */
  readonly via?: string;
}

const K1 = 1.2;
const B = 0.6;
const NAME_WEIGHT = 6;
const TAG_WEIGHT = 3;
const HEADING_WEIGHT = 3;
/** Share of a page's score that the pages it links to are given. */
const LINK_SHARE = 0.12;
/** What is kept for the record counts for less. */
/** States of pages that are over. */
export const PAST: ReadonlySet<string> = new Set(['deprecated', 'archived', 'superseded', 'obsolete', 'done']);

interface Counted {
  readonly page: SearchPage;
  readonly frequency: ReadonlyMap<string, number>;
  readonly sections: readonly { readonly section: Section; readonly frequency: ReadonlyMap<string, number>; readonly length: number }[];
  readonly length: number;
}

const counted = new WeakMap<SearchPage, Counted>();

export function searchPages(pages: readonly SearchPage[], question: string, limit: number): readonly SearchedPage[] {
  const asked = askedTerms(question);
  if (asked.size === 0) return [];
  const all = pages.map(count);
  const mean = all.reduce((sum, { length }) => sum + length, 0) / Math.max(1, all.length);
  const weights = new Map<string, number>();
  for (const term of asked.keys()) {
    const having = all.reduce((sum, { frequency }) => sum + (frequency.has(term) ? 1 : 0), 0);
    weights.set(term, (Math.log(1 + (all.length - having + 0.5) / (having + 0.5)) * lightnessOf(term).asked) / 16);
  }
  const own = new Map<string, SearchedPage>();
  for (const each of all) {
    const found = scored(each, asked, weights, mean);
    if (found !== undefined) own.set(each.page.path, found);
  }
  return withLinks(own, pages).slice(0, limit);
}

/** Terms of the question, with the word that each stands for. */
function askedTerms(question: string): ReadonlyMap<string, string> {
  const asked = new Map<string, string>();
  for (const [word] of question.matchAll(/[\p{L}\p{M}\p{N}_.-]+/gu))
    for (const term of terms(word)) if (!asked.has(term)) asked.set(term, word);
  return asked;
}

function count(page: SearchPage): Counted {
  let known = counted.get(page);
  if (known !== undefined) return known;
  const frequency = new Map<string, number>();
  const add = (to: Map<string, number>, text: string, weight: number): number => {
    const found = terms(text);
    for (const term of found) to.set(term, (to.get(term) ?? 0) + weight);
    return found.length;
  };
  let length = 0;
  const sections = page.sections.map((section) => {
    const inSection = new Map<string, number>();
    const words = add(inSection, section.text, 1);
    if (section.heading !== '') add(inSection, section.heading, HEADING_WEIGHT - 1);
    for (const [term, times] of inSection) frequency.set(term, (frequency.get(term) ?? 0) + times);
    length += words;
    return { section, frequency: inSection, length: words };
  });
  for (const name of [page.title, ...page.names]) add(frequency, name, NAME_WEIGHT);
  for (const tag of page.tags) add(frequency, tag, TAG_WEIGHT);
  known = { page, frequency, sections, length };
  counted.set(page, known);
  return known;
}

function bm25(frequency: ReadonlyMap<string, number>, length: number, mean: number, weights: ReadonlyMap<string, number>): number {
  let score = 0;
  for (const [term, weight] of weights) {
    const times = frequency.get(term);
    if (times !== undefined) score += (weight * times * (K1 + 1)) / (times + K1 * (1 - B + (B * length) / Math.max(1, mean)));
  }
  return score;
}

function scored(
  each: Counted,
  asked: ReadonlyMap<string, string>,
  weights: ReadonlyMap<string, number>,
  mean: number,
): SearchedPage | undefined {
  const base = bm25(each.frequency, each.length, mean, weights);
  if (base === 0) return undefined;
  const words = [...asked].filter(([term]) => each.frequency.has(term)).map(([, word]) => word);
  const sectionMean = Math.max(1, each.length / Math.max(1, each.sections.length));
  const sections = each.sections
    .map(({ section, frequency, length }) => ({ section, score: bm25(frequency, length, sectionMean, weights) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || a.section.startLine - b.section.startLine);
  const past = PAST.has((each.page.status ?? '').toLowerCase()) ? 0.5 : 1;
  return { page: each.page, score: rounded(base * past), words: [...new Set(words)], sections };
}

/** A page that good pages link to is likelier; one that only links speak for is told as such. */
function withLinks(own: ReadonlyMap<string, SearchedPage>, pages: readonly SearchPage[]): readonly SearchedPage[] {
  const lent = new Map<string, { score: number; via: string; best: number }>();
  for (const { page, score } of own.values())
    for (const path of new Set(page.links)) {
      if (path === page.path) continue;
      const before = lent.get(path);
      const share = (score * LINK_SHARE) / Math.sqrt(Math.max(1, page.links.length));
      if (before === undefined) lent.set(path, { score: share, via: page.path, best: share });
      else {
        before.score += share;
        if (share > before.best) [before.via, before.best] = [page.path, share];
      }
    }
  const found: SearchedPage[] = [];
  for (const page of pages) {
    const self = own.get(page.path);
    const from = lent.get(page.path);
    if (self !== undefined) found.push({ ...self, score: rounded(self.score + Math.min(from?.score ?? 0, self.score / 2)) });
    else if (from !== undefined) found.push({ page, score: rounded(from.score), words: [], sections: [], via: from.via });
  }
  return found.sort((a, b) => b.score - a.score || (a.page.path < b.page.path ? -1 : 1));
}

function rounded(score: number): number {
  return Math.round(score * 1e6) / 1e6;
}
