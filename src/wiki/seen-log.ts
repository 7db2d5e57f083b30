// Which entries the log had when: a change is told only by an entry that came, or was edited, after it.
import { entryId, numbered, parseLog } from './log.ts';

interface SeenEntry {
  readonly day: string;
  /** When it was first met; 0: before this start. */
  readonly sinceMs: number;
}

/** Entries of earlier days tell of no change that is made now. */
const DAYS_KEPT = 3;
/** Named in each change: on a day with more entries an old one may be taken for a new one. */
const MOST_NAMED = 100;
const DAY_MS = 86_400_000;

export class SeenLog {
  #entries: ReadonlyMap<string, SeenEntry>;

  constructor(known: ReadonlyMap<string, string> = new Map()) {
    this.#entries = new Map([...known].map(([id, day]) => [id, { day, sinceMs: 0 }]));
  }

  /** The log as it is at `nowMs`. False when it has nothing that is not known. */
  see(text: string, nowMs: number): boolean {
    const least = dayOf(nowMs - DAYS_KEPT * DAY_MS);
    const next = new Map([...this.#entries].filter(([, { day }]) => day >= least));
    const before = next.size;
    const name = numbered();
    for (const entry of parseLog(text, '')) {
      const id = entry.day < least ? undefined : name(entryId(entry.text));
      if (id !== undefined && !next.has(id)) next.set(id, { day: entry.day, sinceMs: nowMs });
    }
    const grown = next.size > before || before < this.#entries.size;
    this.#entries = next;
    return grown;
  }

  /** What a change of that moment finds in the log: entries of the day before or later. */
  had(atMs: number): readonly string[] {
    const least = dayOf(atMs - DAY_MS);
    return [...this.#entries]
      .filter(([, { day, sinceMs }]) => day >= least && sinceMs <= atMs)
      .map(([id]) => id)
      .slice(-MOST_NAMED);
  }

  days(): ReadonlyMap<string, string> {
    return new Map([...this.#entries].map(([id, { day }]) => [id, day]));
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
