// What a text states: sentences, items and table rows with what they are about and the values that they give.
import { terms } from '../search/terms.ts';

export type ValueKind = 'number' | 'date' | 'time' | 'path' | 'address' | 'version' | 'code' | 'name';

/** A statement: what it is about (stems), and its values as `kind:value`; numbers with what they count (`number:8443 port`). */
export interface Statement {
  readonly line: number;
  readonly text: string;
  readonly about: ReadonlySet<string>;
  readonly values: ReadonlySet<string>;
  /** Values that it begins with: they are in `about`. */
  readonly leading: ReadonlySet<string>;
  /** Turned round by not, never, no longer. */
  readonly negated: boolean;
  /** A question, guess, condition or plan. */
  readonly isOpen: boolean;
  /** Says how something is: nothing open, and no order. */
  readonly isFact: boolean;
}

const MONTHS = ['january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september', 'october', 'november', 'december'];
const MONTH = '(jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*';
const COUNTED = 'zero one two three four five six seven eight nine ten eleven twelve'.split(' ');
/** In this order: what was taken as one kind is no other. */
const KINDS: readonly (readonly [ValueKind, RegExp])[] = [
  ['code', /`[^`\n]+`/g],
  ['address', /\b[a-z][a-z+]{1,9}:\/\/[^\s)>\]"']+/gi],
  ['address', /\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b/g],
  ['date', /\b\d{4}-\d{2}-\d{2}\b/g],
  ['date', new RegExp(`\\b\\d{1,2}(?:st|nd|rd|th)?\\.? ${MONTH}\\.?,? \\d{4}\\b`, 'gi')],
  ['date', new RegExp(`\\b${MONTH}\\.? \\d{1,2}(?:st|nd|rd|th)?,? \\d{4}\\b`, 'gi')],
  [
    'path',
    /(?<![\w/.])(?:~|\.{1,2})?\/?(?:[\w@.-]+\/)+[\w@.*-]*|(?<![\w/.])~?\/[\w@.-]+|(?<![\w/.])[\w@.-]+\.(?:md|ts|js|py|ya?ml|json|toml|sh|sql|conf)\b/g,
  ],
  ['time', /\b\d{1,2}:\d{2}(?:\s?[ap]m)?\b/gi],
  ['version', /\bv\d+(?:\.\d+)*\b|\b\d+\.\d+\.\d+(?:[.-][\w.]+)?\b/gi],
  ['number', /(?:[$€£]\s?)?\b\d+(?:[.,]\d+)*(?:\s?%|[a-z]{1,3}\b)?/gi],
];
const NEGATIONS = /\b(?:not|never|no longer|no|without|stopped|don't|doesn't|isn't|aren't|cannot|can't)\b/i;
const OPEN =
  /\?\s*$|^\s*\[[ x]\] |\b(?:maybe|perhaps|might|could|should|would|e\.g\.|for example|such as|if|unless|suppose|probably|roughly|about to|plan to|todo)\b/i;
/** Third person or the past: orders have neither. */
const SAYS =
  /\b(?:is|are|was|were|has|have|had|lives?|lies|listens|runs|ran|uses|owns|owned|costs|takes|took|needs|holds|keeps|contains|includes|starts|started|ends|ended|begins|moved|became|goes|go out|sits|stands|serves|supports|requires|expires|reports|works|leads|maintains|handles|manages|belongs|points|depends|stores|writes|reads|sends|deploys|ships|shipped|launched|released|renamed|migrated|replaced|decided|chose|pays|weighs|measures|lasts|opens|closes|meets|likes|speaks)\b/i;
const OWNER =
  /^(\p{Lu}[\p{L}\p{N}]+)(?: \p{Lu}[\p{L}\p{N}]+)? (?:owns|leads|maintains|manages|heads|is the (?:owner|lead|head|contact|maintainer|manager))\b/u;
const LEADS: ReadonlySet<ValueKind> = new Set(['code', 'path', 'address']);
/** Marks may stand before it. */
const LEAD = 2;
const KEYED = /^(?:\*\*|__)?([\p{L}][\p{L}\p{N} _/-]{0,40}?)(?:\*\*|__)?\s*[:=|]\s*(?:\*\*|__)?\s*(\S.*)$/u;
const ORDER =
  /^(?:please |always |never |do |don't |do not |only |when |before |after |use |run |keep |read |write |prefer |avoid |make |ask |check |add |see |put |call |say |update |append |start |stop |follow |remember |note )/i;
/** Pictures and badges, with what they lead to, and tags of HTML: they state nothing. */
const PICTURE = /(?:\[\s*)?!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])?(?:\s*\](?:\([^)]*\)|\[[^\]]*\]))?|<\/?[a-z][a-z0-9-]*(?:\s[^<>]*)?\/?>/gi;
/** Where a link is defined, not what for. */
const DEFINITION = /^\s{0,3}\[[^\]]+\]:\s/;
/** Words that are said of anything: of what, the heading says. */
const GENERIC: ReadonlySet<string> = new Set(
  terms(
    'default defaults value values type types option options optional required return returns returned see read more full docs documentation note example examples usage method function object string number boolean name names version versions page pages website homepage github link links here call called implements run create new file files set sets work works make makes use uses used using',
  ),
);
/** Fewer words are about anything. */
export const MIN_ABOUT = 2;
/** Longer is no statement that anybody copied. */
const MAX_ROW = 2000;

/** `names`: words that are names wherever they stand (see {@link namesOf}). Headings lend their words to keys below them. */
export function statementsOf(text: string, names: ReadonlySet<string> = new Set(), title = ''): readonly Statement[] {
  const found: Statement[] = [];
  let heading = title;
  for (const { row, line } of rowsOf(text)) {
    if (/^#{1,6}\s/.test(row)) {
      heading = row.replace(/^#+\s*/, '');
      continue;
    }
    if (/^\s*[|]?[-| :]*$/.test(row) || DEFINITION.test(row)) continue;
    const item = row.replace(/^\s*(?:[-*+>]|\d+[.)])\s+/, '').replace(/^\s*\|\s*|\s*\|\s*$/g, '');
    for (const sentence of item.split(/(?<=[.!?])\s+(?=[\p{Lu}`])/u)) {
      const statement = statementOf(sentence.trim(), line, names, heading);
      if (statement !== undefined) found.push(statement);
    }
  }
  return found;
}

function statementOf(text: string, line: number, names: ReadonlySet<string>, heading: string): Statement | undefined {
  const values = new Set<string>();
  const leading = new Set<string>();
  const keyed = KEYED.exec(text);
  const spelt = (/[!<]/.test(text) ? text.replace(PICTURE, (picture) => ' '.repeat(picture.length)) : text).replace(
    new RegExp(`\\b(?:${COUNTED.slice(2).join('|')})\\b(?= [a-z])`, 'gi'),
    (word) => `${COUNTED.indexOf(word.toLowerCase())}`,
  );
  let bare = spelt;
  for (const [kind, pattern] of KINDS) {
    bare = bare.replace(pattern, (value: string, ...rest: unknown[]) => {
      const at = rest.find((part): part is number => typeof part === 'number') ?? 0;
      const found = valueOf(kind, value, bare, at);
      // What a sentence begins with is what it is about.
      if (at <= LEAD && LEADS.has(kind)) leading.add(found);
      else values.add(found);
      return ' '.repeat(value.length);
    });
  }
  // Who owns something is what is said of it; who else begins a sentence is what it is about.
  const ownerEnd = OWNER.exec(bare)?.[1]?.length ?? 0;
  bare = bare.replace(/\p{L}[\p{L}\p{N}'-]*/gu, (word, at: number) => {
    const name = word.toLowerCase().replace(/'s$/, '');
    if (!names.has(name) || (at === 0 && ownerEnd === 0)) return word;
    values.add(`name:${name}`);
    return ' ';
  });
  const about = new Set([...terms(bare), ...leading]);
  if (about.size < MIN_ABOUT || keyed !== null || [...about].every((term) => GENERIC.has(term)))
    for (const term of terms(heading)) about.add(term);
  if (about.size + values.size === 0) return undefined;
  const isOpen = OPEN.test(text);
  const isFact = !isOpen && !ORDER.test(text) && (keyed !== null || SAYS.test(text));
  return { line, text, about, values, leading, negated: NEGATIONS.test(bare), isOpen, isFact };
}

function valueOf(kind: ValueKind, value: string, text: string, at: number): string {
  const plain = value.toLowerCase().replace(/[.,:;]$/, '');
  switch (kind) {
    case 'code': {
      const inner = plain.slice(1, -1).trim();
      if (/^(?:~?\/|\.{0,2}\/|[\w.-]+\/)[\w@./-]*$/.test(inner) || /^[\w-]+\.md$/.test(inner)) return `path:${trimmed(inner)}`;
      return /^\d+$/.test(inner) ? counted(inner, text, at, value.length) : `code:${inner}`;
    }
    case 'date':
      return `date:${dayOf(plain)}`;
    case 'address':
      return `address:${trimmed(plain)}`;
    case 'path':
      return `path:${trimmed(plain)}`;
    case 'number':
      return counted(plain, text, at, value.length);
    case 'name':
    case 'time':
    case 'version':
      return `${kind}:${plain.replace(/^v/, '')}`;
  }
}

/** A number counts what stands behind it, or numbers what stands before it (port 8443, phase 2). */
function counted(number: string, text: string, at: number, length: number): string {
  const digits = number.replace(/[,\s]/g, '');
  const behind = terms(/^[\s-]*([\p{L}]+)/u.exec(text.slice(at + length))?.[1] ?? '')[0];
  const before = terms(/([\p{L}]+)[\s:=#]*$/u.exec(text.slice(0, at))?.[1] ?? '')[0];
  return `number:${digits} ${behind ?? before ?? ''}`;
}

function trimmed(path: string): string {
  return path.replace(/^\.\//, '').replace(/[/.,:;]+$/, '');
}

function dayOf(text: string): string {
  if (/^\d{4}-/.test(text)) return text;
  const month = MONTHS.findIndex((name) => name.startsWith(/[a-z]{3}/.exec(text.replace(/\d+(?:st|nd|rd|th)/, ''))?.[0] ?? ''));
  const [day, year] = [/\b(\d{1,2})(?:st|nd|rd|th)?\b/.exec(text)?.[1], /\d{4}/.exec(text)?.[0]];
  return `${year}-${String(month + 1).padStart(2, '0')}-${(day ?? '').padStart(2, '0')}`;
}

/** Lines outside frontmatter, code and comments; 1-based. */
function* rowsOf(text: string): Generator<{ readonly row: string; readonly line: number }> {
  let fenced = false;
  let front = text.startsWith('---\n');
  const lines = text.split('\n');
  for (let index = 0; index < lines.length; index += 1) {
    const row = lines[index] as string;
    if (front) {
      if (index > 0 && row === '---') front = false;
      continue;
    }
    if (/^\s*(?:```|~~~)/.test(row)) {
      fenced = !fenced;
      continue;
    }
    if (!fenced && row.length <= MAX_ROW && row.trim() !== '' && !/^\s*<!--.*-->\s*$/.test(row)) yield { row, line: index + 1 };
  }
}

/** Words that begin with a capital inside sentences and are written small nowhere: people, services, days. */
export function namesOf(texts: readonly string[]): ReadonlySet<string> {
  const names = new Set<string>();
  const small = new Set<string>();
  for (const text of texts) {
    for (const { row } of rowsOf(text)) {
      if (row.startsWith('#')) continue;
      for (const [, word = ''] of row.matchAll(/(?<![\p{L}\p{N}'`/._-])(\p{Ll}[\p{L}\p{N}]+)/gu)) small.add(word);
      for (const [, word = ''] of row.matchAll(/(?<=[\p{Ll}\p{N},;)] )(\p{Lu}[\p{L}\p{N}]+)/gu)) names.add(word.toLowerCase());
      for (const sentence of row.replace(/^\s*(?:[-*+>]|\d+[.)])\s+/, '').split(/(?<=[.!?])\s+/)) {
        const [, owner] = OWNER.exec(sentence) ?? [];
        if (owner !== undefined) names.add(owner.toLowerCase());
      }
    }
  }
  for (const word of small) names.delete(word);
  return names;
}
