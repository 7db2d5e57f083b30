// Raw material into the wiki: filed as it is with where it came from, and page changes proposed. Without a model it links and lists.
import { digestOf, type Digest } from '../abi/digest.ts';
import { splitPage } from './frontmatter.ts';
import { lightnessOf } from '../search/light.ts';
import { terms } from '../search/terms.ts';
import { searchPages, type SearchedPage, type SearchPage } from './page-search.ts';
import { linkTo } from './link-text.ts';
import { makeProposal, type Proposal } from './proposal.ts';

export interface FiledSource {
  /** Below the root of the wiki. */
  readonly path: string;
  readonly digest: Digest;
  readonly origin: string;
  readonly time: string;
  readonly by: string;
}

/** Name under `sources/`: the day it was filed, and what it was called. */
export function sourceName(day: string, origin: string, extension: string): string {
  const base = origin
    .slice(origin.lastIndexOf('/') + 1)
    .replace(/\.[A-Za-z0-9]{1,8}$/, '')
    .normalize('NFC')
    .replace(/[^\p{L}\p{N}._-]+/gu, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
    .slice(0, 80);
  return `${day}-${base === '' ? 'source' : base}${extension}`;
}

/** How many of the material's words are asked with, and how many pages are proposed to change. */
const ASKED_WORDS = 24;
const MAX_PAGES = 3;
const MAX_UNITS = 200_000;
/** Below this share of the best page's score a page is not about it. */
const NEAR_BEST = 0.45;

/** The words that tell the material from other texts: frequent in it, not empty, not in every page. */
export function keyTerms(text: string, pages: readonly SearchPage[]): readonly string[] {
  const times = new Map<string, { count: number; word: string }>();
  for (const [word] of text.slice(0, MAX_UNITS).matchAll(/[\p{L}\p{M}\p{N}]+/gu)) {
    const [term] = terms(word);
    if (term === undefined || term.length < 3) continue;
    const before = times.get(term);
    if (before === undefined) times.set(term, { count: 1, word });
    else before.count += 1;
  }
  const titles = new Set(pages.flatMap(({ title, names }) => [title, ...names].flatMap((name) => terms(name))));
  return [...times]
    .map(([term, { count, word }]) => ({ word, score: Math.log(1 + count) * lightnessOf(term).asked * (titles.has(term) ? 3 : 1) }))
    .sort((a, b) => b.score - a.score || (a.word < b.word ? -1 : 1))
    .slice(0, ASKED_WORDS)
    .map(({ word }) => word);
}

export interface ProposeInput {
  readonly source: FiledSource;
  readonly text: string;
  readonly title: string;
  readonly pages: readonly SearchPage[];
  readonly pageText: (path: string) => string | undefined;
  readonly day: string;
  readonly by: string;
  readonly at: string;
}

/** The pages that the material is about, best first. */
export function aboutPages(text: string, pages: readonly SearchPage[]): readonly SearchedPage[] {
  const found = searchPages(pages, keyTerms(text, pages).join(' '), MAX_PAGES * 2);
  const best = found[0]?.score ?? 0;
  const named = new Map<string, number>();
  for (const term of terms(text.slice(0, MAX_UNITS))) named.set(term, (named.get(term) ?? 0) + 1);
  // One word is chance, but for the name of the page itself, more than once.
  const isNamed = ({ title }: SearchPage): boolean => {
    const wanted = terms(title);
    return wanted.length > 0 && wanted.every((term) => (named.get(term) ?? 0) >= 2);
  };
  return found.filter(({ score, words, page }) => score >= best * NEAR_BEST && (words.length >= 2 || isNamed(page))).slice(0, MAX_PAGES);
}

const TO_WORK_IN = '## To work in';

/** Each page that the material is about is given the source and a task; the words are left to whoever reviews. Undefined: no page is. */
export function propose({ source, text, title, pages, pageText, day, by, at }: ProposeInput): Proposal | undefined {
  const changes = aboutPages(text, pages).flatMap(({ page, words }) => {
    const before = pageText(page.path);
    if (before === undefined) return [];
    const after = withTask(withSource(before, source, day), page.path, source, title, words);
    return [{ path: page.path, base: digestOf(before), text: after }];
  });
  if (changes.length === 0) return undefined;
  return makeProposal({
    about: `work ${source.path} into ${changes.map(({ path }) => path).join(', ')}`,
    by,
    at,
    changes,
    log: {
      title: `ingest ${title}`,
      changes: [`Source: ${source.path} (from ${source.origin})`, ...changes.map(({ path }) => `Changed: ${path}`)],
      judgment: '',
    },
  });
}

/** The frontmatter names the source; keys and order of the rest stay as they are, byte for byte. */
export function withSource(text: string, source: Pick<FiledSource, 'path'>, day: string): string {
  const { frontmatter, fault } = splitPage(text);
  const item = /^[\w./-]+$/.test(source.path) ? source.path : JSON.stringify(source.path);
  if (fault !== undefined) return text;
  if (frontmatter === undefined) return `---\nsources:\n  - ${item}\nlast_updated: ${day}\n---\n\n${text}`;
  const lines = text.split('\n');
  const closing = lines.indexOf('---', 1);
  let front = lines.slice(0, closing);
  const at = front.findIndex((line) => /^sources\s*:/.test(line));
  if (at < 0) front.push('sources:', `  - ${item}`);
  else if (/^sources\s*:\s*$/.test(front[at] ?? '')) {
    let end = at + 1;
    while (end < front.length && /^(?:\s|-)/.test(front[end] ?? '')) end += 1;
    const indent = /^(\s*)-/.exec(front[at + 1] ?? '')?.[1] ?? '  ';
    const map = /^\s*-\s+\w+:/.test(front[at + 1] ?? '');
    front.splice(end, 0, `${indent}- ${map ? `resource: ${item}` : item}`);
  } else {
    const inline = /^sources\s*:\s*\[(.*)\]\s*$/.exec(front[at] ?? '')?.[1];
    if (inline !== undefined) front[at] = `sources: [${inline.trim() === '' ? '' : `${inline}, `}${item}]`;
  }
  if (frontmatter.values.has('last_updated')) front = front.map((line) => (/^last_updated\s*:/.test(line) ? `last_updated: ${day}` : line));
  return [...front, ...lines.slice(closing)].join('\n');
}

function withTask(text: string, path: string, source: FiledSource, title: string, words: readonly string[]): string {
  const up = '../'.repeat(path.split('/').length - 1);
  const task = `- [ ] ${linkTo(title, `${up}${source.path}`)}: says something about ${words.slice(0, 5).join(', ')}\n`;
  const base = text.endsWith('\n') ? text : `${text}\n`;
  const at = base.indexOf(`\n${TO_WORK_IN}\n`);
  if (at < 0) return `${base}\n${TO_WORK_IN}\n\n${task}`;
  const after = at + TO_WORK_IN.length + 2;
  return `${base.slice(0, after)}\n${task}${base.slice(after).replace(/^\n/, '')}`;
}
