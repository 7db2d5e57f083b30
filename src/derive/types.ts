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
