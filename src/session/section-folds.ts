// summary, facts, decisions, todo and refs as of any cut and position: folds of block records and contributions.
// Two states of each fold are kept, the older well behind the cut: so a cut that lies a little earlier than the one before
// costs a clone and a few blocks. The last view's is kept too: the next epoch goes on from there. Anything older is folded
// again from the first block.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SectionKind, StreamPosition } from '../context/pack-source.ts';
import { decisionsFold } from '../context/decisions.ts';
import { factsFold } from '../context/facts.ts';
import { refsFileText, refsFold } from '../context/refs.ts';
import type { RefState } from '../context/refs.ts';
import type { Row } from '../context/rows.ts';
import { summaryFold } from '../context/summary.ts';
import { todoFold } from '../context/todo.ts';
import { BLOCK_LINES } from '../context/types.ts';
import type { AnyFold, BlockRecord, Contribution } from '../context/types.ts';

/** What the folds read. `partial` maps the first lines of a block that is cut by a position. */
export interface SectionHistory {
  records(from: number, to: number): Iterable<BlockRecord>;
  partial(firstLine: number, lastLine: number): BlockRecord;
  contributions(): readonly Contribution[];
}

/** Plain JSON: what a checkpoint keeps. */
export interface SectionState {
  /** Whole blocks folded. */
  blocks: number;
  /** Contributions folded: those after lines below the end of those blocks. */
  contributions: number;
  readonly states: Record<SectionKind, unknown>;
}

export const SECTION_FOLDS: Readonly<Record<SectionKind, AnyFold>> = {
  summary: summaryFold as AnyFold,
  facts: factsFold as AnyFold,
  decisions: decisionsFold as AnyFold,
  todo: todoFold as AnyFold,
  refs: refsFold as AnyFold,
};
export const SECTION_KINDS: readonly SectionKind[] = ['summary', 'facts', 'decisions', 'todo', 'refs'];

/** Blocks between the two kept states. */
const STRIDE_BLOCKS = 64;
const SLICE_BLOCKS = 4;
/** Texts kept: an epoch's start asks for some forty. */
const KEPT_TEXTS = 96;

export class SectionFolds {
  readonly #history: SectionHistory;
  #older: SectionState;
  #newer: SectionState;
  /** As of the last view, without its partial block. */
  #near: SectionState | undefined;
  #view: { readonly cut: number; readonly contributions: number; readonly states: Record<SectionKind, unknown> } | undefined;
  /** Under a limit, by all that they follow from: what was foreseen is there when it is asked for. */
  readonly #texts = new Map<string, string>();

  constructor(history: SectionHistory, checkpoint: SectionState | undefined) {
    this.#history = history;
    this.#older = checkpoint ?? emptyState();
    this.#newer = copyState(this.#older);
  }

  /** The state to write into a checkpoint: everything later is folded from it. */
  checkpoint(): SectionState {
    return this.#older;
  }

  /** Folds up to `whole` blocks ahead of need, giving way every few milliseconds. No cut may come to lie before them. */
  async approach(whole: number, sliceMs: number, now: () => number): Promise<void> {
    let due = now() + sliceMs;
    while (this.#newer.blocks + STRIDE_BLOCKS <= whole) {
      // About a millisecond each.
      this.#advance(this.#newer, this.#newer.blocks + SLICE_BLOCKS);
      if (now() < due) continue;
      await nextTurn();
      due = now() + sliceMs;
    }
    if (this.#older.blocks + 4 * STRIDE_BLOCKS < this.#newer.blocks) this.#older = copyState(this.#newer);
  }

  /** Blocks below `cut`, then every contribution up to the position. */
  text(kind: SectionKind, cut: number, position: StreamPosition, limitBytes?: number): string {
    if (limitBytes === undefined) return SECTION_FOLDS[kind].text(this.#viewAt(cut, position)[kind]);
    const key = `${kind} ${cut} ${this.#contributionsThrough(position.eventLine)} ${limitBytes}`;
    let text = this.#texts.get(key);
    if (text === undefined) {
      text = SECTION_FOLDS[kind].text(this.#viewAt(cut, position)[kind], limitBytes);
      if (this.#texts.size === KEPT_TEXTS)
        for (const oldest of [...this.#texts.keys()].slice(0, KEPT_TEXTS / 2)) this.#texts.delete(oldest);
      this.#texts.set(key, text);
    }
    return text;
  }

  /** refs.jsonl as a file, with the rows of children. */
  refsFile(cut: number, position: StreamPosition, children: readonly Row[]): string {
    return refsFileText(this.#viewAt(cut, position).refs as RefState, children);
  }

  #viewAt(cut: number, position: StreamPosition): Record<SectionKind, unknown> {
    const view = this.#view;
    const through = this.#contributionsThrough(position.eventLine);
    if (view !== undefined && view.cut === cut && view.contributions === through) return view.states;
    const whole = Math.floor((cut - 1) / BLOCK_LINES);
    const state = this.#stateAt(whole);
    const first = whole * BLOCK_LINES + 1;
    if (first < cut) addBlock(state, this.#history.partial(first, cut - 1));
    const contributions = this.#history.contributions();
    for (let i = state.contributions; i < through; i++) addContribution(state, contributions[i] as Contribution);
    this.#view = { cut, contributions: through, states: state.states };
    return state.states;
  }

  /** How many contributions there are up to this line of events.jsonl. */
  #contributionsThrough(eventLine: number): number {
    const all = this.#history.contributions();
    let end = all.length;
    while (end > 0 && (all[end - 1] as Contribution).eventLine > eventLine) end -= 1;
    return end;
  }

  /** A state that the caller may change. An epoch asks for two cuts, and the next one for a cut soon after: the last is kept. */
  #stateAt(whole: number): SectionState {
    const near = this.#near;
    const base = this.#baseFor(whole);
    const state = near !== undefined && near.blocks <= whole && near.blocks > base.blocks ? near : copyState(base);
    this.#advance(state, whole);
    this.#near = state;
    return copyState(state);
  }

  #baseFor(whole: number): SectionState {
    if (whole < this.#older.blocks) return emptyState();
    if (whole < this.#newer.blocks) return this.#older;
    if (whole - this.#newer.blocks >= STRIDE_BLOCKS) {
      this.#older = this.#newer;
      this.#newer = copyState(this.#older);
      this.#advance(this.#newer, whole);
      if (this.#older.blocks < whole - 4 * STRIDE_BLOCKS) this.#older = copyState(this.#newer);
    }
    return this.#newer;
  }

  /** Canonical order: before block b come the contributions that follow lines of earlier blocks. */
  #advance(state: SectionState, whole: number): void {
    const contributions = this.#history.contributions();
    const catchUp = (): void => {
      for (; state.contributions < contributions.length; state.contributions++) {
        const contribution = contributions[state.contributions] as Contribution;
        if (contribution.afterLine > state.blocks * BLOCK_LINES) break;
        addContribution(state, contribution);
      }
    };
    if (state.blocks < whole) {
      for (const record of this.#history.records(state.blocks, whole)) {
        catchUp();
        addBlock(state, record);
        state.blocks += 1;
      }
    }
  }
}

function emptyState(): SectionState {
  const states = {} as Record<SectionKind, unknown>;
  for (const kind of SECTION_KINDS) states[kind] = SECTION_FOLDS[kind].initial();
  return { blocks: 0, contributions: 0, states };
}

/**
 * A copy that may be folded on. Folds replace rows and never change them, so rows are shared: only what holds them is
 * copied (arrays, arrays in arrays, and records that are fields of a state).
 */
function copyState(state: SectionState): SectionState {
  const states = {} as Record<SectionKind, unknown>;
  for (const kind of SECTION_KINDS)
    states[kind] = Object.fromEntries(Object.entries(state.states[kind] as object).map(([name, value]) => [name, copyField(value)]));
  return { blocks: state.blocks, contributions: state.contributions, states };
}

function copyField(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => (Array.isArray(item) ? item.slice() : item));
  return typeof value === 'object' && value !== null ? { ...value } : value;
}

function addBlock(state: SectionState, block: BlockRecord): void {
  for (const kind of SECTION_KINDS) SECTION_FOLDS[kind].addBlock(state.states[kind], block);
}

function addContribution(state: SectionState, contribution: Contribution): void {
  for (const kind of SECTION_KINDS) SECTION_FOLDS[kind].addContribution(state.states[kind], contribution);
}
