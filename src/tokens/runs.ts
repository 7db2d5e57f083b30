// Byte-pair merging by the definition over runs of equal tokens: a megabyte of one sign is one run, and each merge of a
// run takes all its pairs at once. For long pieces with few runs; time follows the number of runs, not of bytes.
import type { Vocabulary } from './vocabulary.ts';

export const MAX_RUNS = 24;

interface Run {
  token: number;
  count: number;
}

/**
 * Tokens of `bytes[0..length)`, or -1 when the piece has too many runs or the order of merges inside a run would
 * matter (then another way must be taken).
 */
export function mergeRuns(vocabulary: Vocabulary, bytes: Uint8Array, length: number, into?: number[]): number {
  const runs = byteRuns(vocabulary, bytes, length);
  if (runs === undefined) return -1;
  const joined = (a: Run, b: Run): number => pairToken(vocabulary, a.token, b.token);
  for (;;) {
    // The lowest rank; the leftmost among equals.
    let best = -1;
    let at = -1;
    let inside = false;
    runs.forEach((run, i) => {
      const own = run.count > 1 ? joined(run, run) : -1;
      if (own >= 0 && (best < 0 || own < best)) [best, at, inside] = [own, i, true];
      const next = runs[i + 1];
      const border = next === undefined ? -1 : joined(run, next);
      if (border >= 0 && (best < 0 || border < best)) [best, at, inside] = [border, i, false];
    });
    if (at < 0) break;
    const run = runs[at] as Run;
    if (inside) {
      const made: Run = { token: best, count: run.count >> 1 };
      // All pairs of the run at once: right only when no merge that this makes possible comes before the rest.
      const before = runs[at - 1];
      const born = [joined(made, run), joined(made, made), before === undefined ? -1 : joined(before, made)];
      if (born.some((token) => token >= 0 && token <= best)) return -1;
      runs.splice(at, 1, ...(run.count % 2 === 0 ? [made] : [made, { token: run.token, count: 1 }]));
    } else {
      const next = runs[at + 1] as Run;
      const rest = [
        { token: run.token, count: run.count - 1 },
        { token: best, count: 1 },
        { token: next.token, count: next.count - 1 },
      ];
      runs.splice(at, 2, ...rest.filter((part) => part.count > 0));
    }
    unite(runs);
  }
  let total = 0;
  for (const { token, count } of runs) {
    total += count;
    if (into !== undefined) for (let i = 0; i < count; i += 1) into.push(token);
  }
  return total;
}

function byteRuns(vocabulary: Vocabulary, bytes: Uint8Array, length: number): Run[] | undefined {
  if (runsExceed(bytes, length)) return undefined;
  const runs: Run[] = [];
  for (let i = 0; i < length;) {
    const start = i;
    while (i < length && bytes[i] === bytes[start]) i += 1;
    runs.push({ token: vocabulary.find(bytes, start, start + 1), count: i - start });
  }
  return runs;
}

/** Looked at first, for most pieces have many runs and this costs them next to nothing. */
function runsExceed(bytes: Uint8Array, length: number): boolean {
  let runs = 1;
  for (let i = 1; i < length && runs <= MAX_RUNS; i += 1) if (bytes[i] !== bytes[i - 1]) runs += 1;
  return runs > MAX_RUNS;
}

/** Neighbouring runs of one token become one. */
function unite(runs: Run[]): void {
  for (let i = runs.length - 1; i > 0; i -= 1) {
    const left = runs[i - 1] as Run;
    if (left.token !== (runs[i] as Run).token) continue;
    left.count += (runs[i] as Run).count;
    runs.splice(i, 1);
  }
}

const scratch = new Uint8Array(1024);

/** The token of two tokens' bytes together, or -1. */
function pairToken(vocabulary: Vocabulary, left: number, right: number): number {
  const { pool, offsets } = vocabulary;
  const first = vocabulary.lengthOf(left);
  const length = first + vocabulary.lengthOf(right);
  if (length > scratch.length) return -1;
  scratch.set(pool.subarray(offsets[left] as number, offsets[left + 1] as number));
  scratch.set(pool.subarray(offsets[right] as number, offsets[right + 1] as number), first);
  return vocabulary.find(scratch, 0, length);
}
