// ctx wiki drift: copies of knowledge against the wiki, fact by fact.
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';

import { CONFIG_PATH, type DeclaredCopy } from '../../wiki/config.ts';
import { schemaMark, withConfirmed } from '../../wiki/confirm.ts';
import { withLinks, type Drift, type DriftKind } from '../../wiki/drift.ts';
import { compareCopies, type CopyReport } from '../../wiki/lint-outside.ts';
import type { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { replaceFile } from '../../wiki/write.ts';
import { digestOf } from '../../abi/digest.ts';
import { CtxError } from '../../abi/errors.ts';
import { EXIT } from '../exit-codes.ts';
import { examples, type Shell } from '../shell.ts';
import { linkTo } from '../../wiki/link-text.ts';
import { home, plain, requireWiki, today } from './place.ts';

interface Options {
  readonly dir?: string;
  readonly forwarded?: boolean;
  readonly fix?: boolean;
  readonly confirm?: readonly string[];
  readonly json?: boolean;
}

export function registerDrift(wiki: Command, shell: Shell): void {
  wiki
    .command('drift')
    .description('compare copies (an agent’s memory, pasted instructions) with the wiki; the wiki wins')
    .argument('[copy...]', 'files or directories (default: the copies declared in .wiki/config.yaml, and the memory of Claude Code)')
    .option('-d, --dir <dir>', 'the wiki (default: the one here)')
    .option('--forwarded', 'what is named is forwarded instructions: claims')
    .option('--fix', 'replace each fact of a copy that the wiki has by a link to its page (forwarded instructions stay as they are)')
    .option('--confirm <name...>', 'a declared copy says what the wiki and its schema say now: a person has looked')
    .option('--json', 'print an array')
    .addHelpText(
      'after',
      examples(
        ['ctx wiki drift', 'declared copies; exit 5 when one says something else'],
        ['ctx wiki drift ../app/CLAUDE.md', 'one file'],
        ['ctx wiki drift --fix ../app/CLAUDE.md', 'its facts become links'],
        ["ctx wiki drift --confirm 'memory of the agent'", 'lint asks again when the schema changes, or after 90 days'],
      ),
    )
    .action((given: readonly string[], options: Options) => {
      const { terminal } = shell;
      const place = requireWiki(options.dir);
      if (options.confirm !== undefined) return confirm(shell, place, options.confirm);
      const kind = options.forwarded === true ? 'forwarded' : 'copy';
      const named = given.map((path): DeclaredCopy => {
        if (statSync(path, { throwIfNoEntry: false }) === undefined)
          throw new CtxError('wiki.copy', 'ENOENT', 'does not exist', { where: path });
        return { path: resolve(path), name: path, kind, confirmed: undefined };
      });
      const memory: DeclaredCopy = {
        path: '~/.claude/projects/*/memory',
        name: 'memory of Claude Code',
        kind: 'copy',
        confirmed: undefined,
      };
      const declared = place.config.copies.some(({ path }) => path === memory.path)
        ? place.config.copies
        : [...place.config.copies, memory];
      const reports = compareCopies(place, named.length > 0 ? named : declared, home(shell));
      if (options.fix === true) return fix(shell, place, reports);
      const facts = reports.flatMap(({ copy, path, drifts }) =>
        drifts.map((drift) => ({
          copy: path,
          kind: copy.kind,
          line: drift.line,
          says: drift.said,
          page: drift.page ?? null,
          page_line: drift.pageLine ?? null,
          page_says: drift.says ?? null,
          verdict: drift.kind,
          wins: drift.kind === 'differs' || drift.kind === 'stale' ? 'wiki' : null,
          advice: adviceOf(drift, path),
        })),
      );
      if (options.json === true) terminal.json(facts);
      else {
        for (const fact of facts) {
          const label = fact.kind === 'forwarded' ? 'claims' : 'says';
          const where = `${plain(fact.copy)}:${fact.line}`;
          if (fact.wins !== null) {
            const place = fact.page === null ? '' : `${plain(fact.page)}:${fact.page_line} `;
            const said = `${terminal.style('red', fact.verdict)} ${where} ${label} "${plain(fact.says)}"`;
            terminal.line(`${said}\n  wiki wins: ${place}"${plain(fact.page_says ?? '')}"; ${plain(fact.advice)}`);
          } else if (fact.verdict === 'only')
            terminal.line(`${terminal.style('yellow', 'only')} ${where} ${label} "${plain(fact.says)}"\n  ${plain(fact.advice)}`);
          else terminal.line(`${terminal.style('yellow', fact.verdict)} ${where}: ${plain(fact.advice)}`);
        }
        const many = (kind: DriftKind): number => facts.filter(({ verdict }) => verdict === kind).length;
        terminal.note(
          `${reports.length} copies, ${many('differs')} facts differ, ${many('stale')} are stale, ${many('copied')} are copied, ${many('only')} are only there`,
        );
      }
      if (facts.some(({ wins }) => wins !== null)) shell.exit(EXIT.findings);
      return undefined;
    });
}

function confirm(shell: Shell, place: WikiDirectory, names: readonly string[]): void {
  const before = place.text(CONFIG_PATH) ?? '';
  const after = withConfirmed(before, names, today(shell), schemaMark(place));
  if (!replaceFile(place.root, CONFIG_PATH, after, digestOf(before)))
    throw new CtxError('wiki.changed', 'ESTALE', 'changed meanwhile', { where: CONFIG_PATH, next: 'confirm again' });
  shell.terminal.line(`confirmed: ${names.map(plain).join(', ')}`);
}

function adviceOf({ kind, page }: Drift, path: string): string {
  if (kind === 'only') return `the wiki does not say it: ctx wiki ingest ${path}, or remove it`;
  return page === undefined ? 'remove it' : `replace by a link to ${page}`;
}

/** The wiki wins, so what a copy said is not kept. Claims of others are not ours to change. */
function fix({ terminal }: Shell, place: WikiDirectory, reports: readonly CopyReport[]): void {
  for (const { copy, path, drifts } of reports) {
    if (drifts.length === 0) continue;
    if (copy.kind === 'forwarded') {
      terminal.note(`${plain(path)}: ${drifts.length} claims; forwarded instructions stay as they are`);
      continue;
    }
    const before = readFileSync(path, 'utf8');
    const { text, replaced } = withLinks(before, drifts, (page, pageLine) => {
      const target = relative(dirname(path), join(place.root, page));
      return linkTo(`${page}, line ${pageLine}`, target);
    });
    if (replaced === 0) continue;
    if (replaceFile(dirname(path), basename(path), text, digestOf(before)))
      terminal.line(`${plain(path)}: ${replaced} facts are links now`);
    else terminal.note(`${plain(path)} changed meanwhile, and was left as it is`);
  }
}
