// Child agents' hand-offs and results (`context/child/<id>/…`), as the parent's context sees them.
import { digestOf } from '../abi/digest.ts';
import { isObjectName } from '../abi/names.ts';
import { isRefKind } from './refs.ts';
import type { Row } from './rows.ts';
import { clipLine } from './sentences.ts';

/** The recorded input that lists a child's artifacts, one name a line. */
export const ARTIFACT_LISTING = 'artifact/';

export const CHILD_STATUSES = ['pending', 'active', 'done', 'error', 'cancelled'] as const;
export type ChildStatus = (typeof CHILD_STATUSES)[number];

/** What one child directory says. Every field comes from a recorded input. */
export interface ChildView {
  readonly id: string;
  readonly agent: string;
  readonly session: string;
  readonly status: ChildStatus;
  readonly handoff: string;
  /** Text of result.md; empty while there is none. */
  readonly result: string;
  /** Names in `context/child/<id>/artifact/`; directories end in a slash. */
  readonly artifacts: readonly string[];
  readonly refs: readonly { readonly path: string; readonly kind: string; readonly summary: string }[];
}

/** Children by id, from files below `context/child/` (path to bytes). In id order. Unknown files are ignored. */
export function readChildren(files: ReadonlyMap<string, Buffer | string>): readonly ChildView[] {
  const ids = new Map<string, Map<string, Buffer | string>>();
  for (const [path, content] of files) {
    const match = /^(?:context\/)?child\/([^/]+)\/(.+)$/.exec(path);
    if (match?.[1] === undefined || match[2] === undefined || !isObjectName(match[1])) continue;
    const known = ids.get(match[1]);
    if (known === undefined) ids.set(match[1], new Map([[match[2], content]]));
    else known.set(match[2], content);
  }
  return [...ids].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, own]) => readChild(id, own));
}

/** CTX-13: rows for refs.jsonl: the result, its artifacts, and what the child itself refers to. Ids name the child, so they never move. */
export function childRefRows(children: readonly ChildView[]): readonly Row[] {
  const rows: Row[] = [];
  for (const child of children) {
    const home = `context/child/${child.id}`;
    const add = (id: string, path: string, kind: string, summary: string, source: string): void => {
      // After everything that messages mention.
      rows.push({ id, line: Infinity, lastLine: Infinity, event: 0, key: `=${path}`, fields: { path, kind, summary, source } });
    };
    if (child.result !== '') add(`c-${child.id}`, `${home}/result.md`, 'child_result', childSummary(child), `${home}/result.md`);
    for (const artifact of child.artifacts) {
      add(
        `c-${child.id}:${idPart(artifact)}`,
        `${home}/artifact/${artifact}`,
        'artifact',
        `from child ${child.id}`,
        // What is recorded of artifacts is their listing.
        `${home}/${ARTIFACT_LISTING}`,
      );
    }
    child.refs.forEach((ref, n) => add(`c-${child.id}:ref-${n + 1}`, ref.path, ref.kind, ref.summary, `${home}/refs.jsonl`));
  }
  return rows;
}

/** One line for people and for the pack: status and how the result begins. */
export function childSummary(child: ChildView): string {
  const who = child.agent === '' ? '' : ` ${child.agent}`;
  const lead = child.result.split('\n').find((line) => /[\p{L}\p{N}]/u.test(line)) ?? '';
  return clipLine(`${child.status}${who}: ${lead.replace(/^[\s#>*-]+/, '')}`, 200);
}

/**
 * GC-3: ids of children that a parent's context names, in any of these texts (pack.json, refs.jsonl, summary.md, …).
 * Linear in the texts.
 */
export function referencedChildren(texts: Iterable<string>): ReadonlySet<string> {
  const ids = new Set<string>();
  for (const text of texts) {
    for (let at = text.indexOf(MENTION); at >= 0; at = text.indexOf(MENTION, at + MENTION.length)) {
      const id = /^[a-zA-Z0-9][a-zA-Z0-9._+-]{0,63}/.exec(text.slice(at + MENTION.length, at + MENTION.length + 64))?.[0];
      if (id === undefined) continue;
      ids.add(id);
      // At the end of a sentence the full stop is not part of the name; keeping one child too many is safe.
      ids.add(id.replace(/[.+-]+$/, ''));
    }
  }
  return ids;
}

function idPart(path: string): string {
  return /^[A-Za-z0-9._+-]{1,28}$/.test(path) ? path : digestOf(path).slice(7, 19);
}

const MENTION = 'context/child/';
const MOST_REFS = 64;

function readChild(id: string, files: ReadonlyMap<string, Buffer | string>): ChildView {
  const line = (name: string): string => clipLine((files.get(name) ?? '').toString(), 200);
  const status = line('status');
  return {
    id,
    agent: line('agent'),
    session: line('session'),
    status: CHILD_STATUSES.find((known) => known === status) ?? 'pending',
    handoff: (files.get('handoff.md') ?? '').toString(),
    result: (files.get('result.md') ?? '').toString(),
    artifacts: (files.get(ARTIFACT_LISTING) ?? '')
      .toString()
      .split('\n')
      .filter((name) => name !== '')
      .sort(),
    refs: readRefs((files.get('refs.jsonl') ?? '').toString()),
  };
}

function readRefs(text: string): ChildView['refs'] {
  const refs: { path: string; kind: string; summary: string }[] = [];
  for (const line of text.split('\n')) {
    if (line === '' || refs.length === MOST_REFS) continue;
    let row: unknown;
    try {
      row = JSON.parse(line);
    } catch {
      continue;
    }
    const { path, kind, summary } = (typeof row === 'object' && row !== null ? row : {}) as Record<string, unknown>;
    if (typeof path !== 'string' || path === '') continue;
    refs.push({
      path: clipLine(path, 1024),
      kind: isRefKind(kind) ? kind : 'file',
      summary: typeof summary === 'string' ? clipLine(summary, 200) : '',
    });
  }
  return refs;
}
