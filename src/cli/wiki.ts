// ctx wiki: knowledge that survives sessions, as Markdown in git. One file a verb in `wiki/`.
import type { Command } from 'commander';

import { examples, type Shell } from './shell.ts';

const NAME = 'wiki';

export function registerWiki(program: Command): void {
  program
    .command(NAME)
    .description('knowledge that survives sessions: init, lint, query, ingest, review, …')
    .addHelpText(
      'after',
      examples(
        ['ctx wiki init notes', 'a wiki with its schema, index and log, in git'],
        ['ctx wiki lint', 'what is wrong with the one here'],
        ['ctx wiki query which port does the gateway use', 'the pages that answer'],
      ),
    );
}

/** Before the command line is parsed, when it is about the wiki, or about all verbs. */
export async function loadWikiVerbs(program: Command, shell: Shell, verb: string | undefined): Promise<void> {
  if (verb !== NAME && verb !== 'completion') return;
  const wiki = program.commands.find((command) => command.name() === NAME);
  if (wiki === undefined) return;
  const { WIKI_VERBS } = await import('./wiki/verbs.ts');
  for (const register of WIKI_VERBS) register(wiki, shell);
}
