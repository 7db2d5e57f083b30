// What lint looks at besides pages. Everything that is not text of the wiki is passed in, so that lint is a pure function.
import type { Finding } from './finding.ts';
import type { LogEntry, LogMentions } from './log.ts';
import type { ParsedQueue } from './queue.ts';
import type { WikiIndex } from './wiki-index.ts';

export interface ProvenanceRecord {
  /** Below `sources/`, from the root of the wiki. */
  readonly path: string;
  readonly digest: string;
  readonly origin: string;
  readonly time: string;
}

/** What git says: pages that differ from the last commit, and the log entries that were written since. */
export interface Uncommitted {
  readonly paths: readonly string[];
  /** Of these, what was written after the log was: no entry can tell of it. */
  readonly later: ReadonlySet<string>;
  readonly mentions: LogMentions;
}

export interface LintInput {
  readonly index: WikiIndex;
  /** Day of the run, `2026-04-20`. */
  readonly today: string;
  readonly log: readonly LogEntry[];
  readonly mentions: LogMentions;
  readonly logFiles: readonly { readonly path: string; readonly sizeBytes: number }[];
  /** Text of the index page. */
  readonly indexText: string | undefined;
  readonly queue: ParsedQueue;
  readonly provenance: readonly ProvenanceRecord[];
  /** Digest of a source as it is now. */
  readonly sourceDigests: ReadonlyMap<string, string>;
  /** Findings of the walk over the directory: names, links, files that could not be read. */
  readonly walk: readonly Finding[];
  /** Findings about what lies outside the wiki: outputs, copies, buckets. */
  readonly outside: readonly Finding[];
  readonly uncommitted?: Uncommitted;
  /** Whether a target above the root exists; absent where nothing outside may be looked at. */
  readonly exists?: (path: string) => boolean;
}

/** Whether this is a wiki, or only a directory of Markdown: then only what holds for any page is looked at. */
export function isWiki(index: WikiIndex): boolean {
  return index.files().has('.wiki/config.yaml') || index.special('index').length > 0 || index.special('log').length > 0;
}
