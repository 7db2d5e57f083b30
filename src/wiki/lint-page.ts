// Findings about one page by itself.
import type { Finding, Rule } from './finding.ts';
import { dayOf } from './frontmatter.ts';
import type { IndexedPage } from './wiki-index.ts';

/** Keys of the Open Knowledge Format 0.2, of this wiki, and of the editors that people use on it. */
const KNOWN_KEYS: ReadonlySet<string> = new Set(
  (
    'type id title description summary resource tags timestamp sources generated verified status stale_after okf_version ' +
    'last_updated last_reconciled created updated modified date author owner aliases alias cssclass cssclasses publish permalink lang related up next prev version name license'
  ).split(' '),
);
const DATE_KEYS = ['last_updated', 'last_reconciled', 'stale_after'] as const;
const MAX_TASK_WORDS = 120;

export function pageFindings(page: IndexedPage, wiki: boolean, extraKeys: readonly string[]): readonly Finding[] {
  const { facts, path, place } = page;
  const found: Finding[] = [];
  const say = (rule: Rule, line: number, target: string, message: string): void =>
    void found.push({ rule, file: path, line, target, message });
  if (facts.problem !== undefined) say(facts.problem.kind === 'binary' ? 'binary-page' : 'large-page', 1, '', facts.problem.message);
  for (const line of facts.markdown.unreadLines) say('large-page', line, '', 'a line with thousands of brackets was not read');
  if (facts.frontmatterFault !== undefined) say('frontmatter', facts.frontmatterFault.line, '', facts.frontmatterFault.message);
  if (place === 'source' || place === 'ignored') return found;
  for (const task of facts.markdown.tasks)
    if (!task.done) say('tasks', task.line, task.text.slice(0, MAX_TASK_WORDS), `open task: ${task.text.slice(0, MAX_TASK_WORDS)}`);
  const { frontmatter } = facts;
  if (frontmatter !== undefined) {
    for (const [key, line] of frontmatter.lines)
      if (!KNOWN_KEYS.has(key) && !extraKeys.includes(key))
        say('unknown-frontmatter', line, key, `${key} is no key that anything reads${nearest(key)}`);
    for (const key of DATE_KEYS) {
      const value = frontmatter.values.get(key);
      if (value !== undefined && value !== '' && dayOf(value) === undefined)
        say('bad-date', frontmatter.lines.get(key) ?? 1, key, `${key} is not a date such as 2026-04-20`);
    }
  }
  if (wiki && place === 'page' && facts.type === undefined && facts.problem === undefined && facts.frontmatterFault === undefined)
    say('missing-type', 1, 'type', 'has no type in its frontmatter');
  return found;
}

/** A slip of the pen is told from a key of one's own. */
function nearest(key: string): string {
  for (const known of KNOWN_KEYS)
    if (known.length > 3 && distance(key.toLowerCase().replaceAll('-', '_'), known) <= 2) return `; is ${known} meant?`;
  return '';
}

function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1)
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length] as number;
}
