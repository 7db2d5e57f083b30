// Copies of knowledge against the wiki, fact by fact. A copy is stale from the moment it is made: the wiki wins.
import { terms } from '../search/terms.ts';

/** A statement: what it is about (stems), and the values it gives (numbers, paths, versions, names in code). */
export interface Statement {
  readonly line: number;
  readonly text: string;
  readonly about: ReadonlySet<string>;
  readonly values: ReadonlySet<string>;
}

export interface Drift {
  readonly kind: 'differs' | 'copied';
  readonly line: number;
  readonly said: string;
  readonly page: string;
  readonly pageLine: number;
  readonly says: string;
}

const VALUE = /`[^`\n]+`|https?:\/\/[^\s)>\]]+|~?\/?(?:[\w.-]+\/)+[\w.-]*|\bv?\d+(?:[.:,-]\d+)*(?:[a-z%]{1,3}\b)?/gi;
/** Words that turn a statement round. */
const NEGATIONS = /\b(?:not|never|no longer|no|without|stopped|don't|doesn't|cannot)\b/i;
const MIN_ABOUT = 2;
/** Share of words in common from which two statements are about the same thing. */
const SAME = 0.6;
/** A word that more statements share tells none of them from another. */
const MAX_SHARED = 400;

/** Items, sentences and table rows that give a value; headings lend their words to what stands below. */
export function statementsOf(text: string): readonly Statement[] {
  const found: Statement[] = [];
  let fenced = false;
  let front = text.startsWith('---\n');
  text.split('\n').forEach((row, index) => {
    if (front) {
      if (index > 0 && row === '---') front = false;
      return;
    }
    if (/^\s*(?:```|~~~)/.test(row)) fenced = !fenced;
    if (fenced || row.trim() === '' || /^\s*[#|]*[-| :]*$/.test(row) || row.startsWith('#')) return;
    for (const sentence of row.replace(/^\s*(?:[-*+>]|\d+[.)])\s+/, '').split(/(?<=[.!?])\s+(?=[\p{Lu}`])/u)) {
      const values = new Set<string>();
      const bare = sentence.replace(VALUE, (value) => {
        values.add(
          value
            .replace(/^`|`$/g, '')
            .replace(/[.,:]$/, '')
            .toLowerCase(),
        );
        return ' ';
      });
      const about = new Set(terms(bare));
      if (NEGATIONS.test(bare)) values.add('not');
      if (about.size >= MIN_ABOUT) found.push({ line: index + 1, text: sentence.trim(), about, values });
    }
  });
  return found;
}

export interface CanonicalStatement extends Statement {
  readonly page: string;
}

/** Statements of a wiki by their words, for many copies to be compared with. */
export class CanonicalFacts {
  readonly #statements: readonly CanonicalStatement[];
  readonly #byWord = new Map<string, number[]>();

  constructor(pages: readonly { readonly path: string; readonly text: string }[]) {
    this.#statements = pages.flatMap(({ path, text }) => statementsOf(text).map((statement) => ({ ...statement, page: path })));
    this.#statements.forEach(({ about }, index) => {
      for (const word of about) {
        const list = this.#byWord.get(word);
        if (list === undefined) this.#byWord.set(word, [index]);
        else list.push(index);
      }
    });
  }

  /** The statement about the same thing; undefined when none is near enough. */
  nearest(statement: Statement): CanonicalStatement | undefined {
    const shared = new Map<number, number>();
    for (const word of statement.about) {
      const list = this.#byWord.get(word) ?? [];
      if (list.length <= MAX_SHARED) for (const index of list) shared.set(index, (shared.get(index) ?? 0) + 1);
    }
    let best: CanonicalStatement | undefined;
    let bestShare = 0;
    for (const [index, both] of shared) {
      const other = this.#statements[index] as CanonicalStatement;
      const share = both / (statement.about.size + other.about.size - both);
      const agrees = sameValues(statement, other);
      // Among equals the one that agrees: a fact that the wiki tells twice is no drift when one of them fits.
      if (share > bestShare || (share === bestShare && agrees && best !== undefined && !sameValues(statement, best)))
        [best, bestShare] = [other, share];
    }
    return bestShare >= SAME ? best : undefined;
  }
}

export function driftOf(copy: string, canonical: CanonicalFacts): readonly Drift[] {
  return statementsOf(copy).flatMap((statement) => {
    const other = canonical.nearest(statement);
    if (other === undefined || (statement.values.size === 0 && other.values.size === 0)) return [];
    const kind = sameValues(statement, other) ? ('copied' as const) : ('differs' as const);
    return [{ kind, line: statement.line, said: statement.text, page: other.page, pageLine: other.line, says: other.text }];
  });
}

/** The copy with links where it repeats the wiki, or says something else: a copy drifts, a link cannot. `link` is Markdown. */
export function withLinks(
  copy: string,
  drifts: readonly Drift[],
  link: (drift: Drift) => string,
): { readonly text: string; readonly replaced: number } {
  const lines = copy.split('\n');
  let replaced = 0;
  for (const drift of drifts) {
    const row = lines[drift.line - 1] ?? '';
    const at = row.indexOf(drift.said);
    // Said twice in a line: which one is meant cannot be seen.
    if (at < 0 || row.indexOf(drift.said, at + 1) >= 0) continue;
    lines[drift.line - 1] = `${row.slice(0, at)}${link(drift)}${row.slice(at + drift.said.length)}`;
    replaced += 1;
  }
  return { text: lines.join('\n'), replaced };
}

function sameValues(a: Statement, b: Statement): boolean {
  if (a.values.size !== b.values.size) return false;
  for (const value of a.values) if (!b.values.has(value)) return false;
  return true;
}
