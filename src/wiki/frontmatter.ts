// Frontmatter: a strict `---` splitter and YAML under limits. Values are text, lists and maps of text; nothing is evaluated.
import { loadYaml } from '../abi/packages.ts';
import { yamlFault } from '../abi/yaml-form.ts';

export type FrontmatterValue = string | readonly FrontmatterValue[] | { readonly [key: string]: FrontmatterValue };

export interface Frontmatter {
  readonly values: ReadonlyMap<string, FrontmatterValue>;
  /** 1-based line of each top-level key. */
  readonly lines: ReadonlyMap<string, number>;
}

export interface SplitPage {
  readonly frontmatter: Frontmatter | undefined;
  /** Why the frontmatter says nothing; the body is read all the same. */
  readonly fault: { readonly line: number; readonly message: string } | undefined;
  readonly body: string;
  /** Lines before the body. */
  readonly bodyLine: number;
}

/** WIK-3: more is a finding, not work. */
export const FRONTMATTER_LIMITS = { sizeUnits: 65_536, aliases: 32, depth: 16, keys: 256 } as const;

const NONE: Pick<SplitPage, 'frontmatter' | 'fault'> = { frontmatter: undefined, fault: undefined };

/** WIK-2: only a first line of exactly `---` opens it, and the next line of exactly `---` closes it. */
export function splitPage(text: string): SplitPage {
  const whole = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  const source = whole.includes('\r') ? whole.replace(/\r\n?/g, '\n') : whole;
  if (!source.startsWith('---\n')) return { ...NONE, body: source, bodyLine: 0 };
  const end = source.startsWith('---\n', 4) || source === '---\n---' ? 3 : source.search(/\n---(?:\n|$)/);
  if (end < 0) return { ...NONE, body: source, bodyLine: 0 };
  const yaml = source.slice(4, Math.max(4, end + 1));
  const bodyAt = end + 5;
  const bodyLine = countLines(source, Math.min(bodyAt, source.length));
  const body = source.slice(bodyAt);
  const parsed = parseFrontmatter(yaml);
  if ('message' in parsed) return { frontmatter: undefined, fault: parsed, body, bodyLine };
  return { frontmatter: parsed, fault: undefined, body, bodyLine };
}

function countLines(text: string, end: number): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at >= 0 && at < end; at = text.indexOf('\n', at + 1)) lines += 1;
  return lines;
}

/** `yaml` starts at line 2 of its page. */
export function parseFrontmatter(yaml: string): Frontmatter | { readonly line: number; readonly message: string } {
  if (yaml.length > FRONTMATTER_LIMITS.sizeUnits)
    return { line: 1, message: `frontmatter is longer than ${FRONTMATTER_LIMITS.sizeUnits} characters` };
  const lines = yaml.split('\n');
  const values = plainValues(lines) ?? fullValues(yaml);
  if (!(values instanceof Map)) return values;
  if (values.size > FRONTMATTER_LIMITS.keys) return { line: 1, message: `frontmatter has more than ${FRONTMATTER_LIMITS.keys} keys` };
  const keyLines = new Map<string, number>();
  lines.forEach((line, index) => {
    const key = /^(?:"([^"]+)"|'([^']+)'|([^\s:#'"][^:]*?))\s*:(?:\s|$)/.exec(line);
    const name = key?.[1] ?? key?.[2] ?? key?.[3];
    if (name !== undefined && !keyLines.has(name)) keyLines.set(name, index + 2);
  });
  return { values, lines: keyLines };
}

const PLAIN_LINE = /^([A-Za-z_][A-Za-z0-9_-]*):(?: +(.*?))? *$/;
/** Scalars that mean themselves in YAML, whatever the schema. */
const PLAIN = /^[A-Za-z0-9_/.](?:[A-Za-z0-9_/.,()+@-]|:(?=[A-Za-z0-9_/])| (?=[A-Za-z0-9_/.()+@-]))*$/;
const PLAIN_ITEM = /^[A-Za-z0-9_/.](?:[A-Za-z0-9_/.+@-]| (?=[A-Za-z0-9_/.+@-]))*$/;

/** What most pages have (`key: word`, `key: [a, b]`, `- item`), without a YAML parser; undefined when there is more to it. */
function plainValues(lines: readonly string[]): Map<string, FrontmatterValue> | undefined {
  const values = new Map<string, FrontmatterValue>();
  let open: string[] | undefined;
  for (const line of lines) {
    if (line === '') continue;
    if (open !== undefined && line.startsWith('  - ')) {
      const item = line.slice(4).trimEnd();
      if (!PLAIN_ITEM.test(item)) return undefined;
      open.push(item);
      continue;
    }
    const [, key, value] = PLAIN_LINE.exec(line) ?? [];
    if (key === undefined || values.has(key)) return undefined;
    if (open?.length === 0) return undefined;
    open = undefined;
    if (value === undefined || value === '') values.set(key, (open = []));
    else if (PLAIN.test(value)) values.set(key, value);
    else if (value.startsWith('[') && value.endsWith(']')) {
      const items = value
        .slice(1, -1)
        .split(',')
        .map((item) => item.trim());
      if (!items.every((item) => PLAIN_ITEM.test(item))) return undefined;
      values.set(key, items);
    } else return undefined;
  }
  return open?.length === 0 ? undefined : values;
}

function fullValues(text: string): Map<string, FrontmatterValue> | { readonly line: number; readonly message: string } {
  try {
    if (yamlFault(text)?.deep === true) return { line: 1, message: `frontmatter is nested deeper than ${FRONTMATTER_LIMITS.depth}` };
    // `failsafe` knows text, lists and maps only: no dates, no numbers, no tags of any kind.
    const { parseDocument, visit } = loadYaml();
    const document = parseDocument(text, { schema: 'failsafe', uniqueKeys: true, logLevel: 'silent', stringKeys: true });
    const [error] = document.errors;
    if (error !== undefined)
      return { line: (error.linePos?.[0].line ?? 1) + 1, message: `frontmatter is not YAML: ${firstLine(error.message)}` };
    let aliases = 0;
    let deep = false;
    visit(document, {
      Alias: () => void (aliases += 1),
      Collection: (_key, _node, path) => {
        if (path.length > FRONTMATTER_LIMITS.depth * 2) deep = true;
        return deep ? visit.BREAK : undefined;
      },
    });
    if (deep) return { line: 1, message: `frontmatter is nested deeper than ${FRONTMATTER_LIMITS.depth}` };
    if (aliases > FRONTMATTER_LIMITS.aliases)
      return { line: 1, message: `frontmatter has more than ${FRONTMATTER_LIMITS.aliases} aliases` };
    const value: unknown = document.toJS({ maxAliasCount: FRONTMATTER_LIMITS.aliases + 1, mapAsMap: true });
    if (value === null || value === undefined || value === '') return new Map();
    if (!(value instanceof Map)) return { line: 2, message: 'frontmatter is not a map of keys' };
    return new Map([...value].map(([key, inner]) => [String(key), plain(inner)]));
  } catch (error) {
    // The parser throws for bombs (alias counts) and overflows on absurd nesting.
    return { line: 1, message: `frontmatter cannot be read: ${firstLine(error instanceof Error ? error.message : String(error))}` };
  }
}

function plain(value: unknown): FrontmatterValue {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) {
    const record: Record<string, FrontmatterValue> = Object.create(null) as Record<string, FrontmatterValue>;
    for (const [key, inner] of value) record[String(key)] = plain(inner);
    return record;
  }
  return typeof value === 'string' ? value : '';
}

function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').replace(/:$/, '');
}

/** A value as one text; undefined when it is none or empty. */
export function textOf(value: FrontmatterValue | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A value as a list of texts: a list, or one text (comma-separated where asked). */
export function textsOf(value: FrontmatterValue | undefined, commas: boolean = false): readonly string[] {
  if (typeof value === 'string') return (commas ? value.split(',') : [value]).map((text) => text.trim()).filter((text) => text !== '');
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string' && item !== '') : [];
}

/** Day of a date as text (`2026-04-20`, with or without a time); undefined when it is none. */
export function dayOf(value: FrontmatterValue | undefined): string | undefined {
  const match = typeof value === 'string' ? /^(\d{4})-(\d{2})-(\d{2})(?:$|[T ])/.exec(value) : null;
  if (match === null) return undefined;
  const day = match[0].slice(0, 10);
  return Number.isNaN(Date.parse(`${day}T00:00:00Z`)) ? undefined : day;
}
