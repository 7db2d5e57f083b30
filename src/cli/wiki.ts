// ctx wiki: knowledge that survives sessions, as Markdown in git. One file a verb in `wiki/`.
import type { Command } from 'commander';

import { examples, type Shell } from './shell.ts';
import { registerLint } from './wiki/lint.ts';

const VERBS = [registerLint];

export function registerWiki(program: Command, shell: Shell): void {
  const wiki = program.command('wiki').description('knowledge that survives sessions: init, lint, query, ingest, review, …');
  wiki.addHelpText(
    'after',
    examples(
      ['ctx wiki init notes', 'a wiki with its schema, index and log, in git'],
      ['ctx wiki lint', 'what is wrong with the one here'],
      ['ctx wiki query which port does the gateway use', 'the pages that answer'],
    ),
  );
  for (const register of VERBS) register(wiki, shell);
}
