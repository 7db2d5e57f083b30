// src/interop: other agents' transcripts in and out. Importers plan journal lines, exporters read them;
// nothing here writes a journal: the CLI appends what is planned through the mount (abi-spec/interop.md).

export const FORMATS = ['claude-code', 'codex', 'gemini', 'openai', 'swe-agent', 'pi', 'sharegpt', 'atif', 'text'] as const;
export type Format = (typeof FORMATS)[number];

/** One planned journal line, without its newline. */
export interface ImportLine {
  readonly file: 'messages' | 'events';
  readonly line: string;
}

/**
 * One piece of an original record (INT-2): a string is literal text, `[start, length]` are bytes of the
 * journal line that carries it, `{field}` is the decoded text of that field of the line.
 */
export type RawPiece = string | readonly [number, number] | { readonly field: string };

/** The last field of every imported line: where it came from and how to get the original bytes back. */
export interface Origin {
  /** Equal for the same record of the same source on every import. */
  readonly import_id: string;
  readonly format: Format;
  /** The conversation the record belongs to: the format's own session id, else `path:` and the file's path. */
  readonly source: string;
  /** Position of the record in its source, from 0. */
  readonly seq: number;
  /** Version of the source (absent: 1); grows only when a position that was imported before has other bytes now. */
  readonly gen?: number;
  /** The format's own id of the record. */
  readonly key?: string;
  /** Which of several lines made from one record (absent: 0). */
  readonly part?: number;
  /** The record's own time stamp. */
  readonly at?: string;
  /** Conversation within a file of many (from 0). */
  readonly episode?: number;
  /** The original record; on exactly one of its lines. */
  readonly raw?: readonly RawPiece[];
  /** The same for bytes that are not UTF-8. */
  readonly raw_base64?: string;
  /** `raw` continues in the next line with the same import_id: [index, count]. */
  readonly chunk?: readonly [number, number];
}

export type Json = Record<string, unknown>;

/** What a converter makes of a record, before its origin is added. */
export interface Draft {
  readonly file: 'messages' | 'events';
  readonly body: Json;
  /** `self`: the record already is the message, keep its text. `value`: put the record's text in field `value`. */
  readonly verbatim?: 'self' | 'value';
  /** Of a record that says messages over again: the id of the one this is. It is passed over when that id is known. */
  readonly key?: string;
}

/** Facts about a source that its first records settle, and later records cannot change. */
export interface SourceFacts {
  /** The format's own conversation id. */
  readonly session?: string;
  readonly cwd?: string;
  readonly startedAt?: string;
  readonly model?: string;
  /** Claude Code: every record of this file is a sub-agent's, so they are its main conversation. */
  readonly sidechain?: boolean;
  /** Key of the first user or assistant record. */
  readonly firstKey?: string;
}

/** One format's reading of its records. Pure: the same record gives the same drafts. */
export interface Converter {
  readonly format: Format;
  /** Facts from the records at the head of the source. */
  facts(head: readonly Json[]): SourceFacts;
  key(value: Json): string | undefined;
  time(value: Json): string | undefined;
  convert(value: Json, facts: SourceFacts): readonly Draft[];
}

/** A transcript that can be read more than once. */
export interface TranscriptSource {
  /** Absolute path, or a stable name; identifies sources whose format has no conversation id. */
  readonly path: string;
  open(startBytes?: number): AsyncIterable<Uint8Array>;
}

/** How far a source was imported. */
export interface SourceMark {
  readonly bytes: number;
  /** sha256 of those bytes. */
  readonly digest: string;
  readonly records: number;
  /** False when the last record had no newline. */
  readonly eol: boolean;
  /** Base64 of what followed the last record and was not one (a torn line, closing brackets). */
  readonly tail: string;
  /** Where it was read. */
  readonly path: string;
}

/** What the session already holds. The importer asks it, and tells it each line that it plans. */
export interface ImportState {
  /** In the order they were first seen. */
  readonly sources: readonly string[];
  mark(source: string): SourceMark | undefined;
  /** Records known of a source (highest position + 1). */
  count(source: string): number;
  generation(source: string): number;
  has(importId: string): boolean;
  /** The newest record known at this position of the source is this one. */
  placed(importId: string, source: string, seq: number): boolean;
  /** A line with this body was made from the record with this key. */
  hasBody(key: string, body: string): boolean;
  /** A line with this body was made from the last record of the source, which lies at this position. */
  lastHasBody(source: string, seq: number, body: string): boolean;
  /** Something was made from the record with this key: cheap, asked before `hasBody`. */
  hasKey(key: string): boolean;
  observe(line: string): void;
  /** `observe` for a line whose parts are at hand. */
  remember(body: string, origin: Origin): void;
}

/** One source being imported: bytes in, lines out. `finish` ends it; `settle` flushes what only waits for more. */
export interface SourceImporter {
  push(bytes: Uint8Array): readonly ImportLine[];
  settle(): readonly ImportLine[];
  finish(): readonly ImportLine[];
}
