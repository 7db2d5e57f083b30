// Copies of knowledge against the wiki, fact by fact. A copy is stale from the moment it is made: the wiki wins.
import { driftOfWiki, type KnownWiki } from './drift-known.ts';
import { withoutExtension } from './paths.ts';
import { MIN_ABOUT, namesOf, statementsOf, type Statement } from './statements.ts';

/**
 * `differs`: the wiki says otherwise. `stale`: a page, path or project that is no more, or a count that is another one.
 * `copied`: the wiki says the same. `only`: the wiki does not say it.
 */
export type DriftKind = 'differs' | 'stale' | 'copied' | 'only';

export interface Drift {
  readonly kind: DriftKind;
  readonly line: number;
  readonly said: string;
  /** Where the wiki says what it says; absent where no page does. */
  readonly page?: string;
  readonly pageLine?: number;
  readonly says?: string;
}

/** Share of words in common from which two statements are about the same thing; and where only names, of people or in code, tell them apart. */
const SAME = 0.6;
const SAME_BUT_NAMES = 0.8;
/** A word that more statements share tells none of them from another. */
const MAX_SHARED = 400;
const NOWHERE: KnownWiki = { pages: new Map(), count: undefined, past: new Map(), names: [] };

interface CanonicalStatement extends Statement {
  readonly page: string;
}

/** Statements of a wiki by their words, for many copies to be compared with: those whose words were told, so that names are names in both. */
export class CanonicalFacts {
  readonly wiki: KnownWiki;
  readonly names: ReadonlySet<string>;
  readonly #statements: readonly CanonicalStatement[];
  readonly #byWord = new Map<string, number[]>();
  readonly #values = new Set<string>();

  constructor(pages: readonly { readonly path: string; readonly text: string }[], copies: readonly string[], wiki: KnownWiki = NOWHERE) {
    this.wiki = wiki;
    this.names = namesOf([...pages.map(({ text }) => text), ...copies]);
    this.#statements = pages.flatMap(({ path, text }) =>
      statementsOf(text, this.names, withoutExtension(path)).map((statement) => ({ ...statement, page: path })),
    );
    this.#statements.forEach(({ about, values, leading }, index) => {
      for (const value of [...values, ...leading]) this.#values.add(plain(value));
      for (const word of about) {
        const list = this.#byWord.get(word);
        if (list === undefined) this.#byWord.set(word, [index]);
        else list.push(index);
      }
    });
  }

  knows(value: string): boolean {
    return this.#values.has(plain(value));
  }

  /** Statements about the same thing, the nearest first. */
  near(statement: Statement): readonly { readonly other: CanonicalStatement; readonly share: number }[] {
    const shared = new Map<number, number>();
    for (const word of statement.about) {
      const list = this.#byWord.get(word) ?? [];
      if (list.length <= MAX_SHARED) for (const index of list) shared.set(index, (shared.get(index) ?? 0) + 1);
    }
    if (statement.about.size < MIN_ABOUT) return [];
    const near: { other: CanonicalStatement; share: number }[] = [];
    for (const [index, both] of shared) {
      const other = this.#statements[index] as CanonicalStatement;
      const share = both / (statement.about.size + other.about.size - both);
      if (share >= SAME && other.about.size >= MIN_ABOUT) near.push({ other, share });
    }
    return near.sort((a, b) => b.share - a.share);
  }
}

/** WIK-24: each statement of the copy once: against the wiki's own state, against what its pages say, else whether they say it at all. */
export function driftOf(copy: string, canonical: CanonicalFacts): readonly Drift[] {
  return statementsOf(copy, canonical.names).flatMap((statement): readonly Drift[] => {
    const { line, text: said } = statement;
    if (statement.isOpen) return [];
    const known = driftOfWiki(statement, canonical.wiki);
    if (known !== undefined && known !== 'right') return [{ kind: 'stale' as const, line, said, ...known }];
    const near = canonical.near(statement);
    const told = near.map(({ other, share }) => ({ other, how: compared(statement, other, share) }));
    // A fact that the wiki tells more than once is no drift when one of them fits.
    const same = told.find(({ how }) => how === 'copied');
    const others = told.filter(({ how }) => how === 'differs');
    const [found] = same === undefined ? others : [same];
    // Several answers to one question: another one contradicts none of them.
    const isList = same === undefined && new Set(others.map(({ other }) => [...other.values].sort().join())).size > 1;
    if (found !== undefined && found.how !== undefined && !isList)
      return [{ kind: found.how, line, said, page: found.other.page, pageLine: found.other.line, says: found.other.text }];
    const hard = [...statement.values].filter((value) => !value.startsWith('name:') && !value.includes('*'));
    const isNew = known !== 'right' && statement.isFact && hard.some((value) => !canonical.knows(value));
    return isNew ? [{ kind: 'only' as const, line, said }] : [];
  });
}

/** Undefined: they do not speak of the same value. */
function compared(copy: Statement, wiki: Statement, share: number): 'copied' | 'differs' | undefined {
  const mine = without(copy.values, wiki.values);
  const theirs = without(wiki.values, copy.values);
  if (copy.values.size === 0 && wiki.values.size === 0) return undefined;
  if (copy.negated !== wiki.negated) return theirs.length + mine.length === 0 ? 'differs' : undefined;
  // It says less, and nothing else.
  if (mine.length === 0) return copy.values.size > 0 ? 'copied' : undefined;
  const kinds = new Set(theirs.map(kindOf));
  const against = mine.filter((value) => kinds.has(kindOf(value)));
  if (against.length === 0) return undefined;
  // Other names and other values besides: something else is spoken of.
  const named = (values: readonly string[]): boolean => values.some((value) => value.startsWith('name:'));
  const hard = against.some((value) => !/^(?:name|code|address):/.test(value));
  if (hard) return named(mine) && named(theirs) ? undefined : 'differs';
  return share >= SAME_BUT_NAMES ? 'differs' : undefined;
}

function without(values: ReadonlySet<string>, others: ReadonlySet<string>): readonly string[] {
  const known = new Set([...others].map(plain));
  return [...values].filter((value) => !known.has(plain(value)));
}

/** Whatever it counts: "8443 ports" and "port 8443" are the same number. */
function plain(value: string): string {
  return value.startsWith('number:') ? value.replace(/ .*$/, '') : value;
}

/** Of numbers with what they count: 3 days contradict no 2 pages. */
function kindOf(value: string): string {
  const [kind = ''] = value.split(':', 1);
  return kind === 'number' ? `number ${value.slice(value.indexOf(' ') + 1)}` : kind;
}

/** The copy with links where it repeats the wiki, or says something else: a copy drifts, a link cannot. `link` is Markdown. */
export function withLinks(
  copy: string,
  drifts: readonly Drift[],
  link: (page: string, line: number) => string,
): { readonly text: string; readonly replaced: number } {
  const lines = copy.split('\n');
  let replaced = 0;
  for (const { line, said, page, pageLine } of drifts) {
    const row = lines[line - 1] ?? '';
    const at = row.indexOf(said);
    // Said twice in a line: which one is meant cannot be seen.
    if (page === undefined || at < 0 || row.indexOf(said, at + 1) >= 0) continue;
    lines[line - 1] = `${row.slice(0, at)}${link(page, pageLine ?? 1)}${row.slice(at + said.length)}`;
    replaced += 1;
  }
  return { text: lines.join('\n'), replaced };
}
