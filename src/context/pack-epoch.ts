// The start of an epoch: pinned, sections, the newest user message, the tail. Within an epoch the pack then only grows.
// PCK-2: the cut goes to the low-water mark. PCK-7: whatever does not fit is given up step by step, in the order of STEPS.
import type { Steps } from '../abi/steps.ts';
import type { LineLimits } from './pack-line.ts';
import { isSilent, renderLine } from './pack-line.ts';
import { findCut } from './pack-cut.ts';
import { leadingItems } from './pack-lead.ts';
import { memoryItems } from './pack-memory.ts';
import { PackText } from './pack-text.ts';
import type { Addition, Plan } from './pack-text.ts';
import { recallAdditions } from './pack-recall.ts';
import { systemHead } from './pack-system.ts';
import type { PackSource, StreamPosition } from './pack-source.ts';

export interface LeftOut {
  readonly source: string;
  readonly range?: string;
  readonly reason: string;
  readonly score?: number;
}

export interface Epoch {
  readonly text: PackText;
  readonly start: StreamPosition;
  /** First line of the tail; everything below is in swap and in the summary. */
  readonly cut: number;
  readonly reason: string;
  readonly leftOut: LeftOut[];
  /** Tokens of the leading pinned items and system messages: they survive from epoch to epoch. */
  readonly pinnedTokens: number;
  /** Tokens of pack.md at the epoch's start. */
  readonly startTokens: number;
  /** Lines below the cut that are in this pack: recalled ones, and the system messages at the head of history. */
  readonly recalled: Set<number>;
  /** Pages of wikis that are in this pack, with their tokens where they were added since its start. */
  readonly remembered: Map<string, number>;
}

/** Of the budget, left free by an epoch that begins in the middle of a turn: a recall that fills it would end it at the next line. */
const GROWTH_SHARE = 0.25;

interface Step {
  readonly recall: boolean;
  /** Scale of the section shares. */
  readonly sections: number;
  /** Scale of the tail; 0 keeps the newest call group alone. */
  readonly tail: number;
  /** Scale of the limit of one message. */
  readonly message: number;
  readonly pinned: number;
  /** Part of the budget that the newest user message may take. */
  readonly user: number;
}

const FULL: Step = { recall: true, sections: 1, tail: 1, message: 1, pinned: Infinity, user: Infinity };
/** What is given up first comes first. The newest user message goes last, and is cut only when it alone is too large. */
const STEPS: readonly Step[] = [
  FULL,
  { ...FULL, recall: false },
  { ...FULL, recall: false, sections: 0.25 },
  { ...FULL, recall: false, sections: 0.25, tail: 0.5 },
  { ...FULL, recall: false, sections: 0, tail: 0 },
  { ...FULL, recall: false, sections: 0, tail: 0, message: 0.25 },
  { ...FULL, recall: false, sections: 0, tail: 0, message: 0.0625, pinned: 1 },
  { ...FULL, recall: false, sections: 0, tail: 0, message: 0.0625, pinned: 0.25 },
  { ...FULL, recall: false, sections: 0, tail: 0, message: 0.01, pinned: 0 },
];
/** It alone exceeds the budget: its head and tail, beside as much of the rest as is usual. */
const PARTIAL_STEPS: readonly Step[] = [
  { ...FULL, user: 0.5 },
  { ...FULL, recall: false, sections: 0.25, tail: 0, message: 0.25, user: 0.375 },
  { ...FULL, recall: false, sections: 0, tail: 0, message: 0.0625, pinned: 0.5, user: 0.25 },
];

/** Lines rendered before others may have their turn. */
const LINES_A_STEP = 8;

/** Deterministic in (source as of `position`, position). */
export function* startEpoch(source: PackSource, position: StreamPosition, reason: string): Steps<Epoch> {
  for (const step of STEPS) {
    const epoch = yield* tryStep(source, position, reason, step);
    if (epoch !== undefined) return epoch;
  }
  const alone = userAlone(source, position, reason, [Infinity]);
  if (alone !== undefined) return alone;
  for (const step of PARTIAL_STEPS) {
    const epoch = yield* tryStep(source, position, reason, step);
    if (epoch !== undefined) return epoch;
  }
  const rooms: number[] = [];
  for (let room = source.policy.budgetTokens; room >= 8; room = Math.floor(room * 0.8)) rooms.push(room);
  return userAlone(source, position, reason, rooms) ?? nothing(source, position, reason);
}

export function lineLimits(source: PackSource, scale: number): LineLimits {
  const { messageTokens, outputTokens } = source.policy;
  return { messageTokens: Math.max(16, Math.floor(messageTokens * scale)), outputTokens: Math.max(16, Math.floor(outputTokens * scale)) };
}

/** How the line reads as an item; undefined when nothing of it is said. */
export function lineAddition(source: PackSource, text: PackText, line: number, limits: LineLimits, textOnly = false): Addition | undefined {
  const whole = source.message(line);
  const message = textOnly ? { ...whole, view: { ...whole.view, toolResults: [], toolCalls: [] } } : whole;
  if (isSilent(message)) return undefined;
  const packed = renderLine(message, limits, source.counter, text.repeats);
  return text.addition(
    {
      kind: 'recent_messages',
      source: 'messages.jsonl',
      range: `${line}`,
      role: packed.role,
      ...(packed.form === 'verbatim' && message.view.toolResults.length === whole.view.toolResults.length
        ? {}
        : { form: packed.form === 'verbatim' ? 'partial' : packed.form }),
      ...(packed.bases.length === 0 ? {} : { bases: [...new Set(packed.bases)] }),
      digest: packed.digest,
    },
    packed.md,
    { line: packed },
  );
}

function* tryStep(source: PackSource, position: StreamPosition, reason: string, step: Step): Steps<Epoch | undefined> {
  const { policy } = source;
  const budget = policy.budgetTokens;
  const user = source.lastUserLine(position.line);
  const limits = lineLimits(source, step.message);
  const userLimits: LineLimits = {
    messageTokens: step.user === Infinity ? Infinity : Math.floor(budget * step.user),
    outputTokens: limits.outputTokens,
  };
  const limitsOf = (line: number): LineLimits => (line === user ? userLimits : limits);
  // Longer than any tokenizer can pack: not even worth counting.
  if (step.user === Infinity && user > 0 && source.message(user).view.text.length > budget * 16) return undefined;

  const probe = new PackText(source.counter, source.toolsJson);
  const pinned = leadingItems.pinned(source, probe, step.pinned);
  const headRoom = budget === Infinity ? Infinity : Math.floor(policy.pinnedTokens * Math.min(1, step.pinned));
  const head = systemHead(source, probe, position.line, headRoom, limits);
  const pinnedTokens = sum(pinned) + sum(head.additions);
  const memory = memoryItems(source, probe, position, step.sections);
  const memoryTokens = sum(memory.additions);
  const want = step.tail === 0 ? 1 : (tokens: number): number => Math.floor(tokens * step.tail);
  const wanted = (sectionTokens: number): number =>
    budget === Infinity
      ? Infinity
      : typeof want === 'number'
        ? want
        : want(Math.max(policy.tailTokens, policy.lowWaterTokens - pinnedTokens - memoryTokens - sectionTokens));
  // The sections' size is not known before the cut, nor the cut before it: with no sections counted first, then with those.
  let cut = findCut(source, position.line, wanted(0), limits);
  yield;
  let sections = leadingItems.sections(source, probe, cut, position, step.sections);
  yield;
  if (cut > 1 && typeof want !== 'number') {
    const shorter = findCut(source, position.line, wanted(sum(sections)), limits);
    if (shorter > cut) {
      const again = leadingItems.sections(source, probe, shorter, position, step.sections);
      if (sum(again) >= sum(sections)) {
        cut = shorter;
        sections = again;
      }
    }
  }

  const text = probe;
  // One system message of ours, unless history's own stand between the two.
  if (head.additions.length === 0) text.lead([...pinned, ...memory.additions, ...sections]);
  else {
    text.lead(pinned);
    text.commit(text.plan(head.additions));
    text.lead([...memory.additions, ...sections]);
  }
  yield;
  const before: Addition[] = [];
  const tail: Addition[] = [];
  const leftOut: LeftOut[] = [...memory.leftOut, ...head.leftOut];
  // What a person wrote beside tool results brings the calls of those results with it.
  const beforeFirst =
    user > 0 && user < cut ? (source.message(user).view.toolResults.length > 0 ? findCut(source, user, 1, limits) : user) : cut;
  for (let line = Math.max(beforeFirst, head.through + 1); line < cut && line <= user; line++) {
    const addition = lineAddition(source, text, line, limitsOf(line));
    if (addition === undefined) continue;
    remember(text, addition);
    before.push(addition);
  }
  const tailFirst = Math.max(cut, head.through + 1);
  let userAt = -1;
  if (budget === Infinity) {
    for (let line = tailFirst; line <= position.line; line++) {
      if (line % LINES_A_STEP === 0) yield;
      const addition = lineAddition(source, text, line, limits);
      if (addition === undefined) leftOut.push(silent(line));
      else text.commit(text.plan([addition]));
    }
  } else {
    for (let line = tailFirst; line <= position.line; line++) {
      if (line % LINES_A_STEP === 0) yield;
      const addition = lineAddition(source, text, line, limitsOf(line));
      if (line === user) userAt = tail.length;
      if (addition === undefined) {
        leftOut.push(silent(line));
        continue;
      }
      remember(text, addition);
      tail.push(addition);
    }
  }
  yield;
  const recalled = new Set<number>(head.lines);
  let plan: Plan = text.plan([...before, ...tail]);
  if (step.recall && user > 0 && cut > 1) {
    const reserve = user === position.line ? 0 : Math.floor(budget * GROWTH_SHARE);
    const room = Math.min(policy.recallTokens, budget - reserve - Math.max(plan.packTokens, plan.promptTokens));
    yield;
    const recall = yield* recallAdditions(source, text, source.message(user), cut, room, new Set([user, ...head.lines]));
    if (recall.additions.length > 0) {
      const withRecall =
        user < cut ? [...recall.additions, ...before, ...tail] : [...tail.slice(0, userAt), ...recall.additions, ...tail.slice(userAt)];
      const planned = text.plan(withRecall);
      if (withinBudget(planned, budget)) {
        plan = planned;
        for (const line of recall.lines) recalled.add(line);
      }
    }
    leftOut.push(...recall.leftOut);
  }
  if (!withinBudget(plan, budget) || !withinBudget(text.totals, budget)) return undefined;
  text.commit(plan);
  // What the head had no room for, then the rest below the cut.
  const unsaid = Math.min(head.last, cut - 1);
  if (unsaid > head.through)
    leftOut.push({
      source: 'messages.jsonl',
      range: unsaid === head.through + 1 ? `${unsaid}` : `${head.through + 1}-${unsaid}`,
      reason: 'no room in the share of system messages: in summary and swap',
    });
  leftOut.unshift(...swapped(cut, beforeFirst, user, Math.max(head.through, unsaid) + 1));
  const remembered = new Map(memory.additions.map(({ record }) => [record.source, 0]));
  return { text, start: position, cut, reason, leftOut, pinnedTokens, startTokens: text.totals.packTokens, recalled, remembered };
}

/** What a person wrote last and nothing else, in the first of these sizes that fits; undefined when none does. */
function userAlone(source: PackSource, position: StreamPosition, reason: string, rooms: readonly number[]): Epoch | undefined {
  const user = source.lastUserLine(position.line);
  if (user === 0) return undefined;
  const said = source.message(user).view.text.length;
  for (const room of rooms) {
    if (room === Infinity && said > source.policy.budgetTokens * 16) continue;
    const epoch = nothing(source, position, reason);
    const addition = lineAddition(source, epoch.text, user, { messageTokens: room, outputTokens: room }, true);
    const plan = addition === undefined ? undefined : epoch.text.plan([addition]);
    if (plan === undefined || !withinBudget(plan, source.policy.budgetTokens)) continue;
    epoch.text.commit(plan);
    return { ...epoch, leftOut: swapped(position.line + 1, user, user).slice(), startTokens: epoch.text.totals.packTokens };
  }
  return undefined;
}

/** A budget that holds no item at all. */
function nothing(source: PackSource, position: StreamPosition, reason: string): Epoch {
  const text = new PackText(source.counter, source.toolsJson);
  const cut = position.line + 1;
  return {
    text,
    start: position,
    cut,
    reason,
    leftOut: swapped(cut, cut, 0).slice(),
    pinnedTokens: 0,
    startTokens: 0,
    recalled: new Set(),
    remembered: new Map(),
  };
}

export function withinBudget(totals: { readonly packTokens: number; readonly promptTokens: number }, budget: number): boolean {
  return totals.packTokens <= budget && totals.promptTokens <= budget;
}

export function silent(line: number): LeftOut {
  return { source: 'messages.jsonl', range: `${line}`, reason: 'only reasoning or no text' };
}

/** Everything in [from, cut) but the lines [first, user] that were kept. */
function swapped(cut: number, first: number, user: number, from: number = 1): readonly LeftOut[] {
  const reason = 'before the cut: in summary and swap';
  const range = (start: number, to: number): LeftOut => ({
    source: 'messages.jsonl',
    range: start === to ? `${start}` : `${start}-${to}`,
    reason,
  });
  if (cut <= from) return [];
  if (user <= 0 || first >= cut) return [range(from, cut - 1)];
  return [...(first > from ? [range(from, first - 1)] : []), ...(user < cut - 1 ? [range(user + 1, cut - 1)] : [])];
}

function remember(text: PackText, addition: Addition): void {
  if ('line' in addition.prompt) for (const [label, whole] of addition.prompt.line.whole) text.repeats.remember(label, whole);
}

function sum(additions: readonly Addition[]): number {
  return additions.reduce((total, addition) => total + addition.mdTokens, 0);
}
