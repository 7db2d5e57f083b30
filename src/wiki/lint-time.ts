// Findings about what has aged: pages, plans, the log, the queue, the last lint.
import type { Finding } from './finding.ts';
import type { LintInput } from './lint-input.ts';
import { changeName } from './queue.ts';

const DAY_MS = 86_400_000;

function dayBefore(time: string): string {
  return new Date(Date.parse(time) - DAY_MS).toISOString().slice(0, 10);
}

export function daysBetween(from: string, to: string): number {
  return Math.floor((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / DAY_MS);
}

export function staleFindings({ index, today }: LintInput): readonly Finding[] {
  const found: Finding[] = [];
  for (const { path, facts } of index.curated()) {
    if (facts.frontmatter === undefined) continue;
    const say = (key: string, message: string): void =>
      void found.push({ rule: 'stale', file: path, line: facts.frontmatter?.lines.get(key) ?? 1, target: key, message });
    if (facts.staleAfter !== undefined) {
      if (facts.staleAfter < today) say('stale_after', `was to be looked at again after ${facts.staleAfter}`);
      continue;
    }
    const [last] = [facts.verified, facts.lastUpdated].filter((day) => day !== undefined).sort((a, b) => (a < b ? 1 : -1));
    if (last === undefined) continue;
    const days = daysBetween(last, today);
    if (days > index.config.staleDays)
      say(facts.verified === last ? 'verified' : 'last_updated', `nobody has looked at it for ${days} days (since ${last})`);
  }
  return found;
}

/** A plan whose references were last checked before a page it cites was last changed. */
export function reconcileFindings({ index }: LintInput): readonly Finding[] {
  const found: Finding[] = [];
  for (const page of index.curated()) {
    const { facts, path } = page;
    const plan =
      facts.lastReconciled !== undefined || (facts.type !== undefined && index.config.planTypes.includes(facts.type.toLowerCase()));
    if (!plan) continue;
    const checked = facts.lastReconciled ?? facts.lastUpdated;
    if (checked === undefined) continue;
    for (const target of page.targets) {
      const cited = index.get(target);
      if (target === path || cited?.place !== 'page' || cited.facts.lastUpdated === undefined) continue;
      if (cited.facts.type !== undefined && index.config.planTypes.includes(cited.facts.type.toLowerCase())) continue;
      if (cited.facts.lastUpdated > checked)
        found.push({
          rule: 'not-reconciled',
          file: path,
          line: facts.frontmatter?.lines.get('last_reconciled') ?? 1,
          target,
          message: `was last reconciled ${checked}, but ${target} changed ${cited.facts.lastUpdated}`,
          about: `${checked} ${cited.facts.lastUpdated}`,
        });
    }
  }
  return found;
}

/** A page changed, and no entry since names it: by its own date, and by what git has as changed. */
export function logGapFindings({ index, mentions, uncommitted }: LintInput): readonly Finding[] {
  const found = new Map<string, Finding>();
  for (const { path, facts } of index.curated()) {
    const changed = facts.lastUpdated;
    // What is older than the log was never to be in it.
    if (changed === undefined || (mentions.oldest !== undefined && changed < mentions.oldest)) continue;
    if (!mentions.since(changed, path, facts.title))
      found.set(path, {
        rule: 'log-gap',
        file: path,
        line: facts.frontmatter?.lines.get('last_updated') ?? 1,
        target: changed,
        message: `changed ${changed}, and no log entry since names it`,
      });
  }
  for (const path of uncommitted?.paths ?? []) {
    const page = index.get(path);
    const later = uncommitted?.later.has(path) === true;
    if (page?.place !== 'page' || found.has(path) || (!later && uncommitted?.mentions.since('', path, page.facts.title) === true)) continue;
    found.set(path, {
      rule: 'log-gap',
      file: path,
      line: 1,
      target: 'uncommitted',
      message: `changed since the ${later ? 'log was written' : 'last commit'}, and no log entry since names it`,
    });
  }
  return [...found.values()];
}

export function judgmentFindings({ log }: LintInput): readonly Finding[] {
  return log
    .filter(({ judgments }) => judgments.length === 0)
    .map(({ file, line, day, title, text }) => ({
      rule: 'judgment' as const,
      file,
      line,
      target: day,
      message: `the entry ${title === '' ? `of ${day}` : `"${title}"`} has no Judgment: line`,
      about: text,
    }));
}

export function rotationFindings({ logFiles, index }: LintInput): readonly Finding[] {
  return logFiles
    .filter(({ path, sizeBytes }) => !path.includes('/') && sizeBytes > index.config.logBytes)
    .map(({ path, sizeBytes }) => ({
      rule: 'log-rotation' as const,
      file: path,
      line: 1,
      target: path,
      message: `has ${sizeBytes} bytes (planned: ${index.config.logBytes}); entries of earlier years can move to log/`,
    }));
}

/** Which changes of the queue the log has caught up with, and which wait. */
export function queueState({ queue, mentions, index }: Pick<LintInput, 'queue' | 'mentions' | 'index'>): {
  readonly done: ReadonlySet<string>;
  readonly waiting: readonly LintInput['queue']['changes'][number][];
} {
  const done = new Set<string>();
  const waiting = queue.changes.filter((change) => {
    const known = new Set(change.logged);
    // Days of a log may be those of another time zone; where it is known what the log had, the day before counts too.
    const day = change.logged === undefined ? change.time.slice(0, 10) : dayBefore(change.time);
    const logged =
      change.op === 'event'
        ? mentions.tells(day, change.what ?? change.path, change.about, known)
        : mentions.since(day, change.path, index.get(change.path)?.facts.title, known);
    if (logged) done.add(change.id);
    return !logged;
  });
  return { done, waiting };
}

export function queueFindings(input: LintInput): readonly Finding[] {
  const { waiting, done } = queueState(input);
  const found: Finding[] = waiting.map((change) => ({
    rule: 'queue' as const,
    file: change.path,
    line: 1,
    target: change.id,
    message: `${change.op === 'event' ? changeName(change) : change.op} of ${change.time}${change.session === undefined ? '' : ` by ${change.session}`} has no log entry`,
    about: change.id,
  }));
  if (done.size > 0)
    found.push({
      rule: 'queue',
      file: '.update-queue',
      line: 1,
      target: '',
      message: `${done.size} changes are in the log and can leave the queue`,
    });
  for (const { line } of input.queue.bad)
    found.push({
      rule: 'queue',
      file: '.update-queue',
      line,
      target: '',
      message: 'is no change: not a JSON object with id, time, path and op',
    });
  return found;
}

const HEARTBEAT = /^\W*last lint\W+(\d{4}-\d{2}-\d{2})/i;
const HEARTBEAT_LINES = 15;

/** Day of the last lint as the index page shows it on its first lines. */
export function heartbeatOf(indexText: string): string | undefined {
  for (const line of indexText.split('\n').slice(0, HEARTBEAT_LINES)) {
    const day = HEARTBEAT.exec(line)?.[1];
    if (day !== undefined) return day;
  }
  return undefined;
}

export function heartbeatFindings({ index, indexText, today }: LintInput): readonly Finding[] {
  const file = index.special('index')[0]?.path;
  if (indexText === undefined || file === undefined) return [];
  const last = heartbeatOf(indexText);
  const say = (message: string): readonly Finding[] => [{ rule: 'heartbeat', file, line: 1, target: last ?? '', message }];
  if (last === undefined) return say('does not say when it was last linted; run: ctx wiki lint --fix');
  const days = daysBetween(last, today);
  return days > index.config.lintDays
    ? say(`was last linted ${days} days ago (planned: every ${index.config.lintDays}); run: ctx wiki lint --fix`)
    : [];
}
