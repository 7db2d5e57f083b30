// Which entries the log had when: a change is told only by an entry that came, or was edited, after it.
import type { QueuedChange } from './queue.ts';
import { entryId, namesIn, namesOf, numbered, parseLog } from './log.ts';

interface SeenEntry {
  readonly day: string;
  /** When it was first met; 0: before this start. */
  readonly sinceMs: number;
  /** Undefined: any page. */
  readonly names?: ReadonlySet<string>;
}

/** Entries of earlier days tell of no change that is made now. */
const DAYS_KEPT = 3;
/** Entries are all named in a change up to this many; of more, those that name its page. */
const MANY = 50;
const MOST_NAMED = 1000;
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
      if (id !== undefined && !next.has(id)) next.set(id, { day: entry.day, sinceMs: nowMs, names: namesIn(entry.text.toLowerCase()) });
    }
    const grown = next.size > before || before < this.#entries.size;
    this.#entries = next;
    return grown;
  }

  /** What a change of that moment, to that page, finds in the log: entries of the day before or later. */
  had(atMs: number, path?: string): readonly string[] {
    const least = dayOf(atMs - DAY_MS);
    const there = [...this.#entries].filter(([, { day, sinceMs }]) => day >= least && sinceMs <= atMs);
    const called = path === undefined || there.length <= MANY ? undefined : namesOf(path);
    const named = there.filter(([, { names }]) => called === undefined || names === undefined || called.some((name) => names.has(name)));
    return named.map(([id]) => id).slice(-MOST_NAMED);
  }

  /** Whether an entry may tell of this change. Costs the entries of a few days. */
  hasNewer({ time, logged }: Pick<QueuedChange, 'time' | 'logged'>): boolean {
    if (logged === undefined) return true;
    const least = dayOf(Date.parse(time) - DAY_MS);
    for (const [id, { day }] of this.#entries) if (day >= least && !logged.includes(id)) return true;
    return false;
  }

  days(): ReadonlyMap<string, string> {
    return new Map([...this.#entries].map(([id, { day }]) => [id, day]));
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
