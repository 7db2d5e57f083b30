// ctx wiki query: schema, index, then the two to four pages that answer, within a budget of tokens.
import type { Command } from 'commander';

import { openCounter } from '../../tokens/counter.ts';
import { chooseMemory, type MemoryItem } from '../../wiki/memory.ts';
import { memoryPages } from '../../wiki/memory-pages.ts';
import { usageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { examples, type Shell } from '../shell.ts';
import { plain, requireWiki } from './place.ts';

interface QueryArguments {
  readonly budget: string;
  readonly dir?: string;
  readonly plan?: readonly string[];
  readonly text?: boolean;
  readonly json?: boolean;
}

export function registerQuery(wiki: Command, shell: Shell): void {
  wiki
    .command('query')
    .description('the pages and sections that answer a question, with the reason')
    .argument('<question...>', 'words')
    .option('-d, --dir <dir>', 'the wiki (default: the one here)')
    .option('-b, --budget <tokens>', 'tokens in all', '4000')
    .option('--plan <page...>', 'a plan that is carried out: the pages it cites come first')
    .option('--text', 'print what was chosen, as a model is given it')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx wiki query which port does the gateway use', 'what to read, and why'],
        ['ctx wiki query --text --budget 2000 "how do we deploy"', 'the text itself'],
        ['ctx wiki query --plan plans/q3.md next steps', 'a plan with what it cites'],
      ),
    )
    .action((words: readonly string[], options: QueryArguments) => {
      const { terminal } = shell;
      const budget = Number(options.budget);
      if (!Number.isInteger(budget) || budget < 1 || budget > 10_000_000) throw usageError('--budget is a whole number of tokens');
      const place = requireWiki(options.dir);
      for (const plan of options.plan ?? [])
        if (place.index.get(plan) === undefined) throw usageError(`${plan} is no page of ${place.root}`, 'name it by its path in the wiki');
      const counter = openCounter();
      const memory = chooseMemory(memoryPages(place, options.plan), words.join(' '), budget, (text) => counter.count(text));
      const answers = memory.items.filter(({ kind }) => kind !== 'schema' && kind !== 'index');
      if (options.json === true) terminal.json({ root: place.root, budget, ...memory });
      else if (options.text === true)
        for (const item of memory.items) terminal.line(`<!-- ${plain(where(item))} -->\n${item.text.trimEnd()}\n`);
      else {
        for (const item of memory.items)
          terminal.line(`${terminal.style('cyan', plain(where(item)))}\t${item.tokens}\t${plain(item.reason)}`);
        terminal.note(`${memory.tokens} of ${budget} tokens`);
        for (const { path, reason } of memory.left.slice(0, 5)) terminal.note(`left out: ${plain(path)} (${plain(reason)})`);
      }
      if (answers.length === 0) shell.exit(EXIT.failed);
    });
}

function where({ path, heading, startLine, endLine }: MemoryItem): string {
  const lines = startLine === undefined ? '' : `:${startLine}-${endLine ?? startLine}`;
  return `${path}${lines}${heading === undefined || heading === '' ? '' : ` (${heading})`}`;
}
