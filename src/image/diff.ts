// Two images, or an image and a session, compared by source, manifest, memory and transcript (IMG-16). Told, never merged.
import { unifiedDiff } from '../wiki/diff.ts';
import type { Binding, ImageConfig } from './config.ts';
import type { OciDigest } from './oci.ts';
import { diffJournals, type JournalDiff, type JournalSide } from './transcript-diff.ts';

export interface SourceFile {
  readonly size: number;
  readonly digest: OciDigest;
  read(): Promise<Buffer>;
}

export interface DiffSide {
  /** As people name it. */
  readonly name: string;
  /** Undefined: a session, which has no manifest before it is committed. */
  readonly config: ImageConfig | undefined;
  readonly files: ReadonlyMap<string, SourceFile>;
  readonly messages: JournalSide;
  readonly events: JournalSide;
}

/** Bytes that both journals begin with, as a session's record of its image says. */
export type Recorded = Readonly<Record<'messages' | 'events', number>>;

export interface FileChange {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'changed';
  readonly before: { readonly size: number; readonly digest: OciDigest } | null;
  readonly after: { readonly size: number; readonly digest: OciDigest } | null;
  /** Unified; null where the bytes are no text, or too many. */
  readonly diff: string | null;
}

export interface FieldChange {
  readonly field: string;
  readonly before: unknown;
  readonly after: unknown;
}

export interface ImageDiff {
  readonly source?: readonly FileChange[];
  /** Null: a side is a session. */
  readonly manifest?: readonly FieldChange[] | null;
  readonly memory?: readonly FieldChange[] | null;
  readonly transcript?: { readonly messages: JournalDiff; readonly events: JournalDiff };
  readonly same: boolean;
}

export const DIFF_PARTS = ['source', 'manifest', 'memory', 'transcript'] as const;
export type DiffPart = (typeof DIFF_PARTS)[number];

/** Beyond it a file is told by size and digest. */
const MAX_TEXT_BYTES = 256 * 1024;
const MAX_TEXT_LINES = 4000;
/** Beyond it, what differs is told without its text. */
const MAX_DIFFED_FILES = 200;

export async function diffSides(a: DiffSide, b: DiffSide, parts: readonly DiffPart[], recorded: Recorded): Promise<ImageDiff> {
  const source = parts.includes('source') ? await diffFiles(a.files, b.files) : undefined;
  const both = a.config !== undefined && b.config !== undefined ? ([a.config, b.config] as const) : null;
  const manifest = parts.includes('manifest') ? both && diffFields(manifestOf(both[0]), manifestOf(both[1])) : undefined;
  const memory = parts.includes('memory') ? both && diffFields(memoryOf(both[0]), memoryOf(both[1])) : undefined;
  const transcript = parts.includes('transcript')
    ? {
        messages: await diffJournals(a.messages, b.messages, recorded.messages),
        events: await diffJournals(a.events, b.events, recorded.events),
      }
    : undefined;
  const journals = transcript === undefined ? [] : [transcript.messages, transcript.events];
  const same =
    [source, manifest, memory].every((changes) => (changes?.length ?? 0) === 0) &&
    journals.every((journal) => journal.a.bytes + journal.b.bytes === 0);
  return {
    ...(source === undefined ? {} : { source }),
    ...(manifest === undefined ? {} : { manifest }),
    ...(memory === undefined ? {} : { memory }),
    ...(transcript === undefined ? {} : { transcript }),
    same,
  };
}

async function diffFiles(a: DiffSide['files'], b: DiffSide['files']): Promise<readonly FileChange[]> {
  const paths = [...new Set([...a.keys(), ...b.keys()])].sort();
  const changes: FileChange[] = [];
  for (const path of paths) {
    const [before, after] = [a.get(path), b.get(path)];
    if (before?.digest === after?.digest) continue;
    const change = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
    const diff = changes.length < MAX_DIFFED_FILES ? await textDiff(path, before, after) : null;
    changes.push({ path, change, before: facts(before), after: facts(after), diff });
  }
  return changes;
}

function facts(file: SourceFile | undefined): FileChange['before'] {
  return file === undefined ? null : { size: file.size, digest: file.digest };
}

async function textDiff(path: string, before: SourceFile | undefined, after: SourceFile | undefined): Promise<string | null> {
  const old = await textOf(before);
  const now = await textOf(after);
  if (old === undefined || now === undefined) return null;
  if (after !== undefined) return unifiedDiff(path, before === undefined ? undefined : old, now);
  const lines = old.endsWith('\n') ? old.slice(0, -1).split('\n') : old.split('\n');
  return old === '' ? '' : `--- a/${path}\n+++ /dev/null\n@@ -1,${lines.length} +0,0 @@\n${lines.map((line) => `-${line}\n`).join('')}`;
}

/** Undefined for what is no text of a size to read. */
async function textOf(file: SourceFile | undefined): Promise<string | undefined> {
  if (file === undefined) return '';
  if (file.size > MAX_TEXT_BYTES) return undefined;
  const bytes = await file.read();
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.includes('\0') || text.split('\n', MAX_TEXT_LINES + 1).length > MAX_TEXT_LINES ? undefined : text;
  } catch {
    return undefined;
  }
}

/** Everything that is not files, journals or bindings; layers by what they hold. */
function manifestOf(config: ImageConfig): object {
  const { layers, mounts, branch, ...rest } = config;
  return {
    ...rest,
    mounts: { tools: mounts.tools },
    layers: layers.map(({ name, role, parts }) => `${role} ${name} ${parts.map(({ digest }) => digest.slice(7, 19)).join(' ')}`),
    ...(branch === undefined ? {} : { branch: { ...branch, inherited_layers: branch.inherited_layers.length } }),
  };
}

function memoryOf({ mounts }: ImageConfig): object {
  const named = (bindings: readonly Binding[]): object =>
    Object.fromEntries(bindings.map(({ name, ...binding }) => [name, { ...binding, bound: true }]));
  return { memory: named(mounts.memory), retrieval: named(mounts.retrieval) };
}

/** Fields that differ, by their path; a list is one value. */
function diffFields(a: object, b: object): readonly FieldChange[] {
  const [before, after] = [leaves(a), leaves(b)];
  return [...new Set([...before.keys(), ...after.keys()])]
    .sort()
    .filter((field) => JSON.stringify(before.get(field)) !== JSON.stringify(after.get(field)))
    .map((field) => ({ field, before: before.get(field) ?? null, after: after.get(field) ?? null }));
}

function leaves(value: object, prefix = ''): ReadonlyMap<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [key, entry] of Object.entries(value) as [string, unknown][]) {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    if (typeof entry === 'object' && entry !== null && !Array.isArray(entry))
      for (const [deep, leaf] of leaves(entry, path)) found.set(deep, leaf);
    else if (entry !== undefined && entry !== null) found.set(path, entry);
  }
  return found;
}
