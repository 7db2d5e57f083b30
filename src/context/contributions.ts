// Writing to a derived record file: how a line, or a whole file, becomes an event. The folds read these events.
import { isUtf8 } from 'node:buffer';
import { CtxError } from '../abi/errors.ts';
import { parseSource } from '../abi/ranges.ts';
import { understood } from '../abi/records.ts';
import type { CONTRIBUTION_LINES, CONTRIBUTION_WHOLE } from '../abi/session-files.ts';
import { isRefKind, REF_KINDS } from './refs.ts';
import { ITEM_ID, MOST_STATED_UNITS } from './rows.ts';
import { CONTRIBUTION_TYPES } from './types.ts';
import type { ContributionType } from './types.ts';

type LineFile = (typeof CONTRIBUTION_LINES)[number];
type WholeFile = (typeof CONTRIBUTION_WHOLE)[number];

/** An event object for events.jsonl; unknown fields of the contributed line (provenance, say) are kept. */
export type ContributionEvent = Readonly<Record<string, unknown>> & { readonly type: ContributionType };

/** Most bytes of a whole-file contribution. todo.md may be long: appending a line to it writes it whole. */
export const MOST_WRITTEN_BYTES: Readonly<Record<WholeFile, number>> = { 'summary.md': 64 * 1024, 'todo.md': 1024 * 1024 };

/**
 * One line appended to facts.jsonl, decisions.jsonl or refs.jsonl (without its newline).
 * `{"retract":"f12"}` removes the row of that id. Throws CtxError: EINVAL, or EFBIG when a text is over-long.
 */
export function contributionEvent(file: LineFile, line: Buffer | string): ContributionEvent {
  const where = `context/${file}`;
  const row = readRow(line, where);
  const { id, source, retract, type, ...rest } = row;
  const rule = RULES[file];
  if (type !== undefined && type !== rule.type && type !== 'context.retract') throw fault(where, `type is not ${rule.type}`);
  if (id !== undefined && !isItemId(id)) throw fault(where, 'id is not [A-Za-z0-9][A-Za-z0-9._:+-]{0,95}');
  if (source !== undefined && (typeof source !== 'string' || source.length > 1024 || parseSource(source) === undefined)) {
    throw fault(where, 'source is not a source such as messages:12-18 or user:latest');
  }
  if (retract !== undefined || type === 'context.retract') {
    const target = typeof retract === 'string' ? retract : retract === true || retract === undefined ? (rest['target'] ?? id) : undefined;
    if (!isItemId(target)) throw fault(where, 'retract does not name an id');
    return { ...rest, type: 'context.retract', file, target };
  }
  const text = statement(rest[rule.field], rule.field, where);
  if (file === 'refs.jsonl') {
    if (rest['kind'] !== undefined && !isRefKind(rest['kind'])) throw fault(where, `kind is not one of ${REF_KINDS.join(', ')}`);
    if (rest['summary'] !== undefined && typeof rest['summary'] !== 'string') throw fault(where, 'summary is not text');
    if (/[\u0000-\u001f]/.test(text)) throw fault(where, 'path holds a control character');
  }
  return { ...rest, type: rule.type, [rule.field]: text, ...(id === undefined ? {} : { id }), ...(source === undefined ? {} : { source }) };
}

/** A whole new summary.md or todo.md. Empty content takes earlier whole-file contributions back. */
export function wholeFileEvent(file: WholeFile, bytes: Buffer | string): ContributionEvent {
  const where = `context/${file}`;
  const text = readText(bytes, where);
  const most = MOST_WRITTEN_BYTES[file];
  if (Buffer.byteLength(text) > most) {
    throw new CtxError('context.contribution_too_long', 'EFBIG', `longer than ${most} bytes`, { where });
  }
  if (text.trim() === '') return { type: 'context.retract', file, target: '*' };
  return { type: file === 'summary.md' ? 'context.summary' : 'context.todo', content: text };
}

/** Whether an event of events.jsonl is a contribution (the folds ignore malformed fields). */
export function isContributionType(type: unknown): type is ContributionType {
  return (CONTRIBUTION_TYPES as readonly unknown[]).includes(type);
}

const RULES = {
  'facts.jsonl': { type: 'context.fact', field: 'text' },
  'decisions.jsonl': { type: 'context.decision', field: 'decision' },
  'refs.jsonl': { type: 'context.ref', field: 'path' },
} as const satisfies Record<LineFile, { readonly type: ContributionType; readonly field: string }>;

function fault(where: string, what: string, cause?: unknown): CtxError {
  return new CtxError('context.contribution', 'EINVAL', what, { where, next: 'nothing was recorded; see abi-spec/context.md', cause });
}

function readText(bytes: Buffer | string, where: string): string {
  if (typeof bytes !== 'string' && !isUtf8(bytes)) throw fault(where, 'is not UTF-8');
  const text = typeof bytes === 'string' ? bytes : bytes.toString('utf8');
  if (text.includes('\0')) throw fault(where, 'holds a NUL byte');
  return text;
}

function readRow(line: Buffer | string, where: string): Record<string, unknown> {
  const text = readText(line, where);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw fault(where, 'is not one JSON object a line', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fault(where, 'is not a JSON object');
  if (understood(value) !== value) throw fault(where, 'is nested too deep');
  return value as Record<string, unknown>;
}

function statement(value: unknown, field: string, where: string): string {
  if (typeof value !== 'string' || value.trim() === '') throw fault(where, `${field} is not text`);
  if (value.length > MOST_STATED_UNITS) {
    throw new CtxError('context.contribution_too_long', 'EFBIG', `${field} is longer than ${MOST_STATED_UNITS} characters`, { where });
  }
  return value;
}

function isItemId(value: unknown): value is string {
  return typeof value === 'string' && ITEM_ID.test(value);
}
