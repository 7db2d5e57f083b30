// context/summary.md: a hierarchy of extractive summaries (blocks, then 16 blocks, then 256, …) as of a position.
import { ASKED, mergeSummaries, MOST_SUMMARY_UNITS, PIECE_JOIN } from './summary-text.ts';
import { clipLine } from './sentences.ts';
import type { BlockRecord, KindFold } from './types.ts';

/** First line, last line, text. */
type SummaryNode = readonly [first: number, last: number, text: string];

/** Plain JSON; O(log n) nodes. */
export interface SummaryState {
  /** levels[k] holds nodes of 16^k blocks, oldest first, fewer than 32 each. */
  levels: SummaryNode[][];
  /** The first request of the session and the newest one, with the lines of their blocks. */
  task: SummaryNode | null;
  latest: SummaryNode | null;
  /** The newest whole-file contribution and the last line it speaks for. */
  written: { eventLine: number; throughLine: number; text: string } | null;
}

export const SUMMARY_ARITY = 16;

export const summaryFold: KindFold<SummaryState> = {
  kind: 'summary',
  initial: () => ({ levels: [[]], task: null, latest: null, written: null }),
  addBlock(state, block) {
    addNode(state, 0, nodeOf(block));
    const asked = block.summary.split(PIECE_JOIN).filter((piece) => piece.startsWith(ASKED));
    const [first, last] = [asked[0], asked.at(-1)];
    if (first === undefined || last === undefined) return;
    const lines = [block.firstLine, block.firstLine + block.lines - 1] as const;
    state.task ??= [...lines, first.slice(ASKED.length)];
    state.latest = [...lines, last.slice(ASKED.length)];
  },
  addContribution(state, contribution) {
    const { type, event, eventLine, afterLine } = contribution;
    if (type === 'context.summary' && typeof event['content'] === 'string') {
      state.written = { eventLine, throughLine: coveredThrough(event['source'], afterLine), text: event['content'] };
    } else if (type === 'context.retract' && (event['file'] === undefined || event['file'] === 'summary.md')) {
      const target = event['target'];
      if (state.written !== null && ((target === '*' && event['file'] === 'summary.md') || target === `ev-${state.written.eventLine}`))
        state.written = null;
    }
  },
  text(state, limitBytes = MOST_FILE_BYTES) {
    const limit = Math.min(limitBytes, MOST_FILE_BYTES);
    const head = headOf(state, limit);
    const extracted = state.written === null && head !== '';
    const through = state.written?.throughLine ?? 0;
    const nodes = state.levels
      .toReversed()
      .flat()
      .filter((node) => node[1] > through)
      .map((node, at) => (at === 0 && extracted ? withoutTask(node, state.task) : node));
    const body = fit(nodes, limit - Buffer.byteLength(head));
    if (body === '') return extracted ? head.slice(0, -1) : head;
    return head === '' || head.endsWith('\n\n') ? head + body : `${head}\n${body}`;
  },
};

/** The task is said above: in little room something else is worth more. */
function withoutTask([first, last, text]: SummaryNode, task: SummaryNode | null): SummaryNode {
  const said = `${ASKED}${task?.[2]}${PIECE_JOIN}`;
  return [first, last, text.startsWith(said) ? text.slice(said.length) : text];
}

/** Never larger, whatever the budget. */
const MOST_FILE_BYTES = 32 * 1024;

function nodeOf(block: BlockRecord): SummaryNode {
  return [block.firstLine, block.firstLine + block.lines - 1, block.summary];
}

/** A level that reaches 32 nodes gives its oldest 16 to the next: the newest 16 always keep their detail. */
function addNode(state: SummaryState, level: number, node: SummaryNode): void {
  const nodes = (state.levels[level] ??= []);
  nodes.push(node);
  if (nodes.length < SUMMARY_ARITY * 2) return;
  addNode(state, level + 1, merge(nodes.splice(0, SUMMARY_ARITY)));
}

function merge(nodes: readonly SummaryNode[]): SummaryNode {
  return [
    (nodes[0] as SummaryNode)[0],
    (nodes.at(-1) as SummaryNode)[1],
    mergeSummaries(
      nodes.map((node) => node[2]),
      MOST_SUMMARY_UNITS,
    ),
  ];
}

function sourceOf(node: SummaryNode): string {
  return node[0] === node[1] ? `messages:${node[0]}` : `messages:${node[0]}-${node[1]}`;
}

function lineOf(node: SummaryNode): string {
  return `- ${node[2]} [${sourceOf(node)}]\n`;
}

function headOf(state: SummaryState, limit: number): string {
  if (state.written !== null)
    return clipLines(
      state.written.text === '' || state.written.text.endsWith('\n') ? state.written.text : `${state.written.text}\n`,
      limit,
    );
  if (state.task === null || state.latest === null) return '';
  const task = `Task: ${state.task[2]} [${sourceOf(state.task)}]\n`;
  const latest = state.latest[2] === state.task[2] ? '' : `Latest request: ${state.latest[2]} [${sourceOf(state.latest)}]\n`;
  const head = `${task}${latest}\n`;
  return Buffer.byteLength(head) <= limit ? head : '';
}

/** Coarser where it is older, until it fits: the neighbours that are smallest for their age become one line. */
function fit(nodes: readonly SummaryNode[], limit: number): string {
  const left = [...nodes];
  const sizes = left.map((node) => Buffer.byteLength(lineOf(node)));
  let total = sizes.reduce((sum, size) => sum + size, 0);
  const end = left.at(-1)?.[1] ?? 0;
  while (total > limit && left.length > 1) {
    let best = 0;
    let least = Infinity;
    for (let i = 0; i + 1 < left.length; i += 1) {
      const [first] = left[i] as SummaryNode;
      const last = (left[i + 1] as SummaryNode)[1];
      const weight = (last - first + 1) / (end - last + 64);
      if (weight < least) [least, best] = [weight, i];
    }
    const merged = merge(left.slice(best, best + 2));
    const size = Buffer.byteLength(lineOf(merged));
    total += size - (sizes[best] as number) - (sizes[best + 1] as number);
    left.splice(best, 2, merged);
    sizes.splice(best, 2, size);
  }
  if (total <= limit) return left.map(lineOf).join('');
  const [only] = left;
  if (only === undefined) return '';
  const room = limit - Buffer.byteLength(lineOf([only[0], only[1], '']));
  // Three bytes a unit at most: clipping by units to a third never overruns.
  return room < 48 ? '' : lineOf([only[0], only[1], clipLine(only[2], Math.floor(room / 3))]);
}

/** Whole lines of a written summary that fit. */
function clipLines(text: string, limit: number): string {
  if (Buffer.byteLength(text) <= limit) return text;
  let kept = '';
  let left = limit;
  for (const line of text.split(/(?<=\n)/)) {
    left -= Buffer.byteLength(line);
    if (left < 0) break;
    kept += line;
  }
  return kept;
}

/** `messages:a-b` as the source of a written summary: it speaks for lines through b. */
function coveredThrough(source: unknown, afterLine: number): number {
  const match = typeof source === 'string' ? /^messages:[0-9]+-([0-9]+)$/.exec(source) : null;
  return match === null ? afterLine : Math.min(Number(match[1]), afterLine);
}
