// Where a session's folds stood: read on open so that a restart folds at most one epoch. A cache like any other.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PACK_RULE_VERSION } from '../context/pack-policy.ts';
import type { HistoryMarks } from '../journal/index.ts';
import type { RecallChoice } from '../search/recall.ts';
import type { EpochMark } from './pack-run.ts';
import type { SectionState } from './section-folds.ts';

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
  try {
    const value = JSON.parse(readFileSync(join(cache, 'checkpoint.json'), 'utf8')) as Checkpoint;
    return value.version === CHECKPOINT_VERSION && marks.holds(value.of) && value.sections.blocks <= blocks ? value : undefined;
  } catch {
    return undefined;
  }
}

export function writeCheckpoint(cache: string, checkpoint: Checkpoint): void {
  const path = join(cache, 'checkpoint.json');
  writeFileSync(`${path}.new`, JSON.stringify(checkpoint), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
