// ctx wiki: knowledge that survives sessions, as Markdown in git. One file a verb in `wiki/`.
import type { Command } from 'commander';

import { examples, type Shell } from './shell.ts';
import { registerAdopt } from './wiki/adopt.ts';
import { registerDrift } from './wiki/drift.ts';
import { registerHooks } from './wiki/hooks.ts';
import { registerIngest } from './wiki/ingest.ts';
import { registerInit } from './wiki/init.ts';
import { registerJudgments } from './wiki/judgments.ts';
import { registerLint } from './wiki/lint.ts';
import type { RegisterWikiVerb } from './wiki/place.ts';
import { registerQuery } from './wiki/query.ts';
import { registerReview } from './wiki/review.ts';
import { registerStatus } from './wiki/status.ts';

const VERBS: readonly RegisterWikiVerb[] = [
  registerInit,
  registerAdopt,
  registerStatus,
  registerLint,
  registerQuery,
  registerIngest,
  registerReview,
  registerJudgments,
  registerDrift,
  registerHooks,
];

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
