// src/derive: the rebuild engine (salsa's words: revision, memo, verified, backdate; ninja's explain).
import type { Extent } from '../journal/types.ts';

/** Immutable bytes of one version of a derived file: pieces of files (cache blobs or ranges of history). */
export interface Content {
  /** sha256-… of the whole. */
  readonly digest: string;
  readonly sizeBytes: number;
  /** When this content first differed from the version before, in ms. */
  readonly modifiedMs: number;
  readonly extents: readonly Extent[];
}

/** One input of a rule as it is now. Equal versions mean equal bytes. */
export interface InputVersion {
  readonly name: string;
  readonly version: string;
  /** A change from an earlier version as one sentence, for `ctx explain`. */
  readonly changed?: (was: string) => string;
}

/** Names what memos were made of, so that memos of something else are not taken for ours. */
export interface MemoOrigin {
  now(): string;
  /** Whether what was there then is still so, grown at most. */
  holds(origin: unknown): boolean;
}

/** How one derived file is made. Rules never import rules: what they need of each other they ask of who wires them. */
export interface Rule {
  readonly name: string;
  /** Cheap: no work in proportion to history. */
  inputs(): readonly InputVersion[];
  run(): Content | Promise<Content>;
}

/** One run of a rule. */
export interface ExecutionEntry {
  readonly rule: string;
  /** Why it was stale: one sentence a reason. */
  readonly why: readonly string[];
  readonly inputs: readonly InputVersion[];
  /** `backdated`: it ran, and gave the bytes of before. */
  readonly outcome: 'changed' | 'backdated';
  readonly digest: string;
  readonly sizeBytes: number;
  readonly startedMs: number;
  readonly elapsedMs: number;
}

/** Code of a failure that the cache is to blame for: it is deleted, and everything built again. */
export const CACHE_DAMAGED = 'derive.cache';
