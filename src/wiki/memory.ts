// Progressive disclosure: schema, index, then the few pages (or sections) that a question needs, within a share of the budget.
import { searchPages, type SearchedPage, type SearchPage } from './page-search.ts';
import type { Section } from './sections.ts';

export interface MemoryPages {
  /** Behaviour rules; always first. */
  readonly schema: readonly MemoryText[];
  readonly index: MemoryText | undefined;
  readonly pages: readonly SearchPage[];
  /** Paths of plans that are being carried out: what they cite is loaded before anything else. */
  readonly plans?: readonly string[];
}

export interface MemoryText {
  readonly path: string;
  readonly text: string;
}

export interface MemoryItem {
  readonly kind: 'schema' | 'index' | 'plan' | 'page' | 'section';
  readonly path: string;
  /** Of a section. */
  readonly heading?: string;
  readonly startLine?: number;
  readonly endLine?: number;
  readonly text: string;
  readonly tokens: number;
  /** One sentence. */
  readonly reason: string;
}

export interface Memory {
  readonly items: readonly MemoryItem[];
  readonly tokens: number;
  /** What would have come next, and why it did not. */
  readonly left: readonly { readonly path: string; readonly reason: string }[];
}

export const MOST_PAGES = 4;
const FEWEST_PAGES = 2;
/** A page below this share of the best one's score is no answer, once there are two. */
const NEAR_BEST = 0.35;
const MAX_SECTIONS = 3;
const CANDIDATES = 12;
/** Schema and index together never take more of the budget than this. */
const FRAME_SHARE = 0.5;

/** Pure. `count` gives the tokens of a text; items never exceed `budgetTokens` in sum. */
export function chooseMemory(memory: MemoryPages, question: string, budgetTokens: number, count: (text: string) => number): Memory {
  const chooser = new Chooser(budgetTokens, count);
  const frame = Math.floor(budgetTokens * FRAME_SHARE);
  for (const schema of memory.schema) chooser.text('schema', schema, 'the rules of this wiki', frame);
  if (memory.index !== undefined) chooser.text('index', memory.index, 'what there is', frame);
  const { pages, left } = planPages(memory, question);
  for (const { kind, page, sections, reason } of pages) chooser.page(kind, page, sections, reason);
  for (const { path, reason } of left) chooser.leave(path, reason);
  return chooser.memory();
}

export interface PlannedPage {
  readonly kind: 'plan' | 'page';
  readonly page: SearchPage;
  /** What is given where the page has no room: best first. */
  readonly sections: readonly Section[];
  readonly reason: string;
}

/** Plans and what they cite, then the pages that answer, best first; what has no room for is for whoever knows the budget. Pure. */
export function planPages(
  memory: Pick<MemoryPages, 'pages' | 'plans'>,
  question: string,
): { readonly pages: readonly PlannedPage[]; readonly left: Memory['left'] } {
  const pages: PlannedPage[] = citedPages(memory).map(({ page, reason, kind }) => ({ kind, page, sections: page.sections, reason }));
  const left: { path: string; reason: string }[] = [];
  const taken = new Set(pages.map(({ page }) => page.path));
  const found = searchPages(memory.pages, question, CANDIDATES).filter(({ page }) => !taken.has(page.path));
  const best = found[0]?.score ?? 0;
  found.forEach((hit, rank) => {
    const enough = rank >= MOST_PAGES ? `${MOST_PAGES} pages answer better` : undefined;
    const weak = rank >= FEWEST_PAGES && hit.score < best * NEAR_BEST ? 'says much less about it' : undefined;
    if (enough !== undefined || weak !== undefined) left.push({ path: hit.page.path, reason: enough ?? weak ?? '' });
    else pages.push({ kind: 'page', page: hit.page, sections: sectionsFor(hit), reason: reasonOf(hit) });
  });
  return { pages, left };
}

function sectionsFor({ page, sections }: SearchedPage): readonly Section[] {
  return sections.length > 0 ? sections.map(({ section }) => section) : page.sections;
}

function reasonOf({ words, via, sections }: SearchedPage): string {
  if (words.length === 0) return `${via ?? 'another page'} links to it`;
  const where = sections[0]?.section.heading ?? '';
  return `has ${words.slice(0, 6).join(', ')}${where === '' ? '' : `, most under "${where}"`}`;
}

/** The plan itself, then what it cites: a plan is no context of its own, and decays faster than what it builds on. */
function citedPages({ pages, plans = [] }: Pick<MemoryPages, 'pages' | 'plans'>): readonly {
  readonly page: SearchPage;
  readonly reason: string;
  readonly kind: 'plan' | 'page';
}[] {
  const byPath = new Map(pages.map((page) => [page.path, page]));
  const found = new Map<string, { page: SearchPage; reason: string; kind: 'plan' | 'page' }>();
  for (const path of plans) {
    const plan = byPath.get(path);
    if (plan === undefined) continue;
    found.set(path, { page: plan, reason: 'the plan that is carried out', kind: 'plan' });
    for (const target of plan.links) {
      const page = byPath.get(target);
      if (page !== undefined && !found.has(target)) found.set(target, { page, reason: `the plan ${path} cites it`, kind: 'page' });
    }
  }
  return [...found.values()];
}

class Chooser {
  readonly #count: (text: string) => number;
  readonly #budget: number;
  readonly #items: MemoryItem[] = [];
  readonly #left: { path: string; reason: string }[] = [];
  #tokens = 0;

  constructor(budget: number, count: (text: string) => number) {
    this.#budget = budget;
    this.#count = count;
  }

  memory(): Memory {
    return { items: this.#items, tokens: this.#tokens, left: this.#left };
  }

  leave(path: string, reason: string): void {
    this.#left.push({ path, reason });
  }

  /** Whole, or its first lines: rules and index are written with what matters first. */
  text(kind: 'schema' | 'index', { path, text }: MemoryText, reason: string, frame: number): void {
    const room = frame - this.#tokens;
    const whole = this.#count(text);
    if (whole <= room) return this.#add({ kind, path, text, tokens: whole, reason });
    const lines = text.split('\n');
    let [low, high] = [0, lines.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#count(lines.slice(0, middle).join('\n')) <= room) low = middle;
      else high = middle - 1;
    }
    if (low === 0) return this.leave(path, `has ${whole} tokens; ${Math.max(0, room)} are left for it`);
    const part = lines.slice(0, low).join('\n');
    this.#add({
      kind,
      path,
      startLine: 1,
      endLine: low,
      text: part,
      tokens: this.#count(part),
      reason: `${reason}; its first ${low} lines`,
    });
  }

  /** The page whole where it fits, else its best sections; false when not even one fits. */
  page(kind: 'plan' | 'page', page: SearchPage, sections: readonly Section[], reason: string): boolean {
    const text = page.sections.map((section) => section.text).join('\n');
    const tokens = this.#count(text);
    const room = this.#budget - this.#tokens;
    if (tokens <= room) {
      this.#add({ kind, path: page.path, text, tokens, reason });
      return true;
    }
    let chosen = 0;
    for (const section of sections) {
      if (chosen >= MAX_SECTIONS) break;
      const size = this.#count(section.text);
      if (size > this.#budget - this.#tokens) continue;
      const { heading, startLine, endLine } = section;
      this.#add({ kind: 'section', path: page.path, heading, startLine, endLine, text: section.text, tokens: size, reason });
      chosen += 1;
    }
    if (chosen === 0) this.leave(page.path, `has ${tokens} tokens; ${room} are left`);
    return chosen > 0;
  }

  #add(item: MemoryItem): void {
    this.#items.push(item);
    this.#tokens += item.tokens;
  }
}
