// What a copy says of the wiki itself: how many pages it has, which there are, and which projects are over. No page needs to say so.
import type { Statement } from './statements.ts';
import { nameOf, withoutExtension } from './paths.ts';

export interface KnownWiki {
  /** Files of the wiki, by their path in lower case. */
  readonly pages: ReadonlyMap<string, string>;
  /** Curated pages; undefined: nobody counted. */
  readonly count: number | undefined;
  /** Pages that are over, by title and alias in lower case. */
  readonly past: ReadonlyMap<string, { readonly page: string; readonly status: string }>;
  /** What paths into the wiki begin with: `wiki`, `~/AI/wiki`, `/ctx/home/0/wiki`. */
  readonly names: readonly string[];
  /** The page that says what there is. */
  readonly index?: string;
}

const PAGES = /(?<![\d–-]\s?)\b(\d{1,6})\s+(?:\p{Ll}+\s+)?pages\b/u;
const OF_WIKI = /\b(?:wiki|vault|knowledge base)\b/i;
/** A limit, a goal and a part are no count. */
const NO_COUNT =
  /\b(?:target|aim|goal|limit|at most|at least|up to|under|over|below|above|more than|less than|between|per|each|every|of the|new|first|last|cited|relevant)\b|\d\s*(?:-|–|to)\s*\d/i;
const PROJECTS = [
  /\b[Pp]rojects?:?\s+[`"*]*([\p{L}\p{N}][\p{L}\p{N}._-]*(?: \p{Lu}[\p{L}\p{N}._-]*)*)/gu,
  /([\p{L}\p{N}][\p{L}\p{N}._-]*) project\b/gu,
];
const ENDED = /\b(?:archived|deprecated|superseded|obsolete|done|closed|ended|retired|over|former|was|were)\b/i;

/** What is so instead; `right` where it speaks of the wiki and nothing is wrong; undefined where it does not. */
export function driftOfWiki(
  { text, values, leading, isFact }: Statement,
  wiki: KnownWiki,
): { readonly page?: string; readonly pageLine?: number; readonly says: string } | 'right' | undefined {
  const place = (page: string | undefined): { page?: string; pageLine?: number } => (page === undefined ? {} : { page, pageLine: 1 });
  let isRight = false;
  const [, counted] = PAGES.exec(text) ?? [];
  if (wiki.count !== undefined && counted !== undefined && OF_WIKI.test(text)) {
    const isCount = isFact && !NO_COUNT.test(text) && Number(counted) !== wiki.count;
    if (isCount) return { ...place(wiki.index), says: `there are ${wiki.count} pages` };
    isRight = true;
  }
  for (const value of [...values, ...leading]) {
    const inside = value.startsWith('path:') ? insideOf(value.slice('path:'.length), wiki) : undefined;
    if (inside === undefined) continue;
    isRight = true;
    if (wiki.pages.has(inside) || wiki.pages.has(`${inside}.md`) || isDirectory(inside, wiki)) continue;
    const moved = [...wiki.pages].filter(([path]) => nameOf(path) === nameOf(inside) || withoutExtension(nameOf(path)) === nameOf(inside));
    const [only] = moved.length === 1 ? moved : [];
    return only === undefined ? { says: `there is no ${inside}` } : { ...place(only[1]), says: `it is ${only[1]}` };
  }
  const otherwise = isRight ? 'right' : undefined;
  if (!isFact || ENDED.test(text) || wiki.past.size === 0) return otherwise;
  for (const [, name = ''] of PROJECTS.flatMap((pattern) => [...text.matchAll(pattern)])) {
    const past = wiki.past.get(name.toLowerCase());
    if (past !== undefined) return { ...place(past.page), says: `${name} is ${past.status}` };
  }
  return otherwise;
}

/** A path below the wiki, relative to it; undefined: it leads elsewhere. */
function insideOf(path: string, { names }: KnownWiki): string | undefined {
  if (path.includes('*') || path.includes('<')) return undefined;
  // Of a name alone it cannot be seen whose it is: another project may have a directory that is called so.
  const name = names.find((each) => path.startsWith(`${each}/`) && (/^[~/]/.test(each) || path.endsWith('.md')));
  const inside = name === undefined ? undefined : path.slice(name.length + 1);
  return inside === '' || inside?.startsWith('.') === true ? undefined : inside;
}

function isDirectory(path: string, { pages }: KnownWiki): boolean {
  for (const page of pages.keys()) if (page.startsWith(`${path}/`)) return true;
  return false;
}
