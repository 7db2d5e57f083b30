// context/todo.md: open work as checkbox lines, each with its source. The last statement about an item decides whether it is done.
import { contributedId, contributedSource, MOST_STATED_UNITS, placeId, statementKey, takeLines } from './rows.ts';
import { clipLine } from './sentences.ts';
import { MAX_BLOCK_TODOS, MAX_EXTRACTED_ITEMS } from './types.ts';
import type { BlockRecord, Contribution, KindFold } from './types.ts';

interface TodoItem {
  readonly id: string;
  readonly key: string;
  readonly text: string;
  readonly source: string;
  /** Place of the first and of the last statement: message line, then event line (0: the message itself). */
  readonly first: Place;
  readonly last: Place;
  /** Newest event that speaks of it; 0 when it was only extracted. */
  readonly event: number;
  readonly done: boolean;
  /** Its last statement was a planning tool's list. */
  readonly planned?: true;
  /** Message line of the first later list that does not have it any more. */
  readonly dropped?: number;
}

type Place = readonly [line: number, event: number];

/** Plain JSON. */
export interface TodoState {
  items: TodoItem[];
  /** Key to index in `items`. */
  places: Record<string, number>;
  /** The newest whole-file contribution: its lines stay as they were written, but for their boxes. */
  base: { eventLine: number; throughLine: number; lines: string[] } | null;
  retracted: Record<string, 1>;
}

export const todoFold: KindFold<TodoState> = {
  kind: 'todo',
  initial: () => ({ items: [], places: {}, base: null, retracted: {} }),
  addBlock(state, block) {
    const counts = new Map<number, number>();
    for (const { line, text, done, planned } of block.todos) {
      const id = placeId('t', line, counts);
      const place: Place = [line, 0];
      const said = { id, key: statementKey(text), text, source: `messages:${line}`, first: place, last: place, event: 0, done };
      put(state, planned === undefined ? said : { ...said, planned });
    }
    dropUnplanned(state, block);
    // With slack, so that a long history pays for this once in many blocks.
    if (state.items.length > MAX_EXTRACTED_ITEMS + SLACK_ITEMS) {
      state.items = bounded(state.items);
      state.places = Object.fromEntries(state.items.map((item, index) => [item.key, index]));
    }
  },
  addContribution(state, contribution) {
    const { type, event, eventLine, afterLine } = contribution;
    if (type === 'context.retract') return retractTodo(state, event);
    if (type !== 'context.todo') return;
    const { content, text, done } = event;
    if (typeof content === 'string') {
      state.base = { eventLine, throughLine: afterLine, lines: content.replace(/\n+$/, '').split('\n') };
    } else if (typeof text === 'string') {
      put(state, todoOf(contribution, text, done === true));
    }
  },
  text(state, limitBytes) {
    const base = state.base;
    // The written list speaks for everything before it; an item comes back when somebody speaks of it again.
    const current = state.items.length > MAX_EXTRACTED_ITEMS ? bounded(state.items) : state.items;
    const shown = current.filter(
      (item) =>
        state.retracted[item.id] === undefined &&
        !isDropped(item) &&
        (base === null || item.last[0] > base.throughLine || item.event > base.eventLine),
    );
    const rows: { line: string; open: boolean; at: number; event: boolean }[] = [];
    const byKey = new Map(shown.map((item) => [item.key, item]));
    for (const line of base?.lines ?? []) {
      const box = parseTodoLine(line);
      const later = box === undefined ? undefined : byKey.get(statementKey(box.text));
      if (later !== undefined) byKey.delete(later.key);
      const done = later?.done ?? box?.done ?? false;
      const text = box === undefined || done === box.done ? line : line.replace(/\[[ xX]\]/, done ? '[x]' : '[ ]');
      rows.push({ line: `${text}\n`, open: !done, at: later?.last[0] ?? base?.throughLine ?? 0, event: true });
    }
    for (const item of shown.sort(
      (a, b) => a.first[0] - b.first[0] || a.first[1] - b.first[1] || a.id.length - b.id.length || (a.id < b.id ? -1 : 1),
    )) {
      if (!byKey.has(item.key)) continue;
      rows.push({
        line: `- [${item.done ? 'x' : ' '}] ${item.text} (${item.source})\n`,
        open: !item.done,
        at: item.last[0],
        event: item.event > 0,
      });
    }
    if (limitBytes === undefined) return rows.map((row) => row.line).join('');
    const weighed = rows.map((_, index) => index).sort((a, b) => byWeight(rows[a], rows[b]) || b - a);
    return takeLines(weighed, (index) => rows[index]?.line ?? '', limitBytes);
  },
};

/** `- [ ] text (source)`: its parts, or undefined when the line is no checkbox. */
export function parseTodoLine(line: string): { readonly text: string; readonly done: boolean } | undefined {
  const match = /^\s*(?:[-*+]|[0-9]{1,3}[.)])\s+\[([ xX])\]\s+(\S[^]*)$/.exec(line.trimEnd());
  if (match === null) return undefined;
  const body = match[2] as string;
  const open = body.lastIndexOf(' (');
  const text = open > 0 && SOURCE_NOTE.test(body.slice(open)) ? body.slice(0, open).trimEnd() : body;
  return { text, done: match[1] !== ' ' };
}

const SOURCE_NOTE = /^ \((?:messages:[0-9-]+|ev-[0-9]+)\)$/;

function todoOf(contribution: Contribution, text: string, done: boolean): TodoItem {
  const shown = clipLine(text, MOST_STATED_UNITS);
  return {
    id: contributedId('t', contribution),
    key: statementKey(shown),
    text: shown,
    source: contributedSource(contribution),
    first: [contribution.afterLine, contribution.eventLine],
    last: [contribution.afterLine, contribution.eventLine],
    event: contribution.eventLine,
    done,
  };
}

/** The earliest statement names the item, the latest decides whether it is done: whatever the order of folding. */
function put(state: TodoState, item: TodoItem): void {
  const index = state.places[item.key];
  if (index === undefined) {
    state.places[item.key] = state.items.length;
    state.items.push(item);
    return;
  }
  const known = state.items[index] as TodoItem;
  const named = isBefore(item.first, known.first) ? item : known;
  const latest = isBefore(item.last, known.last) ? known : item;
  const { id, key, text, source, first } = named;
  const { last, done, planned } = latest;
  const { dropped } = known;
  state.items[index] = {
    id,
    key,
    text,
    source,
    first,
    last,
    done,
    event: Math.max(known.event, item.event),
    ...(planned === undefined ? {} : { planned }),
    ...(dropped === undefined ? {} : { dropped }),
  };
  if (item.event > 0) delete state.retracted[named.id];
}

/** CTX-15: each list of a planning tool is whole: an open item that is no longer in it is no longer planned. */
function dropUnplanned(state: TodoState, block: BlockRecord): void {
  // Beyond the bound the last list may be cut: what is missing there says nothing.
  const through = block.todos.length < MAX_BLOCK_TODOS ? Infinity : (block.todos.at(-1)?.line ?? 0) - 1;
  const lists = new Set(block.todos.filter((todo) => todo.planned === true && todo.line <= through).map((todo) => todo.line));
  for (const line of lists) {
    const listed = new Set(
      block.todos.filter((todo) => todo.planned === true && todo.line === line).map((todo) => statementKey(todo.text)),
    );
    for (const [index, item] of state.items.entries()) {
      if (item.planned !== true || item.last[0] >= line || listed.has(item.key)) continue;
      if (item.dropped === undefined || item.dropped < item.last[0]) state.items[index] = { ...item, dropped: line };
    }
  }
}

/** A contribution about it keeps it, and so does a later statement. */
function isDropped(item: TodoItem): boolean {
  return !item.done && item.event === 0 && item.dropped !== undefined && item.last[0] < item.dropped;
}

function isBefore(a: Place, b: Place): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}

function retractTodo(state: TodoState, event: Contribution['event']): void {
  const { target, file } = event;
  if (typeof target !== 'string' || (typeof file === 'string' && file !== 'todo.md')) return;
  if (state.base !== null && (target === '*' || target === `ev-${state.base.eventLine}`)) state.base = null;
  else if (target !== '*') state.retracted[target] = 1;
}

/** Over the bound: done items go first, oldest first; contributions stay. */
function bounded(items: readonly TodoItem[]): TodoItem[] {
  let excess = items.length - MAX_EXTRACTED_ITEMS;
  const withoutDone = items.filter((item) => !(item.done && item.event === 0 && excess-- > 0));
  excess = withoutDone.length - MAX_EXTRACTED_ITEMS;
  return withoutDone.filter((item) => !(item.event === 0 && excess-- > 0));
}

const SLACK_ITEMS = 256;

type Weighed = { readonly open: boolean; readonly at: number; readonly event: boolean } | undefined;

function byWeight(a: Weighed, b: Weighed): number {
  return Number(b?.open) - Number(a?.open) || Number(b?.event) - Number(a?.event) || (b?.at ?? 0) - (a?.at ?? 0);
}
