// The numbers one pack is built by: context/budget and context/policy.yaml turned into tokens.
// Fixed parts of the rule are constants here: changing one is a new PACK_RULE_VERSION.
import { CtxError } from '../abi/errors.ts';
import { DEFAULT_BUDGET_TOKENS } from '../abi/session-files.ts';
import { RECALL_VERSION } from '../search/recall.ts';
import { SEARCH_VERSION } from '../search/version.ts';
import { parsePolicy } from './policy.ts';
import type { Policy } from './policy.ts';

/** Names everything that a pack's bytes depend on besides history; a memo of another version is stale. */
export const PACK_RULE_VERSION: string = `pack/10 recall/${RECALL_VERSION} search/${SEARCH_VERSION}`;

export interface PackPolicy {
  readonly tokenizer: string;
  /** Whether a server may count. */
  readonly remoteAllowed: boolean;
  /** Infinity: unlimited. */
  readonly budgetTokens: number;
  /** Least size of a pack at an epoch's start (design section 6.2). */
  readonly lowWaterTokens: number;
  /** Least size of the tail at an epoch's start. */
  readonly tailTokens: number;
  readonly pinnedTokens: number;
  readonly sections: Readonly<Record<'summary' | 'facts' | 'decisions' | 'todo' | 'refs' | 'child', number>>;
  readonly recallTokens: number;
  /** Share of the wiki with this name; undefined: the policy does not mount it. */
  readonly memoryTokens: (name: string) => number | undefined;
  /** Most of one message, and of one tool result, before it keeps only its head and tail. */
  readonly messageTokens: number;
  readonly outputTokens: number;
}

/** Bytes of messages.jsonl in one grid cell, for each token of budget: so a cold build tokenizes a bounded part of history. */
export const CELL_BYTES_PER_TOKEN = 16;
const TAIL_SHARE = 0.4;
const MESSAGE_SHARE = 0.25;
const OUTPUT_SHARE = 0.125;
/** Recall needs few lines; beyond this many tokens more of it costs prefix stability and adds little. */
const RECALL_MAX_TOKENS = 2048;
/** With an unlimited budget the sections still have a size. */
const NOMINAL_BUDGET_TOKENS = 128_000;

/** Budget text of `context/budget`: empty or 0 is unlimited; no file is the default. */
export function packBudget(text: string | undefined): number {
  if (text === undefined) return DEFAULT_BUDGET_TOKENS;
  const trimmed = text.trim();
  if (trimmed === '') return Infinity;
  if (!/^[0-9]{1,15}$/.test(trimmed))
    throw new CtxError('pack.budget', 'EINVAL', `not an unsigned integer: ${trimmed.slice(0, 40)}`, { where: 'context/budget' });
  return Number(trimmed) === 0 ? Infinity : Number(trimmed);
}

export function readPackPolicy(budgetText: string | undefined, policyText: string | undefined): PackPolicy {
  const policy = parsePolicy(policyText ?? '');
  const budget = packBudget(budgetText);
  const nominal = Number.isFinite(budget) ? budget : NOMINAL_BUDGET_TOKENS;
  const part = (share: number): number => Math.floor(nominal * share);
  const { shares } = policy;
  return {
    tokenizer: policy.tokenizer,
    remoteAllowed: policy.remote.allow,
    budgetTokens: budget,
    lowWaterTokens: part(policy.lowWater),
    tailTokens: part(TAIL_SHARE),
    pinnedTokens: part(shares.pinned),
    sections: {
      summary: part(shares.summary),
      facts: part(shares.facts),
      decisions: part(shares.decisions),
      todo: part(shares.todo),
      refs: part(shares.refs),
      child: part(shares.child),
    },
    recallTokens: Math.min(part(shares.recall), RECALL_MAX_TOKENS),
    memoryTokens: (name) => {
      const share = memoryShare(policy, name);
      return share === undefined ? undefined : part(share);
    },
    messageTokens: Number.isFinite(budget) ? part(MESSAGE_SHARE) : Infinity,
    outputTokens: Number.isFinite(budget) ? part(OUTPUT_SHARE) : Infinity,
  };
}

/** Wikis without a share of their own have `shares.memory` in equal parts. */
function memoryShare({ memory, shares }: Policy, name: string): number | undefined {
  if (memory === undefined) return shares.memory;
  const mount = memory.find((each) => each.name === name);
  return mount === undefined ? undefined : (mount.share ?? shares.memory / memory.filter(({ share }) => share === undefined).length);
}

/** Bytes of one grid cell; Infinity when the budget is unlimited (one cell). */
export function cellBytes(policy: PackPolicy): number {
  return policy.budgetTokens * CELL_BYTES_PER_TOKEN;
}
