// What `.ctx/` of a wiki says: the same findings as text for people, as JSON, and as lines of KEY=VALUE.
import type { Level } from './finding.ts';
import { heartbeatOf, queueState } from './lint-time.ts';
import type { LintInput } from './lint-input.ts';
import { changeName } from './queue.ts';
import type { QueuedChange } from './queue.ts';
import type { TriagedFinding } from './triage.ts';

export interface LintReport {
  readonly open: readonly TriagedFinding[];
  readonly settled: number;
  readonly lastLint: string | undefined;
  readonly pages: number;
  readonly gaps: readonly LogGap[];
}

/** A page that changed and that no log entry since names; by whom, where the queue knows. */
export interface LogGap {
  readonly path: string;
  readonly by: string | undefined;
}

const SHOWN_GAPS = 10;
const LEVELS: readonly Level[] = ['error', 'warning', 'advice', 'info'];

export function lintReport(input: LintInput, open: readonly TriagedFinding[], settled: number): LintReport {
  return {
    open,
    settled,
    lastLint: heartbeatOf(input.indexText ?? ''),
    pages: input.index.curated().length,
    gaps: logGaps(input, open),
  };
}

/** WIK-42: what waits in the queue first, then what the pages' own dates and git say; each page once. */
export function logGaps(input: Pick<LintInput, 'queue' | 'mentions' | 'index'>, open: readonly TriagedFinding[]): readonly LogGap[] {
  const gaps = new Map<string, LogGap>();
  for (const change of queueState(input).waiting) {
    const path = changeName(change);
    gaps.set(path, { path, by: makerOf(change) ?? gaps.get(path)?.by });
  }
  for (const { rule, file } of open) if (rule === 'log-gap' && !gaps.has(file)) gaps.set(file, { path: file, by: undefined });
  return [...gaps.values()];
}

function makerOf({ program, session, uid }: QueuedChange): string | undefined {
  const parts = [session, program, session === undefined && program === undefined && uid !== undefined ? `uid ${uid}` : undefined];
  const known = parts.filter((part) => part !== undefined);
  return known.length === 0 ? undefined : known.join(', ');
}

/** `LOG GAP: …`; undefined when there is none. */
export function gapLine(gaps: readonly LogGap[]): string | undefined {
  if (gaps.length === 0) return undefined;
  const shown = gaps.slice(0, SHOWN_GAPS).map(({ path, by }) => (by === undefined ? plain(path) : `${plain(path)} (${plain(by)})`));
  return `LOG GAP: ${shown.join(', ')}${gaps.length > SHOWN_GAPS ? `, and ${gaps.length - SHOWN_GAPS} more` : ''}`;
}

export function lintText(name: string, report: LintReport): string {
  const gap = gapLine(report.gaps);
  const lines = [
    `# Lint of ${name}`,
    '',
    `Last lint: ${report.lastLint ?? 'never'}`,
    ...(gap === undefined ? [] : [gap]),
    '',
    countLine(report),
  ];
  for (const level of LEVELS) {
    const byRule = new Map<string, TriagedFinding[]>();
    for (const finding of report.open)
      if (finding.level === level) byRule.set(finding.rule, [...(byRule.get(finding.rule) ?? []), finding]);
    for (const [rule, list] of byRule) {
      lines.push('', `## ${rule} (${level}, ${list.length})`, '');
      for (const { id, file, line, message, answer, guard } of list)
        lines.push(
          `- \`${id.slice(0, 8)}\` ${plain(file)}:${line} ${plain(message)}${answer === undefined ? '' : ` [${answer}]`}${guard === true ? ' [fired twice: worth a guard]' : ''}`,
        );
    }
  }
  if (report.open.length > 0)
    lines.push('', 'Answer with `ctx wiki lint --answer ID=do|defer|kill`; `--fix` puts right what needs no judgment.');
  return `${lines.join('\n')}\n`;
}

export function lintJson({ open }: LintReport): string {
  return `${JSON.stringify(open)}\n`;
}

export function lintStatus(report: LintReport): string {
  const values: readonly (readonly [string, string | number])[] = [
    ['pages', report.pages],
    ['last_lint', report.lastLint ?? ''],
    ['log_gap', JSON.stringify(report.gaps.map(({ path }) => path))],
    ...LEVELS.map((level) => [level, countOf(report, level)] as const),
    ['answered', report.settled],
  ];
  return values.map(([key, value]) => `${key}=${value}\n`).join('');
}

function countOf({ open }: LintReport, level: Level): number {
  return open.filter((finding) => finding.level === level).length;
}

function countLine(report: LintReport): string {
  const [errors, warnings, advice, notes] = LEVELS.map((level) => countOf(report, level));
  return `${report.pages} pages: ${errors} errors, ${warnings} warnings, ${advice} advice, ${notes} notes, ${report.settled} answered`;
}

/** Names and texts of others make no line of their own. */
function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (sign) => `\\x${sign.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
