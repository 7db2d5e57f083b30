// Answers to findings: do, defer, kill. An answer holds for a finding and what it was about; when that changes, it asks again.
import { digestOf } from '../abi/digest.ts';
import { RULES, type Finding, type Level, type Rule } from './finding.ts';

export const TRIAGE_PATH = '.wiki/triage.jsonl';
export const FIRINGS_PATH = '.wiki/firings.json';
export const ANSWERS = ['do', 'defer', 'kill'] as const;
export type Answer = (typeof ANSWERS)[number];

export interface TriageRecord {
  readonly id: string;
  readonly rule: Rule;
  readonly file: string;
  readonly target: string;
  readonly answer: Answer;
  /** `defer`: shown again from this day on. */
  readonly until?: string;
  readonly by?: string;
  readonly at: string;
}

export interface TriagedFinding extends Finding {
  readonly id: string;
  readonly level: Level;
  readonly answer?: Answer;
  /** The pattern has fired more than once: worth a guard, not another fix. */
  readonly guard?: true;
}

/** Rules whose findings are about one line; the others are about the whole page. */
const OF_A_LINE: ReadonlySet<Rule> = new Set([
  'broken-link',
  'ambiguous-link',
  'outside-link',
  'empty-link',
  'link-spelling',
  'undefined-reference',
  'tasks',
  'unknown-frontmatter',
  'bad-date',
]);

export interface PageText {
  readonly digest: string;
  readonly lines: readonly string[];
}

/** Lint gives the same object while the page is the same: then its line is not read again. */
const ids = new WeakMap<Finding, { readonly digest: string | undefined; readonly id: string }>();

function knownId(finding: Finding, page: PageText | undefined): string {
  const known = ids.get(finding);
  if (known !== undefined && known.digest === page?.digest && page !== undefined) return known.id;
  const id = findingId(finding, page);
  ids.set(finding, { digest: page?.digest, id });
  return id;
}

/** Stable while the page is moved about in, and another one as soon as the line (or page) says something else. */
export function findingId(finding: Finding, page: PageText | undefined): string {
  const { rule, file, target, line } = finding;
  const content = finding.about ?? (OF_A_LINE.has(rule) ? (page?.lines[line - 1]?.trim() ?? '') : (page?.digest ?? ''));
  return digestOf([rule, file, target, content].join('\0')).slice('sha256-'.length, 'sha256-'.length + 12);
}

/** The newest record of each finding. */
export function parseTriage(text: string): ReadonlyMap<string, TriageRecord> {
  const records = new Map<string, TriageRecord>();
  for (const line of text.split('\n')) {
    try {
      const record = JSON.parse(line) as Partial<TriageRecord>;
      if (typeof record.id === 'string' && (ANSWERS as readonly unknown[]).includes(record.answer))
        records.set(record.id, record as TriageRecord);
    } catch {
      // A line that is none answers nothing.
    }
  }
  return records;
}

/** Patterns (rule and target) by how often they began to fire, and what fired at the last recorded run. */
export interface Firings {
  readonly counts: Readonly<Record<string, number>>;
  readonly present: readonly string[];
}

const MAX_RECORDED = 10_000;

export function parseFirings(text: string): Firings {
  try {
    const { counts, present } = JSON.parse(text) as Partial<Firings>;
    if (typeof counts === 'object' && counts !== null && Array.isArray(present))
      return { counts, present: present.filter((key) => typeof key === 'string') };
  } catch {
    // No run was recorded.
  }
  return { counts: {}, present: [] };
}

function patternOf({ rule, target }: Finding): string {
  return `${rule} ${target}`;
}

/** Firings after this run: a finding that was there at the last run has not fired again. Info and advice do not count. */
export function recordFirings(before: Firings, findings: readonly Finding[]): Firings {
  const there = new Set(before.present);
  const counts = new Map(Object.entries(before.counts));
  const present = new Set<string>();
  for (const finding of findings) {
    const { level } = RULES[finding.rule];
    if (level === 'info' || level === 'advice') continue;
    const key = `${finding.rule} ${finding.file} ${finding.target}`;
    if (present.has(key) || present.size >= MAX_RECORDED) continue;
    present.add(key);
    if (!there.has(key)) counts.set(patternOf(finding), (counts.get(patternOf(finding)) ?? 0) + 1);
  }
  return {
    counts: Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, MAX_RECORDED)),
    present: [...present].sort(),
  };
}

export interface TriageInput {
  readonly answers: ReadonlyMap<string, TriageRecord>;
  readonly firings: Firings;
  readonly today: string;
  page(path: string): PageText | undefined;
}

/** What still asks for an answer, and how many do not: killed for good, deferred until a day that has not come. */
export function triage(
  findings: readonly Finding[],
  { answers, firings, today, page }: TriageInput,
): { readonly open: readonly TriagedFinding[]; readonly settled: readonly TriagedFinding[] } {
  const open: TriagedFinding[] = [];
  const settled: TriagedFinding[] = [];
  const pages = new Map<string, PageText | undefined>();
  for (const finding of findings) {
    if (!pages.has(finding.file)) pages.set(finding.file, page(finding.file));
    const id = knownId(finding, pages.get(finding.file));
    const record = answers.get(id);
    const { level } = RULES[finding.rule];
    const triaged: TriagedFinding = {
      ...finding,
      id,
      level,
      ...(record === undefined ? {} : { answer: record.answer }),
      ...((firings.counts[patternOf(finding)] ?? 0) > 1 && level !== 'info' && level !== 'advice' ? { guard: true as const } : {}),
    };
    const quiet = record?.answer === 'kill' || (record?.answer === 'defer' && (record.until ?? '') > today);
    (quiet ? settled : open).push(triaged);
  }
  return { open, settled };
}
