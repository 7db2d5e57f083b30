// context/dedup/index.jsonl: tool output that occurs more than once, by digest. Blobs are read from history.
import { estimateTokens } from './swap.ts';
import type { DedupFold } from './types.ts';

/** Grows by about 70 bytes an output of at least OUTPUT_MIN_BYTES. */
export interface DedupState {
  /** Open addressing over the first 64 bits of the digest; 0 is free, else entry number + 1. */
  table: Uint32Array;
  /** Two words of digest, line, bytes for each entry. */
  entries: Uint32Array;
  count: number;
  callIds: string[];
  /** Entries that occur again: full digest and every reference but the first. */
  repeats: Map<number, { readonly digest: string; readonly refs: string[]; total: number }>;
}

export const dedupFold: DedupFold<DedupState> = {
  initial: () => ({ table: new Uint32Array(1024), entries: new Uint32Array(512 * WORDS), count: 0, callIds: [], repeats: new Map() }),
  addBlock(state, block) {
    for (const { line, callId, digest, bytes } of block.outputs) {
      const entry = place(state, digest);
      if (entry < state.count) {
        let repeat = state.repeats.get(entry);
        if (repeat === undefined) state.repeats.set(entry, (repeat = { digest, refs: [], total: 1 }));
        repeat.total += 1;
        if (repeat.refs.length < MOST_REFS - 1) repeat.refs.push(refOf(line, callId));
      } else append(state, digest, line, bytes, callId);
    }
  },
  text(state) {
    let text = '';
    for (const entry of [...state.repeats.keys()].sort((a, b) => a - b)) {
      const { digest, refs, total } = state.repeats.get(entry) as { digest: string; refs: string[]; total: number };
      const bytes = state.entries[entry * WORDS + 3] as number;
      const first = refOf(state.entries[entry * WORDS + 2] as number, state.callIds[entry] as string);
      text += `${JSON.stringify({ hash: digest, refs: [first, ...refs], bytes, tokens: estimateTokens(bytes), tokens_estimated: true, ...(total > MOST_REFS ? { occurrences: total } : {}) })}\n`;
    }
    return text;
  },
  find(state, digest) {
    const entry = HEX.test(digest) ? place(state, digest) : state.count;
    return entry < state.count ? { line: state.entries[entry * WORDS + 2] as number, callId: state.callIds[entry] as string } : undefined;
  },
  references: (state) => new Map([...state.repeats.values()].map(({ digest, total }) => [digest, total])),
  digests: (state) => [...state.repeats.entries()].sort((a, b) => a[0] - b[0]).map(([, repeat]) => repeat.digest),
};

const WORDS = 4;
/** References listed in a row; what occurs oftener says so in `occurrences`. */
const MOST_REFS = 64;
const HEX = /^sha256-[0-9a-f]{64}$/;

function refOf(line: number, callId: string): string {
  return REFERABLE.test(callId) ? `tool:${callId}` : `messages:${line}`;
}

const REFERABLE = /^[A-Za-z0-9][A-Za-z0-9._:+-]{0,95}$/;

/** Entry number of a digest, or `count` when it is new. */
function place(state: DedupState, digest: string): number {
  const high = Number.parseInt(digest.slice(7, 15), 16);
  const low = Number.parseInt(digest.slice(15, 23), 16);
  const mask = state.table.length - 1;
  for (let slot = low & mask; ; slot = (slot + 1) & mask) {
    const entry = state.table[slot] as number;
    if (entry === 0) return state.count;
    if (state.entries[(entry - 1) * WORDS] === high && state.entries[(entry - 1) * WORDS + 1] === low) return entry - 1;
  }
}

function append(state: DedupState, digest: string, line: number, bytes: number, callId: string): void {
  if ((state.count + 1) * 2 > state.table.length) grow(state);
  const at = state.count * WORDS;
  state.entries[at] = Number.parseInt(digest.slice(7, 15), 16);
  state.entries[at + 1] = Number.parseInt(digest.slice(15, 23), 16);
  state.entries[at + 2] = line;
  state.entries[at + 3] = bytes;
  state.callIds.push(callId);
  insert(state, state.count);
  state.count += 1;
}

function insert(state: DedupState, entry: number): void {
  const mask = state.table.length - 1;
  let slot = (state.entries[entry * WORDS + 1] as number) & mask;
  while (state.table[slot] !== 0) slot = (slot + 1) & mask;
  state.table[slot] = entry + 1;
}

function grow(state: DedupState): void {
  const entries = new Uint32Array(state.entries.length * 2);
  entries.set(state.entries);
  state.entries = entries;
  state.table = new Uint32Array(state.table.length * 2);
  for (let entry = 0; entry < state.count; entry += 1) insert(state, entry);
}
