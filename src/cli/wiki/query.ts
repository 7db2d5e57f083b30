// ctx wiki query: schema, index, then the two to four pages that answer, within a budget of tokens.
import type { Command } from 'commander';

import { CtxError } from '../../abi/errors.ts';
import { openCounter } from '../../tokens/counter.ts';
import { chooseMemory, type Memory, type MemoryItem } from '../../wiki/memory.ts';
import { memoryPages } from '../../wiki/memory-pages.ts';
import { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { usageError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { examples, type Shell } from '../shell.ts';
import { plain, requireWiki } from './place.ts';
import { sessionWikis } from './session-wikis.ts';

interface QueryArguments {
  readonly budget: string;
  readonly dir?: string;
  readonly session?: string;
  readonly domain?: string;
  readonly plan?: readonly string[];
  readonly text?: boolean;
  readonly json?: boolean;
}

export function registerQuery(wiki: Command, shell: Shell): void {
  wiki
    .command('query')
    .description('the pages and sections that answer a question, with the reason')
    .argument('[question...]', 'words (of a plan: none are needed)')
    .option('-d, --dir <dir>', 'the wiki (default: the one here)')
    .option('-s, --session <session>', 'the wikis that a session mounts, each with its part of the budget')
    .option('--domain <name>', 'only what is common, and this domain (default: everything; of a session: what its mount names)')
    .option('-b, --budget <tokens>', 'tokens in all', '4000')
    // One a time: the words of the question stand behind it.
    .option(
      '--plan <page>',
      'a plan that is carried out: the pages it cites come first; may be repeated',
      (page, more: readonly string[] | undefined) => [...(more ?? []), page],
    )
    .option('--text', 'print what was chosen, as a model is given it')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx wiki query which port does the gateway use', 'what to read, and why'],
        ['ctx wiki query --text --budget 2000 "how do we deploy"', 'the text itself'],
        ['ctx wiki query -s coder/default deploy steps', 'what a session on the mount is given'],
        ['ctx wiki query --plan plans/q3.md next steps', 'a plan with what it cites'],
      ),
    )
    .action(async (words: readonly string[], options: QueryArguments) => {
      const { terminal } = shell;
      if (words.length === 0 && options.plan === undefined) throw usageError('nothing was asked', 'ctx wiki query WORDS…');
      const budget = Number(options.budget);
      if (!Number.isInteger(budget) || budget < 1 || budget > 10_000_000) throw usageError('--budget is a whole number of tokens');
      if (options.session !== undefined && options.dir !== undefined) throw usageError('--session or --dir, not both');
      const places = await placesOf(shell, options);
      for (const plan of options.plan ?? [])
        if (!places.some(({ place }) => place.index.get(plan) !== undefined))
          throw usageError(`${plan} is no page of ${places.map(({ place }) => place.root).join(', ')}`, 'name it by its path in the wiki');
      const counter = openCounter();
      const part = Math.floor(budget / places.length);
      const found = places.map(({ place, plans, domain }) => ({
        root: place.root,
        budget: part,
        ...chooseMemory(memoryPages(place, plans, options.domain ?? domain), words.join(' '), part, (text) => counter.count(text)),
      }));
      if (options.json === true) terminal.json(options.session === undefined ? found[0] : found);
      else for (const memory of found) show(shell, memory, options.text === true, found.length > 1);
      if (!found.some(({ items }) => items.some(({ kind }) => kind !== 'schema' && kind !== 'index'))) shell.exit(EXIT.failed);
    });
}

async function placesOf(
  shell: Shell,
  { session, dir, plan = [] }: QueryArguments,
): Promise<readonly { readonly place: WikiDirectory; readonly plans: readonly string[]; readonly domain: string | null | undefined }[]> {
  if (session === undefined) return [{ place: requireWiki(dir), plans: plan, domain: undefined }];
  const wikis = await sessionWikis(shell, session);
  const faults: CtxError[] = [];
  const places = wikis.flatMap(({ root, plans, domain }) => {
    try {
      return [{ place: WikiDirectory.open(root), plans: [...plan, ...plans], domain: domain ?? null }];
    } catch (error) {
      // One that this user may not read does not take the others with it.
      if (!(error instanceof CtxError)) throw error;
      faults.push(error);
      return [];
    }
  });
  for (const fault of faults) if (places.length > 0) shell.terminal.note(`left out: ${plain(fault.describe())}`);
  if (places.length === 0 && faults[0] !== undefined) throw faults[0];
  return places;
}

function show(
  { terminal }: Shell,
  memory: Memory & { readonly root: string; readonly budget: number },
  text: boolean,
  named: boolean,
): void {
  if (named) terminal.note(plain(memory.root));
  for (const item of memory.items) {
    if (text) terminal.line(`<!-- ${plain(where(item))} -->\n${item.text.trimEnd()}\n`);
    else terminal.line(`${terminal.style('cyan', plain(where(item)))}\t${item.tokens}\t${plain(item.reason)}`);
  }
  if (text) return;
  terminal.note(`${memory.tokens} of ${memory.budget} tokens`);
  for (const { path, reason } of memory.left.slice(0, 5)) terminal.note(`left out: ${plain(path)} (${plain(reason)})`);
}

function where({ path, heading, startLine, endLine }: MemoryItem): string {
  const lines = startLine === undefined ? '' : `:${startLine}-${endLine ?? startLine}`;
  return `${path}${lines}${heading === undefined || heading === '' ? '' : ` (${heading})`}`;
}
