// What lines of one history say, as numbers of terms: a line's text never changes, so it is analysed once while it is near
// in use. A question at an epoch's start meets most lines that the same question met just before.
import { TermScan } from './term-scan.ts';

/** One thread asks one question at a time; the words it knows are shared by all histories. */
const scan = new TermScan('hashed');
/** Moves on when numbers are given out anew: what was kept by number is then void. */
let generation = 0;

/** Terms kept for one history: 4 bytes each. */
const KEPT_TERMS = 1 << 18;

export interface LineTerms {
  /** Distinct terms, in order of first mention. */
  readonly ids: Int32Array;
  /** Terms, repeats included. */
  readonly count: number;
}

/** A cache, bounded by terms; what it answers follows from the texts alone. */
export class LineMemory {
  readonly #lines = new Map<number, LineTerms | undefined>();
  #terms = 0;
  #generation = generation;

  /** Begins a question: its terms get numbers, and those of the lines that are kept stay right. */
  begin(): void {
    if (scan.full) {
      scan.clear();
      generation += 1;
    }
    if (this.#generation !== generation) {
      this.#lines.clear();
      this.#terms = 0;
      this.#generation = generation;
    }
    if (this.#terms <= KEPT_TERMS) return;
    // The oldest go first.
    for (const [line, terms] of this.#lines) {
      if (this.#terms <= KEPT_TERMS / 2) break;
      this.#lines.delete(line);
      this.#terms -= costOf(terms);
    }
  }

  /** True when numbers were given out anew since: what is known by number is void, and a question begins again. */
  get stale(): boolean {
    return this.#generation !== generation;
  }

  idOf(term: string): number {
    return scan.idOf(term);
  }

  /** How many of these terms a text mentions. */
  countIn(text: string, ids: ReadonlySet<number>): number {
    scan.scan(text);
    let found = 0;
    for (let i = 0; i < scan.distinct; i += 1) if (ids.has(scan.ids[i] as number)) found += 1;
    return found;
  }

  /** Undefined for a line without text. */
  of(line: number, textOf: (line: number) => string | undefined): LineTerms | undefined {
    if (this.#lines.has(line)) return this.#lines.get(line);
    const text = textOf(line);
    let found: LineTerms | undefined;
    if (text !== undefined) {
      scan.scan(text);
      found = { ids: scan.ids.slice(0, scan.distinct), count: scan.count };
    }
    this.#terms += costOf(found);
    this.#lines.set(line, found);
    return found;
  }
}

/** In terms; what a line costs beside them counts as 32. */
function costOf(terms: LineTerms | undefined): number {
  return 32 + (terms?.ids.length ?? 0);
}
