// Commits travel from the serving thread to the deriver through a shared ring: no message for each append.
import type { JournalFile } from '../src/abi/session-files.ts';
import type { CommitNote } from '../src/journal/types.ts';

const SLOTS = 16_384;
const FIELDS = 5;
const FILES: readonly JournalFile[] = ['messages.jsonl', 'events.jsonl'];

/** Single producer, single consumer. A full ring drops notes: the order log then catches up from the journals' sizes. */
export class CommitRing {
  readonly shared: SharedArrayBuffer;
  readonly #ends: Int32Array;
  readonly #notes: Float64Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(16 + SLOTS * FIELDS * 8)) {
    this.shared = shared;
    this.#ends = new Int32Array(shared, 0, 2);
    this.#notes = new Float64Array(shared, 16);
  }

  /** True when the consumer has to be told (the ring was empty before). */
  push(session: number, note: CommitNote): boolean {
    const head = Atomics.load(this.#ends, 0);
    const tail = Atomics.load(this.#ends, 1);
    if (head - tail >= SLOTS) return false;
    const at = (head % SLOTS) * FIELDS;
    this.#notes[at] = session;
    this.#notes[at + 1] = note.file === 'messages.jsonl' ? 0 : 1;
    this.#notes[at + 2] = note.endBytes;
    this.#notes[at + 3] = note.lines;
    this.#notes[at + 4] = note.timeMs;
    Atomics.store(this.#ends, 0, head + 1);
    return head === tail;
  }

  /** Takes everything, grouped by session in order. */
  drain(): Map<number, CommitNote[]> {
    const groups = new Map<number, CommitNote[]>();
    let tail = Atomics.load(this.#ends, 1);
    for (const head = Atomics.load(this.#ends, 0); tail !== head; tail++) {
      const at = (tail % SLOTS) * FIELDS;
      const session = this.#notes[at] as number;
      const note: CommitNote = {
        file: FILES[this.#notes[at + 1] as number] as JournalFile,
        endBytes: this.#notes[at + 2] as number,
        lines: this.#notes[at + 3] as number,
        timeMs: this.#notes[at + 4] as number,
      };
      const group = groups.get(session);
      if (group === undefined) groups.set(session, [note]);
      else group.push(note);
    }
    Atomics.store(this.#ends, 1, tail);
    return groups;
  }
}
