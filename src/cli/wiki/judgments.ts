// ctx wiki judgments: why things are as they are, from the log.
import type { Command } from 'commander';

import { terms } from '../../search/terms.ts';
import { EXIT } from '../exit-codes.ts';
import { examples, type Shell } from '../shell.ts';
import { plain, requireWiki } from './place.ts';

export function registerJudgments(wiki: Command, shell: Shell): void {
  wiki
    .command('judgments')
    .description('Judgment: lines of the log, newest first')
    .argument('[words...]', 'only those about these words')
    .option('-d, --dir <dir>', 'the wiki (default: the one here)')
    .option('--json', 'print an array')
    .addHelpText(
      'after',
      examples(['ctx wiki judgments', 'all of them'], ['ctx wiki judgments gateway timeout', 'why the gateway is as it is']),
    )
    .action((words: readonly string[], options: { dir?: string; json?: boolean }) => {
      const { terminal } = shell;
      const asked = new Set(terms(words.join(' ')));
      const found = requireWiki(options.dir)
        .log()
        .flatMap((entry) =>
          entry.judgments.map(({ line, text }) => ({
            day: entry.day,
            title: entry.title,
            file: entry.file,
            line,
            judgment: text,
            entry: entry.text,
          })),
        )
        .filter(({ entry }) => {
          const has = new Set(terms(entry));
          return [...asked].every((term) => has.has(term));
        })
        .sort((a, b) => (a.day === b.day ? b.line - a.line : a.day < b.day ? 1 : -1))
        .map(({ day, title, file, line, judgment }) => ({ day, title, file, line, judgment }));
      if (options.json === true) terminal.json(found);
      else
        for (const { day, title, file, line, judgment } of found)
          terminal.line(`${day} ${plain(title)} ${terminal.style('dim', `${file}:${line}`)}\n  ${plain(judgment)}`);
      if (found.length === 0) shell.exit(EXIT.failed);
    });
}
