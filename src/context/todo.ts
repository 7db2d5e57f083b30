// context/todo.md: open work as checkbox lines, each with its source. The last statement about an item decides whether it is done.
import { chooseLines, contributedId, contributedSource, MOST_STATED_UNITS, placeId, statementKey } from './rows.ts';
import { clipLine } from './sentences.ts';
import { MAX_EXTRACTED_ITEMS } from './types.ts';
import type { Contribution, KindFold } from './types.ts';

interface TodoItem {
  readonly id: string;
  readonly key: string;
  readonly text: string;
  readonly source: string;
  readonly firstLine: number;
  readonly lastLine: number;
  readonly event: number;
  readonly done: boolean;
}

/** Plain JSON. */
export interface TodoState {
  items: TodoItem[];
  /** The newest whole-file contribution: its lines stay as they were written, but for their boxes. */
  base: { eventLine: number; throughLine: number; lines: string[] } | null;
  retracted: Record<string, 1>;
}

export const todoFold: KindFold<TodoState> = {
  kind: 'todo',
  initial: () => ({ items: [], base: null, retracted: {} }),
  addBlock(state, block) {
    const known = new Map(state.items.map((item, index) => [item.key, index]));
    const counts = new Map<number, number>();
    for (const { line, text, done } of block.todos) {
      const id = placeId('t', line, counts);
      put(state, known, { id, key: statementKey(text), text, source: `messages:${line}`, firstLine: line, lastLine: line, event: 0, done });
    }
    if (state.items.length > MAX_EXTRACTED_ITEMS) state.items = bounded(state.items);
  },
  addContribution(state, contribution) {
    const { type, event, eventLine, afterLine } = contribution;
    if (type === 'context.retract') return retractTodo(state, event);
    if (type !== 'context.todo') return;
    const { content, text, done } = event;
    if (typeof content === 'string') {
      state.base = { eventLine, throughLine: afterLine, lines: content.replace(/\n+$/, '').split('\n') };
    } else if (typeof text === 'string') {
      const known = new Map(state.items.map((item, index) => [item.key, index]));
      put(state, known, todoOf(contribution, text, done === true));
    }
  },
  text(state, limitBytes) {
    const base = state.base;
    // The written list speaks for everything before it; an item comes back when somebody speaks of it again.
    const shown = state.items.filter(
      (item) =>
        state.retracted[item.id] === undefined && (base === null || item.lastLine > base.throughLine || item.event > base.eventLine),
    );
    const rows: { line: string; open: boolean; at: number; event: boolean }[] = [];
    const byKey = new Map(shown.map((item) => [item.key, item]));
    for (const line of base?.lines ?? []) {
      const box = parseTodoLine(line);
      const later = box === undefined ? undefined : byKey.get(statementKey(box.text));
      if (later !== undefined) byKey.delete(later.key);
      const done = later?.done ?? box?.done ?? false;
      const text = box === undefined || done === box.done ? line : line.replace(/\[[ xX]\]/, done ? '[x]' : '[ ]');
      rows.push({ line: `${text}\n`, open: !done, at: later?.lastLine ?? base?.throughLine ?? 0, event: true });
    }
    for (const item of shown) {
      if (!byKey.has(item.key)) continue;
      rows.push({
        line: `- [${item.done ? 'x' : ' '}] ${item.text} (${item.source})\n`,
        open: !item.done,
        at: item.lastLine,
        event: item.event > 0,
      });
    }
    const lines = rows.map((row) => row.line);
    if (limitBytes === undefined) return lines.length === 1 && lines[0] === '\n' ? '' : lines.join('');
    return chooseLines(lines, limitBytes, (a, b) => byWeight(rows[a], rows[b]) || b - a);
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
    firstLine: contribution.afterLine,
    lastLine: contribution.afterLine,
    event: contribution.eventLine,
    done,
  };
}

function put(state: TodoState, known: Map<string, number>, item: TodoItem): void {
  const index = known.get(item.key);
  if (index === undefined) {
    known.set(item.key, state.items.length);
    state.items.push(item);
    return;
  }
  const before = state.items[index] as TodoItem;
  state.items[index] = { ...before, done: item.done, lastLine: item.lastLine, event: Math.max(before.event, item.event) };
  if (item.event > 0) delete state.retracted[before.id];
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

type Weighed = { readonly open: boolean; readonly at: number; readonly event: boolean } | undefined;

function byWeight(a: Weighed, b: Weighed): number {
  return Number(b?.open) - Number(a?.open) || Number(b?.event) - Number(a?.event) || (b?.at ?? 0) - (a?.at ?? 0);
}
