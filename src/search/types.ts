// src/search: full-text search over message text. Deterministic: integer scores, ties broken by position.

export interface SearchDoc {
  /** 1-based line in messages.jsonl. */
  readonly line: number;
  readonly role: string;
  readonly text: string;
}

export interface SearchHit {
  readonly line: number;
  /** Higher is better; an integer, equal on every rebuild. */
  readonly score: number;
}

/**
 * An index over the history below the epoch's cut, in sealed fixed-size segments plus one open segment.
 * Answers are a pure function of (documents added, query): never of when or how often it was built.
 */
export interface RecallIndex {
  /** Last line indexed (0 when empty). */
  readonly lastLine: number;
  /** Adds documents in line order; every line up to `throughLine` then counts as indexed. */
  add(docs: readonly SearchDoc[], throughLine: number): void;
  query(text: string, limit: number): readonly SearchHit[];
  /** Persist; cheap when nothing changed. */
  flush(): void;
  close(): void;
}
