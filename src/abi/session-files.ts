// Names inside one session directory, in one place. Paths are relative to the session directory.

export const JOURNALS = ['messages.jsonl', 'events.jsonl'] as const;
export type JournalFile = (typeof JOURNALS)[number];

/** Small control files in the session directory, validated on write. */
export const SESSION_CONTROLS = ['state', 'cwd', 'meta.json', 'created_at'] as const;
/** Control files in `context/`. */
export const CONTEXT_CONTROLS = ['budget', 'gc.policy', 'policy.yaml', 'tools.json'] as const;

/** Derived by the server thread itself in O(1). */
export const SESSION_DERIVED = ['latest.md', 'updated_at'] as const;

/** Derived files directly under `context/`. */
export const CONTEXT_DERIVED = [
  'pack.json',
  'pack.md',
  'prompt.json',
  'summary.md',
  'facts.jsonl',
  'decisions.jsonl',
  'todo.md',
  'refs.jsonl',
] as const;

/** Files that take contributions: appending a line (JSONL) or replacing the whole (Markdown) is an event. */
export const CONTRIBUTION_LINES = ['facts.jsonl', 'decisions.jsonl', 'refs.jsonl'] as const;
export const CONTRIBUTION_WHOLE = ['summary.md', 'todo.md'] as const;

/** Derived files by path below `context/`; `swap/chunk/<id>` and `dedup/blob/<digest>` are asked for by name. */
export const DERIVED_FIXED: readonly string[] = [...CONTEXT_DERIVED, 'swap/index.jsonl', 'dedup/index.jsonl'];

export const SESSION_STATES = ['active', 'idle', 'done', 'error', 'cancelled'] as const;

export const DEFAULT_BUDGET_TOKENS = 32_000;
export const DEFAULT_MAX_LINE_BYTES: number = 16 * 1024 * 1024;

/** Directory of the derivation cache inside a session directory of the store. Everything in it may be deleted. */
export const CACHE_DIR = 'context/.cache';
