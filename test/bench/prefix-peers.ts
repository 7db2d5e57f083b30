// What other packers could reach on the same transcript: the bound, tail:N, summarize at threshold.
//
// Bound: no packer with a low-water mark of half the budget can cut oftener than (budget - half) of new tokens apart, nor
// keep more at a cut than what never changes. It is computed for each transcript by the best schedule: between cuts
// everything is stable, at a cut the pinned part alone, cuts as rare as the low-water mark allows.

/** A transcript as packers see it. */
export interface Turns {
  /** Tokens of each message, rendered whole. */
  readonly tokens: readonly number[];
  /** A model is called behind this message. */
  readonly calls: readonly boolean[];
  readonly pinned: number;
  readonly budget: number;
}

/** First line at which all of history no longer fits. */
export function firstOverflow({ tokens, pinned, budget }: Turns): number {
  let total = pinned;
  for (const [n, count] of tokens.entries()) {
    total += count;
    if (total > budget) return n;
  }
  return tokens.length;
}

/** Between cuts all is stable; at a cut the pinned part alone; after a cut exactly half the budget remains, never less. */
export function bestShare({ tokens, calls, pinned, budget }: Turns, from: number): number {
  let total = pinned;
  let last = 0;
  let stable = 0;
  let all = 0;
  for (const [n, count] of tokens.entries()) {
    const size = Math.min(count, budget / 2 - pinned);
    total += size;
    let kept = last;
    if (total > budget) {
      total = Math.max(budget / 2, size + pinned);
      kept = pinned;
    }
    if (calls[n] !== true) {
      last = Math.min(last, kept);
      continue;
    }
    if (n >= from) {
      stable += Math.min(kept, total);
      all += total;
    }
    last = total;
  }
  return stable / all;
}

/** Newest messages that fit: once history overflows the first kept message changes at nearly every turn. */
export function tailShare({ tokens, calls, pinned, budget }: Turns, from: number): number {
  let first = 0;
  let total = pinned;
  let lastFirst = 0;
  let last = 0;
  let stable = 0;
  let all = 0;
  for (const [n, count] of tokens.entries()) {
    total += Math.min(count, budget / 2);
    while (total > budget && first < n) total -= Math.min(tokens[first++] as number, budget / 2);
    if (calls[n] !== true) continue;
    if (n >= from) {
      stable += first === lastFirst ? last : pinned;
      all += total;
    }
    lastFirst = first;
    last = total;
  }
  return stable / all;
}

/** At the budget, everything but the last fifth becomes a summary of 1/16 of the budget. */
export function summarizeShare({ tokens, calls, pinned, budget }: Turns, from: number): number {
  let total = pinned;
  let last = 0;
  let cut = false;
  let stable = 0;
  let all = 0;
  for (const [n, count] of tokens.entries()) {
    total += Math.min(count, budget / 2);
    if (total > budget) {
      total = pinned + budget / 16 + budget / 5;
      cut = true;
    }
    if (calls[n] !== true) continue;
    if (n >= from) {
      stable += cut ? pinned : last;
      all += total;
    }
    cut = false;
    last = total;
  }
  return stable / all;
}
