// Rows of facts.jsonl, decisions.jsonl and refs.jsonl: what was extracted and what was contributed, merged by id.
// CTX-5: a contribution wins over an extracted row of its id or text; a retraction removes the row of its id.
// Ids name places in history (f12: message 12; f12-2: its second; fe3: event 3), so every rebuild gives the same ids,
// whatever the order in which blocks and contributions were folded.
import { parseSource } from '../abi/ranges.ts';
import { clipLine } from './sentences.ts';
import { textHash } from './text-hash.ts';
import { MAX_EXTRACTED_ITEMS } from './types.ts';
import type { Contribution } from './types.ts';

export interface Row {
  readonly id: string;
  /** Message line that orders the row: where it was stated, or the last message before the contribution. */
  readonly line: number;
  /** Last message line that states it: rows that were stated last matter most. */
  readonly lastLine: number;
  /** Line in events.jsonl; 0 for an extracted row. */
  readonly event: number;
  /** Same key, same statement. */
  readonly key: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Plain JSON. */
export interface RowState {
  /** Extracted rows in order. */
  items: Row[];
  /** Key to index in `items`, counted from the first item ever (so that eviction needs no renumbering). */
  places: Record<string, number>;
  evicted: number;
  contributed: Record<string, Row>;
  retracted: Record<string, 1>;
}

export function initialRows(): RowState {
  return { items: [], places: {}, evicted: 0, contributed: {}, retracted: {} };
}

/** Adds an extracted row unless its key is known; `merge` may then update the known one. */
export function addExtracted(state: RowState, row: Row, merge?: (known: Row, again: Row) => Row): void {
  const place = state.places[row.key];
  if (place !== undefined) {
    const index = place - state.evicted;
    if (merge !== undefined) state.items[index] = merge(state.items[index] as Row, row);
    return;
  }
  state.places[row.key] = state.evicted + state.items.length;
  state.items.push(row);
  if (state.items.length > MAX_EXTRACTED_ITEMS) {
    const oldest = state.items.shift() as Row;
    state.evicted += 1;
    delete state.places[oldest.key];
  }
}

export function addContributed(state: RowState, row: Row): void {
  delete state.retracted[row.id];
  // Deleted first, so that the newest contribution of an id takes the newest place.
  delete state.contributed[row.id];
  state.contributed[row.id] = row;
}

/** Handles `context.retract`; true when the event was one. */
export function retract(state: RowState, contribution: Contribution, file: string): boolean {
  if (contribution.type !== 'context.retract') return false;
  const { target, file: about } = contribution.event;
  if (typeof target !== 'string' || (typeof about === 'string' && about !== file)) return true;
  delete state.contributed[target];
  state.retracted[target] = 1;
  return true;
}

/** JSONL in stream order; under a limit contributions first, then what was stated last. */
export function rowsText(state: RowState, limitBytes?: number, more: readonly Row[] = []): string {
  const contributed = Object.values(state.contributed);
  const keys = new Set(contributed.map((row) => row.key));
  const stated = [...state.items, ...more];
  const rows =
    contributed.length === 0 && Object.keys(state.retracted).length === 0
      ? stated
      : contributed.concat(
          stated.filter((row) => state.retracted[row.id] === undefined && state.contributed[row.id] === undefined && !keys.has(row.key)),
        );
  if (limitBytes === undefined) return rows.sort(inStream).map(rowLine).join('');
  // Only as many are put in order as may fit.
  const kept: Row[] = [];
  let left = limitBytes;
  let misfits = 0;
  for (const row of heaviestFirst(rows)) {
    const sizeBytes = Buffer.byteLength(rowLine(row));
    if (sizeBytes <= left) {
      kept.push(row);
      left -= sizeBytes;
    } else if (++misfits === MOST_MISFITS) break;
  }
  return kept.sort(inStream).map(rowLine).join('');
}

function rowLine({ id, fields }: Row): string {
  return `${JSON.stringify({ id, ...fields })}\n`;
}

/** Rows by weight, one at a time: a binary heap made in place. */
function* heaviestFirst(rows: Row[]): Generator<Row> {
  const sink = (from: number, length: number): void => {
    const row = rows[from] as Row;
    let at = from;
    for (let child = at * 2 + 1; child < length; child = at * 2 + 1) {
      if (child + 1 < length && byWeight(rows[child + 1] as Row, rows[child] as Row) < 0) child += 1;
      if (byWeight(row, rows[child] as Row) <= 0) break;
      rows[at] = rows[child] as Row;
      at = child;
    }
    rows[at] = row;
  };
  for (let at = (rows.length >> 1) - 1; at >= 0; at -= 1) sink(at, rows.length);
  for (let length = rows.length; length > 0;) {
    const top = rows[0] as Row;
    length -= 1;
    rows[0] = rows[length] as Row;
    if (length > 0) sink(0, length);
    yield top;
  }
}

/**
 * Lines that fit, taken in the order of `weighed`, given in the order of their indexes. Stops after some that do not fit:
 * so the cost follows the limit, not the number of lines.
 */
export function takeLines(weighed: readonly number[], lineOf: (index: number) => string, limitBytes: number): string {
  const kept: [index: number, line: string][] = [];
  let left = limitBytes;
  let misfits = 0;
  for (const index of weighed) {
    const line = lineOf(index);
    const sizeBytes = Buffer.byteLength(line);
    if (sizeBytes <= left) {
      kept.push([index, line]);
      left -= sizeBytes;
    } else if (++misfits === MOST_MISFITS) break;
  }
  return kept
    .sort((a, b) => a[0] - b[0])
    .map(([, line]) => line)
    .join('');
}

/** Lower case, inner blanks and end marks dropped; long texts by their hash (a collision merges two rows, the same way each time). */
export function statementKey(text: string): string {
  const line = text.toLowerCase().replace(/[\s"'`*_]+/g, ' ');
  let end = line.length;
  while (end > 0 && ' .!;,:'.includes(line.charAt(end - 1))) end -= 1;
  const plain = line.slice(line.startsWith(' ') ? 1 : 0, end);
  return plain.length <= 24 ? `=${plain}` : textHash(plain);
}

/** `f12`, and `f12-2` for the second of the same line. `counts` lives for one block. */
export function placeId(letter: string, line: number, counts: Map<number, number>): string {
  const count = (counts.get(line) ?? 0) + 1;
  counts.set(line, count);
  return count === 1 ? `${letter}${line}` : `${letter}${line}-${count}`;
}

/** The contributed id, else one that names the event. */
export function contributedId(letter: string, contribution: Contribution): string {
  const id = contribution.event['id'];
  return typeof id === 'string' && ITEM_ID.test(id) ? id : `${letter}e${contribution.eventLine}`;
}

/** The contributed source, else the event itself. */
export function contributedSource(contribution: Contribution): string {
  const source = contribution.event['source'];
  return typeof source === 'string' && source.length <= 1024 && parseSource(source) !== undefined ? source : `ev-${contribution.eventLine}`;
}

/** Text of a contributed field, bounded: events may have been written past the contribution check. */
export function statedText(value: unknown): string | undefined {
  return typeof value !== 'string' || value === ''
    ? undefined
    : value.length <= MOST_STATED_UNITS
      ? value
      : clipLine(value, MOST_STATED_UNITS);
}

/** Most UTF-16 units of one fact, decision, todo or ref summary. */
export const MOST_STATED_UNITS = 4096;
export const ITEM_ID: RegExp = /^[A-Za-z0-9][A-Za-z0-9._:+-]{0,95}$/;
const MOST_MISFITS = 16;

function inStream(a: Row, b: Row): number {
  return a.line - b.line || a.event - b.event || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

function byWeight(a: Row, b: Row): number {
  return Number(b.event > 0) - Number(a.event > 0) || b.lastLine - a.lastLine || b.event - a.event || (a.id < b.id ? -1 : 1);
}
