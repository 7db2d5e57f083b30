// Differences against text that already stands earlier: lines are copied by range, only new lines are spelled out.
//   =1-57        lines 1 to 57 of the earlier text        =12.1:5      line 5 of the text labelled 12.1
//   =59-120 +3   likewise, their leading line numbers raised by 3      +text   a new line
// DED-3: expanding a difference gives back exactly the later text.
import type { DifferenceFrom, ExpandDifference } from './types.ts';

export interface Difference {
  readonly text: string;
  /** Labels of the texts it copies from, in order of first use. */
  readonly bases: readonly string[];
  /** UTF-16 units of the original less those of the difference. */
  readonly saved: number;
}

/** Lines of texts seen so far. Adding and encoding are linear in the text (a bounded number of candidates a line). */
export class RepeatIndex {
  readonly #keys: string[] = [];
  readonly #lines: string[] = [];
  readonly #numbers: number[] = [];
  readonly #postings = new Map<string, number[]>();
  readonly #labels: string[] = [];
  readonly #starts: number[] = [];

  /** Labels are 1 to 32 of `[A-Za-z0-9._]`; the empty label is for a single earlier text. */
  add(label: string, text: string): void {
    if (!LABEL.test(label)) throw new RangeError(`not a label: ${label}`);
    this.#labels.push(label);
    this.#starts.push(this.#keys.length);
    for (const line of text.split('\n')) {
      const number = leadingNumber(line);
      const key = number < 0 ? line : numberedKey(line);
      const id = this.#keys.length;
      this.#keys.push(key);
      this.#lines.push(line);
      this.#numbers.push(number);
      const posting = this.#postings.get(key);
      if (posting === undefined) this.#postings.set(key, [id]);
      else if (posting.length < MOST_CANDIDATES) posting.push(id);
      else {
        // Keep the oldest half, rotate the newest: both the first copy and the latest edit stay reachable.
        posting.copyWithin(MOST_CANDIDATES >> 1, (MOST_CANDIDATES >> 1) + 1);
        posting[MOST_CANDIDATES - 1] = id;
      }
    }
  }

  /** The text as copies of earlier lines, or undefined when that saves less than `leastSaved` units or an eighth. */
  encode(text: string, leastSaved: number = LEAST_SAVED): Difference | undefined {
    if (this.#keys.length === 0 || text.length < leastSaved) return undefined;
    const lines = text.split('\n');
    const out: string[] = [];
    const bases = new Set<string>();
    for (let i = 0; i < lines.length;) {
      const run = this.#longestRun(lines, i);
      if (run === undefined) {
        out.push(`+${lines[i] as string}`);
        i += 1;
        continue;
      }
      out.push(run.marker);
      bases.add(run.label);
      i += run.count;
    }
    const encoded = out.join('\n');
    const saved = text.length - encoded.length;
    if (bases.size === 0 || saved < leastSaved || saved * 8 < text.length) return undefined;
    return { text: encoded, bases: [...bases], saved };
  }

  #longestRun(lines: readonly string[], at: number): { count: number; marker: string; label: string } | undefined {
    const line = lines[at] as string;
    const number = leadingNumber(line);
    const candidates = this.#postings.get(number < 0 ? line : numberedKey(line));
    if (candidates === undefined) return undefined;
    let best: { from: number; count: number; units: number; delta: number; base: number } | undefined;
    for (const from of candidates) {
      const run = this.#extend(lines, at, from);
      if (best === undefined || run.units > best.units || (run.units === best.units && best.delta !== 0 && run.delta === 0))
        best = { from, ...run };
    }
    if (best === undefined) return undefined;
    const label = this.#labels[best.base] as string;
    const first = best.from - (this.#starts[best.base] as number) + 1;
    const range = best.count === 1 ? `${first}` : `${first}-${first + best.count - 1}`;
    const shift = best.delta === 0 ? '' : ` ${best.delta > 0 ? '+' : ''}${best.delta}`;
    const marker = `=${label === '' ? '' : `${label}:`}${range}${shift}`;
    // The literal form would cost one sign and one newline a line.
    return best.units + best.count * 2 > marker.length + 1 + LEAST_GAIN ? { count: best.count, marker, label } : undefined;
  }

  #extend(lines: readonly string[], at: number, from: number): { count: number; units: number; delta: number; base: number } {
    const base = this.#baseOf(from);
    const end = this.#starts[base + 1] ?? this.#keys.length;
    let delta: number | undefined;
    let count = 0;
    let units = 0;
    for (; at + count < lines.length && from + count < end; count += 1) {
      const wanted = lines[at + count] as string;
      const have = this.#lines[from + count] as string;
      const number = this.#numbers[from + count] as number;
      if (number < 0 || delta === 0) {
        if (wanted !== have) break;
        if (number >= 0) delta = 0;
      } else {
        const step: number = delta ?? leadingNumber(wanted) - number;
        if ((this.#keys[from + count] as string).length > wanted.length || (step === 0 ? have : renumber(have, step)) !== wanted) break;
        delta = step;
      }
      units += wanted.length;
    }
    return { count, units, delta: delta ?? 0, base };
  }

  #baseOf(id: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] as number) <= id) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Inverse of {@link RepeatIndex.encode}; `base` gives the text of a label. Throws RangeError on text that is not a difference. */
export function expandWith(base: (label: string) => string, difference: string): string {
  const split = new Map<string, readonly string[]>();
  const out: string[] = [];
  for (const line of difference.split('\n')) {
    if (line.startsWith('+')) {
      out.push(line.slice(1));
      continue;
    }
    const match = COPY.exec(line);
    if (match === null) throw new RangeError(`not a difference: ${line.slice(0, 60)}`);
    const label = match[1] ?? '';
    let lines = split.get(label);
    if (lines === undefined) split.set(label, (lines = base(label).split('\n')));
    const first = Number(match[2]);
    const last = Number(match[3] ?? match[2]);
    if (first < 1 || last < first || last > lines.length) throw new RangeError(`no such lines: ${line}`);
    const delta = Number(match[4] ?? 0);
    for (let n = first; n <= last; n += 1) {
      const copied = lines[n - 1] as string;
      out.push(delta === 0 || leadingNumber(copied) < 0 ? copied : renumber(copied, delta));
    }
  }
  return out.join('\n');
}

/** The later text as a difference from one earlier text; undefined when it saves too little. */
export const differenceFrom: DifferenceFrom = (earlier, later) => {
  const index = new RepeatIndex();
  index.add('', earlier);
  return index.encode(later)?.text;
};

/** Exact inverse of {@link differenceFrom}. */
export const expandDifference: ExpandDifference = (earlier, difference) => expandWith(() => earlier, difference);

const LABEL = /^[A-Za-z0-9._]{0,32}$/;
const COPY = /^=(?:([A-Za-z0-9._]+):)?([0-9]+)(?:-([0-9]+))?(?: ([+-][0-9]+))?$/;
const MOST_CANDIDATES = 8;
const LEAST_SAVED = 64;
/** A copy marker interrupts the reader: it must save at least this much. */
const LEAST_GAIN = 8;

// Listings number their lines: `    57→text` (cat -n as agents print it), `57<tab>text`, `57:text`, `57| text`.
const MOST_DIGITS = 9;

/** The leading line number, or -1. Numbers with a leading zero are text. */
function leadingNumber(line: string): number {
  let at = 0;
  while (line.charCodeAt(at) === 0x20) at += 1;
  const digits = at;
  let value = 0;
  for (let code = line.charCodeAt(at); code >= 0x30 && code <= 0x39; code = line.charCodeAt(at)) {
    value = value * 10 + code - 0x30;
    at += 1;
  }
  if (at === digits || at - digits > MOST_DIGITS || (line.charCodeAt(digits) === 0x30 && at - digits > 1)) return -1;
  const mark = line.charCodeAt(at);
  return mark === 0x2192 || mark === 0x09 || mark === 0x3a || mark === 0x7c ? value : -1;
}

/** What stays equal when a numbered line moves. */
function numberedKey(line: string): string {
  return `\u0000${line.slice(numberEnd(line))}`;
}

function numberEnd(line: string): number {
  let at = 0;
  while (line.charCodeAt(at) === 0x20) at += 1;
  while (line.charCodeAt(at) >= 0x30 && line.charCodeAt(at) <= 0x39) at += 1;
  return at;
}

/** Raises the leading number, right-aligned in the same width where the listing pads it. */
function renumber(line: string, delta: number): string {
  const end = numberEnd(line);
  const number = String(Number(line.slice(0, end)) + delta);
  return (line.startsWith(' ') ? number.padStart(end) : number) + line.slice(end);
}
