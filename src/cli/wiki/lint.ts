// ctx wiki lint: what is wrong with a wiki, or with any directory of Markdown. Writes nothing unless asked.
import type { Command } from 'commander';

import { digestOf } from '../../abi/digest.ts';
import { fixes } from '../../wiki/fix.ts';
import { logGaps } from '../../wiki/lint-report.ts';
import { logEntry } from '../../wiki/log.ts';
import { RULES, type Level } from '../../wiki/finding.ts';
import { ANSWERS, FIRINGS_PATH, parseFirings, recordFirings, TRIAGE_PATH, type Answer, type TriagedFinding } from '../../wiki/triage.ts';
import type { Linted } from '../../wiki/triaged.ts';
import { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { appendToFile, replaceFile } from '../../wiki/write.ts';
import { usageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { examples, type Shell } from '../shell.ts';
import type { Style } from '../terminal.ts';
import { author, lintWiki, now, plain, today, wikiRoot } from './place.ts';

interface LintArguments {
  readonly json?: boolean;
  readonly fix?: boolean;
  readonly all?: boolean;
  readonly rules?: boolean;
  readonly answer?: readonly string[];
}

const STYLES: Readonly<Record<Level, Style>> = { error: 'red', warning: 'yellow', advice: 'cyan', info: 'dim' };
const SHOWN_PER_RULE = 20;

export function registerLint(wiki: Command, shell: Shell): void {
  wiki
    .command('lint')
    .description('check links, freshness, log, layout; without --fix nothing is written')
    .argument('[dir]', 'the wiki, or any directory of Markdown')
    .option('--json', 'print an array of findings')
    .option('--fix', 'put right what needs no judgment, and stamp the day of this lint')
    .option('--all', 'every finding, also those that were answered')
    .option('--rules', 'print the rules')
    .option('--answer <id=answer...>', `answer a finding: ${ANSWERS.join(', ')} (defer takes days: ID=defer:14)`)
    .addHelpText(
      'after',
      examples(
        ['ctx wiki lint', 'the wiki here; exit 5 when something is wrong'],
        ['ctx wiki lint --json DIR', 'any directory of Markdown'],
        ['ctx wiki lint --fix', 'put right what can be'],
        ['ctx wiki lint --answer 3f2a90c1=kill', 'this finding is fine, until its content changes'],
      ),
    )
    .action(async (directory: string | undefined, options: LintArguments) => {
      const { terminal } = shell;
      if (options.rules === true) {
        for (const [rule, { level, about, fix }] of Object.entries(RULES))
          terminal.line(`${rule}\t${level}\t${about}${fix === true ? ' (fixed by --fix)' : ''}`);
        return;
      }
      const root = wikiRoot(directory);
      const place = WikiDirectory.open(root);
      let linted = await lintWiki(shell, place);
      if (options.answer !== undefined) {
        answer(shell, place, linted, options.answer);
        linted = await lintWiki(shell, place);
      }
      if (options.fix === true) {
        fix(shell, place, linted);
        place.refresh();
        linted = await lintWiki(shell, place);
        record(shell, place, linted);
      }
      const shown = options.all === true ? [...linted.open, ...linted.settled] : linted.open;
      if (options.json === true) terminal.json(shown);
      else show(shell, shown, linted.settled.length, options.all === true);
      if (linted.open.some(({ level }) => level === 'error' || level === 'warning')) shell.exit(EXIT.findings);
    });
}

function answer(shell: Shell, wiki: WikiDirectory, linted: Linted, given: readonly string[]): void {
  const records = given.map((text) => {
    const match = /^([0-9a-f]{4,12})=(do|defer|kill)(?::([0-9]{1,4}))?$/.exec(text);
    if (match === null) throw usageError(`${text} is no answer`, `write ID=${ANSWERS.join(', ID=')}`);
    const found = [
      ...new Map(
        [...linted.open, ...linted.settled].filter(({ id }) => id.startsWith(match[1] ?? '')).map((each) => [each.id, each]),
      ).values(),
    ];
    const [finding] = found;
    if (finding === undefined || found.length > 1) throw usageError(`${match[1]} names ${found.length} findings`, 'take more of the id');
    const choice = match[2] as Answer;
    const until = new Date(Date.parse(`${today(shell)}T00:00:00Z`) + Number(match[3] ?? wiki.config.deferDays) * 86_400_000)
      .toISOString()
      .slice(0, 10);
    const { id, rule, file, target } = finding;
    return { id, rule, file, target, answer: choice, ...(choice === 'defer' ? { until } : {}), by: author(shell), at: now(shell) };
  });
  appendToFile(wiki.root, TRIAGE_PATH, records.map((each) => `${JSON.stringify(each)}\n`).join(''));
}

function fix(shell: Shell, wiki: WikiDirectory, linted: Linted): void {
  const text = (path: string): string | undefined => wiki.text(path);
  // What somebody chose to leave alone is left alone.
  const wanted = linted.open;
  const pages: string[] = [];
  const input = wiki.lintInput({ today: today(shell), outside: true });
  // A name in our entry would tell of what somebody else changed, too: the entry that they owe is one for both.
  const owed = new Set(logGaps(input, wanted).map(({ path }) => path));
  for (const each of fixes(wanted, { ...input, text, now: now(shell) })) {
    if (each.append === true) appendToFile(wiki.root, each.path, each.text);
    else if (!replaceFile(wiki.root, each.path, each.text, each.base)) {
      shell.terminal.note(`${plain(each.path)} changed meanwhile and was left as it is`);
      continue;
    }
    if (wiki.index.get(each.path)?.place === 'page' && !owed.has(each.path)) pages.push(each.path);
    for (const what of each.what) shell.terminal.note(`fixed ${plain(each.path)}: ${plain(what)}`);
  }
  const log = wiki.logPath();
  if (pages.length === 0 || log === undefined) return;
  // A change like any other: last, so that the entry is newer than what it tells of.
  const changes = pages.map((path) => `Changed: ${path}`);
  appendToFile(wiki.root, log, logEntry(today(shell), 'lint --fix', changes, 'links spelt as their files are; nothing else was touched.'));
}

/** Only a lint that was asked to write counts what fires again. */
function record(shell: Shell, wiki: WikiDirectory, linted: Linted): void {
  if (wiki.index.special('index').length === 0) return;
  const before = wiki.text(FIRINGS_PATH);
  const after = `${JSON.stringify(recordFirings(parseFirings(before ?? ''), linted.findings), null, 1)}\n`;
  if (after !== before && !replaceFile(wiki.root, FIRINGS_PATH, after, before === undefined ? undefined : digestOf(before)))
    shell.terminal.note(`${FIRINGS_PATH} changed meanwhile and was left as it is`);
}

function show(shell: Shell, findings: readonly TriagedFinding[], settled: number, all: boolean): void {
  const { terminal } = shell;
  const order: readonly Level[] = ['error', 'warning', 'advice', 'info'];
  const byRule = new Map<string, TriagedFinding[]>();
  for (const level of order)
    for (const finding of findings) if (finding.level === level) byRule.set(finding.rule, [...(byRule.get(finding.rule) ?? []), finding]);
  for (const [rule, list] of byRule) {
    const level = list[0]?.level ?? 'info';
    terminal.line(`${terminal.style(STYLES[level], rule)} (${list.length})`);
    for (const { id, file, line, message, answer: given, guard } of all ? list : list.slice(0, SHOWN_PER_RULE)) {
      const marks = `${given === undefined ? '' : ` [${given}]`}${guard === true ? ' [fired twice: worth a guard]' : ''}`;
      terminal.line(`  ${terminal.style('dim', id.slice(0, 8))} ${plain(file)}:${line} ${plain(message)}${marks}`);
    }
    if (!all && list.length > SHOWN_PER_RULE) terminal.line(`  … ${list.length - SHOWN_PER_RULE} more (--all)`);
  }
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  const rest = settled === 0 ? '' : `, ${settled} answered`;
  terminal.note(`${count('error')} errors, ${count('warning')} warnings, ${count('advice')} advice, ${count('info')} notes${rest}`);
  if (findings.length > 0 && !all) terminal.note('answer with: ctx wiki lint --answer ID=do|defer|kill');
}
