// Where a session's folds stood: read on open so that a restart folds at most one epoch. A cache like any other.
import { join } from 'node:path';
import { PACK_RULE_VERSION } from '../context/pack-policy.ts';
import type { HistoryMarks } from '../journal/index.ts';
import type { RecallChoice } from '../search/recall.ts';
import type { EpochMark } from './pack-run.ts';
import type { SectionState } from './section-folds.ts';
import { readSummed, writeSummed } from './summed-file.ts';

export const CHECKPOINT_VERSION: string = `checkpoint/2 ${PACK_RULE_VERSION}`;

export interface Checkpoint {
  readonly version: string;
  /** HistoryMarks. */
  readonly of: string;
  readonly resets: { readonly through: number; readonly index: number };
  readonly mark: EpochMark | undefined;
  readonly sections: SectionState;
  readonly cut: number;
  /** PackRun.recalled. */
  readonly recalled: readonly (readonly [string, RecallChoice])[];
  readonly pack: { readonly revision: string; readonly version: string };
}

/** `blocks`: whole blocks in the cache; a state that goes beyond them, or of another history, is of no use. */
export function readCheckpoint(cache: string, blocks: number, marks: HistoryMarks): Checkpoint | undefined {
  const value = readSummed(join(cache, 'checkpoint.json')) as Checkpoint | undefined;
  return value?.version === CHECKPOINT_VERSION && marks.holds(value.of) && value.sections.blocks <= blocks ? value : undefined;
}

export function writeCheckpoint(cache: string, checkpoint: Checkpoint): void {
  writeSummed(join(cache, 'checkpoint.json'), checkpoint);
}
