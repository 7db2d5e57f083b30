// The verbs of ctx wiki, in the order that help shows them. Loaded only when they are wanted: the Markdown parser takes its time.
import { registerAdopt } from './adopt.ts';
import { registerDrift } from './drift.ts';
import { registerHooks } from './hooks.ts';
import { registerIngest } from './ingest.ts';
import { registerInit } from './init.ts';
import { registerJudgments } from './judgments.ts';
import { registerLint } from './lint.ts';
import { registerMcp } from './mcp.ts';
import type { RegisterWikiVerb } from './place.ts';
import { registerQuery } from './query.ts';
import { registerReview } from './review.ts';
import { registerStatus } from './status.ts';
import { registerTell } from './tell.ts';

export const WIKI_VERBS: readonly RegisterWikiVerb[] = [
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
  registerMcp,
  registerTell,
];
