// The pack as a fold over the ordered stream: one message, contribution or child result at a time, inside one grid cell.
// PCK-2: within an epoch nothing that was said changes; what does not fit starts the next epoch at that very place.
import type { Steps } from '../abi/steps.ts';
import { lineAddition, lineLimits, silent, startEpoch, withinBudget } from './pack-epoch.ts';
import type { Epoch } from './pack-epoch.ts';
import { callLine } from './pack-cut.ts';
import { childAddition } from './pack-lead.ts';
import { isSilent, isUserMessage } from './pack-line.ts';
import { memoryItems } from './pack-memory.ts';
import { recallAdditions } from './pack-recall.ts';
import { asksNothing } from './pack-search.ts';
import type { ChildResult, PackSource, StreamPosition } from './pack-source.ts';
import { renderBlock } from './render.ts';
import type { Addition, PackText } from './pack-text.ts';
import type { Contribution, ContributionType } from './types.ts';
import type { ItemKind } from './pack-text.ts';

/** Told at each epoch's start, before anything of it is asked for: the session moves its folds and its index up to the cut. */
export type OnEpoch = (epoch: Epoch) => void;

export class PackFold {
  readonly source: PackSource;
  readonly #onEpoch: OnEpoch;
  #epoch: Epoch;
  #position: StreamPosition;
  /** Tokens of pack.md before the newest message's items: the prefix that the pack of the message before had too. */
  #stableTokens: number;
  /** A model has answered since the epoch began: its prefix is in use. */
  #answered = false;

  private constructor(source: PackSource, start: StreamPosition, epoch: Epoch, onEpoch: OnEpoch) {
    this.source = source;
    this.#onEpoch = onEpoch;
    this.#position = start;
    this.#epoch = epoch;
    this.#stableTokens = epoch.pinnedTokens;
    onEpoch(epoch);
  }

  static *begin(source: PackSource, start: StreamPosition, reason: string, onEpoch: OnEpoch): Steps<PackFold> {
    return new PackFold(source, start, yield* startEpoch(source, start, reason), onEpoch);
  }

  get epoch(): Epoch {
    return this.#epoch;
  }

  get position(): StreamPosition {
    return this.#position;
  }

  get stableTokens(): number {
    return this.#stableTokens;
  }

  *message(position: StreamPosition): Steps<void> {
    const { source } = this;
    const { line } = position;
    this.#position = position;
    const message = source.message(line);
    const { role } = message.view;
    this.#answered ||= role === 'assistant' || role === 'tool';
    if (isSilent(message)) {
      this.#epoch.leftOut.push(silent(line));
      this.#stableTokens = this.#epoch.text.totals.packTokens;
      return;
    }
    const { text, cut, recalled } = this.#epoch;
    const budget = source.policy.budgetTokens;
    const additions = this.#missingCalls(text, line);
    let addition: Addition | undefined;
    if (isUserMessage(message)) {
      if (message.view.text.length > budget * 16) return yield* this.#next('a message larger than the budget');
      addition = lineAddition(source, text, line, { ...lineLimits(source, 1), messageTokens: Infinity });
      if (addition === undefined) return;
      // What does not fit without recall does not fit with it: no need to search.
      const alone = text.plan([...additions, addition]);
      if (!withinBudget(alone, budget)) return yield* this.#next('the budget is used up');
      // PCK-5: without room for all of its share the question is asked once, at the next epoch's start, and not here as well.
      const room = budget - Math.max(alone.packTokens, alone.promptTokens);
      if (cut > 1 && room < source.policy.recallTokens && !asksNothing(message.view.text))
        return yield* this.#next('the budget is used up');
      const recall = yield* recallAdditions(source, text, message, cut, source.policy.recallTokens, new Set([...recalled, line]));
      additions.unshift(...recall.additions);
      additions.push(addition);
      const plan = text.plan(additions);
      if (!withinBudget(plan, budget)) return yield* this.#next('the budget is used up');
      for (const at of recall.lines) recalled.add(at);
      this.#epoch.leftOut.push(...recall.leftOut);
      this.#stableTokens = text.totals.packTokens;
      text.commit(plan);
      return;
    }
    addition = lineAddition(source, text, line, lineLimits(source, 1));
    if (addition === undefined) return;
    yield* this.#append(text, [...additions, addition], true);
  }

  *contribution(position: StreamPosition, contribution: Contribution): Steps<void> {
    this.#position = position;
    const { text } = this.#epoch;
    const kind = kindOf(contribution);
    const md = renderBlock(kind, `events:${contribution.eventLine}`, clip(saidBy(contribution)));
    yield* this.#append(
      text,
      [
        text.addition(
          {
            kind,
            source: 'events.jsonl',
            range: `${contribution.eventLine}`,
            digest: this.source.eventDigest(contribution.eventLine),
          },
          md,
          { note: md, role: 'system' },
        ),
      ],
      false,
    );
  }

  *child(position: StreamPosition, child: ChildResult): Steps<void> {
    this.#position = position;
    const { text } = this.#epoch;
    const addition = childAddition(this.source, text, child, this.source.policy.sections.child);
    if (addition === undefined) this.#epoch.leftOut.push({ source: child.path, reason: 'no room in the share of child results' });
    else yield* this.#append(text, [addition], false);
  }

  /** MEM-4: what was chosen begins the epoch anew where no model has answered yet; elsewhere pages that are not there are appended. */
  *memory(position: StreamPosition): Steps<void> {
    this.#position = position;
    if (!this.#answered) return yield* this.#next('memory was chosen');
    const { text, remembered, leftOut } = this.#epoch;
    const usedTokens = (wiki: string): number =>
      [...remembered].reduce((sum, [path, tokens]) => (path.startsWith(`${wiki}/`) ? sum + tokens : sum), 0);
    const added = memoryItems(this.source, text, position, 1, { known: new Set(remembered.keys()), usedTokens });
    leftOut.push(...added.leftOut);
    for (const addition of added.additions) {
      const { source } = addition.record;
      const plan = text.plan([addition]);
      // No epoch begins for it: the next one has it anyway.
      if (withinBudget(plan, this.source.policy.budgetTokens)) {
        text.commit(plan);
        remembered.set(source, (remembered.get(source) ?? 0) + addition.mdTokens);
      } else leftOut.push({ source, reason: 'memory: no room before the next epoch' });
    }
  }

  /** The stream moved on without anything that the pack shows. */
  skip(position: StreamPosition): void {
    this.#position = position;
  }

  /** A grid cell or a recorded input begins an epoch here. */
  *restart(position: StreamPosition, reason: string): Steps<void> {
    this.#position = position;
    yield* this.#next(reason);
  }

  /** PCK-3: a result whose call was cut brings the call with it. */
  #missingCalls(text: PackText, line: number): Addition[] {
    const lines = new Set<number>();
    for (const { id } of this.source.message(line).view.toolResults)
      if (id !== '' && !text.calls.has(id)) lines.add(callLine(this.source, line, id));
    return [...lines]
      .filter((at) => at > 0)
      .sort((a, b) => a - b)
      .map((at) => lineAddition(this.source, text, at, lineLimits(this.source, 1)))
      .filter((addition) => addition !== undefined);
  }

  *#append(text: PackText, additions: readonly Addition[], moves: boolean): Steps<void> {
    const plan = text.plan(additions);
    if (!withinBudget(plan, this.source.policy.budgetTokens)) return yield* this.#next('the budget is used up');
    if (moves) this.#stableTokens = text.totals.packTokens;
    text.commit(plan);
  }

  *#next(reason: string): Steps<void> {
    this.#epoch = yield* startEpoch(this.source, this.#position, reason);
    this.#answered = false;
    this.#stableTokens = this.#epoch.pinnedTokens;
    this.#onEpoch(this.#epoch);
  }
}

const CONTRIBUTION_KIND: Readonly<Record<ContributionType, ItemKind>> = {
  'context.fact': 'facts',
  'context.decision': 'decisions',
  'context.todo': 'todo',
  'context.ref': 'refs',
  'context.summary': 'summary',
  'context.retract': 'facts',
};

/** A retraction belongs to the file that it speaks of. */
function kindOf({ type, event }: Contribution): ItemKind {
  const file = /^(summary|facts|decisions|todo|refs)\.(?:md|jsonl)$/.exec(String(event['file']))?.[1];
  return type === 'context.retract' && file !== undefined ? (file as ItemKind) : CONTRIBUTION_KIND[type];
}

/** A whole file as its text, anything else as the line that was appended. */
function saidBy({ type, event }: Contribution): string {
  const { type: _type, time: _time, target, content, ...said } = event;
  if (typeof content === 'string') return content.replace(/\n+$/, '');
  return JSON.stringify(type === 'context.retract' ? { retract: target, ...said } : said);
}

const CLIP_CHARS = 4096;

function clip(text: string): string {
  return text.length <= CLIP_CHARS ? text : `${text.slice(0, CLIP_CHARS)} [...]`;
}
