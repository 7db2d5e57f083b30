// When a session's memory is chosen, and how it is recorded: for each new user message, before the pack that answers it is folded,
// off the thread that serves. What is recorded is the order log's; an epoch takes it up where MEM-4 says.
import { lstatSync, opendirSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { parseSessionRelativePath } from '../abi/names.ts';
import type { SessionOwner } from '../abi/names.ts';
import { MEMORY_CHOICE, memoryChoiceText, parseMemoryChoice, sameChoice } from '../context/memory-choice.ts';
import type { MemoryChoice } from '../context/memory-choice.ts';
import { parsePolicy } from '../context/policy.ts';
import type { InputBytes } from '../journal/types.ts';
import { memoryMounts } from './memory-mounts.ts';
import type { SessionMemory } from './memory-mounts.ts';
import type { MemoryReply, MemoryRequest } from './memory-reader.ts';
import type { MemoryReader } from './memory-service.ts';
import type { SessionHistory } from './session-history.ts';

/** Longest that a pack waits unless told otherwise; what is chosen later is there for the next message. */
const WAIT_MS = 10_000;
const LATE = 'it is still being read; a later read has it';
const FAILED = 'it could not be read; a read after a while, or the next question, asks again (ctx explain says why)';
/** As it was written once. */
const FAILED_BEFORE = 'it could not be read; the next question asks again (ctx explain says why)';
/** A reader that failed is asked again by the first read after so long. */
const REST_MS = 30_000;
const LEAST_WORDS = 12;
const MOST_ASKED = 3;
const MOST_CHARS = 4000;
const MOST_TODO_BYTES = 8192;
/** Records behind the newest user message that are looked through for a choice. */
const MOST_LOOKED = 4096;

export interface ChooserOptions {
  readonly log: (line: string) => void;
  readonly waitMs?: number | undefined;
  readonly restMs?: number | undefined;
  /** A pack that was read before would be another one now: something was recorded behind it, or is to be asked again. */
  readonly changed: () => void;
}

export interface ChooserState {
  readonly history: SessionHistory;
  /** Open items as of now. */
  readonly todo: (limitBytes: number) => string;
  /** Stores the bytes, then the records. */
  readonly record: (versions: readonly InputBytes[]) => void;
}

export class MemoryChooser {
  readonly #reader: MemoryReader;
  readonly #store: string;
  readonly #owner: SessionOwner | undefined;
  readonly #directory: string;
  readonly #log: (line: string) => void;
  readonly #waitMs: number;
  readonly #restMs: number;
  readonly #changed: () => void;
  #resting: NodeJS.Timeout | undefined;
  #mounts: { readonly policy: string | undefined; readonly mounts: readonly SessionMemory[] } | undefined;
  /** What was chosen for last: the newest user message, and the policy. */
  #chosen: string | undefined;
  #error: string | undefined;

  constructor(directory: string, reader: MemoryReader, { log, waitMs = WAIT_MS, restMs = REST_MS, changed }: ChooserOptions) {
    const parts = resolve(directory).split('/');
    this.#owner = parseSessionRelativePath(parts.slice(-6).join('/'))?.owner;
    this.#store = parts.slice(0, -6).join('/');
    this.#directory = directory;
    this.#reader = reader;
    this.#log = log;
    this.#waitMs = waitMs;
    this.#restMs = restMs;
    this.#changed = changed;
  }

  /** Why the last choice failed. */
  get error(): string | undefined {
    return this.#error;
  }

  /** The rest after a failure is over, and nobody has asked since. */
  get isDue(): boolean {
    return this.#chosen === undefined && this.#error !== undefined && this.#resting === undefined;
  }

  close(): void {
    clearTimeout(this.#resting);
  }

  /** Costs a look at the newest user message where there is nothing to choose. Never fails. */
  async choose(state: ChooserState): Promise<void> {
    if (this.#owner === undefined) return;
    const { history } = state;
    const policy = history.log.inputsAsOf().get('context/policy.yaml');
    const asked = history.lastUserLine(history.messages.lines);
    const key = `${asked} ${policy}`;
    if (this.#chosen === key) return;
    try {
      const mounts = this.#mountsOf(history, policy, this.#owner);
      this.#chosen ??= chosenBefore(history, asked) ? key : undefined;
      if (this.#chosen === key || !this.#needed(history, mounts)) return;
      this.#chosen = key;
      const request: MemoryRequest = {
        store: this.#store,
        owner: ownerOf(this.#store, this.#directory, this.#owner),
        mounts,
        question: question(history, asked),
        todo: state.todo(MOST_TODO_BYTES),
      };
      const missing = (why: string): void => this.#missing(state, asked, mounts, why);
      let isLate = false;
      const done = await within(
        this.#waitMs,
        this.#reader.choose(request).then((reply) => {
          this.#record(state, asked, reply);
          if (isLate) this.#changed();
        }),
        (error) => {
          this.#failed(error, key);
          missing(FAILED);
          if (isLate) this.#changed();
        },
      );
      isLate = !done;
      if (!done) missing(LATE);
    } catch (error) {
      this.#failed(error, key);
    }
  }

  /** MEM-7: nothing is asked again at once; the first read after a while does, and so does the next question. */
  #failed(error: unknown, key: string): void {
    this.#error = error instanceof Error ? error.message : String(error);
    this.#log(`memory of ${this.#directory}: ${this.#error}`);
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => {
      this.#resting = undefined;
      if (this.#chosen !== key) return;
      this.#chosen = undefined;
      this.#changed();
    }, this.#restMs).unref();
  }

  /** MEM-7: a wiki that nothing is known of is named with the reason; what was chosen before stays. */
  #missing({ history, record }: ChooserState, asked: number, mounts: readonly SessionMemory[], why: string): void {
    const before = recordedChoice(history);
    if (before !== undefined && before.wikis.some(({ pages }) => pages.length > 0)) return;
    const wikis = mounts.map(({ name, path, mode }) => ({ name, path, mode, pages: [], left: [{ page: '', reason: why }] }));
    const text = memoryChoiceText({ asked, wikis });
    if (before === undefined || memoryChoiceText(before) !== text) record([{ path: MEMORY_CHOICE, bytes: Buffer.from(text) }]);
  }

  #record({ history, record }: ChooserState, asked: number, { wikis, files }: MemoryReply): void {
    this.#error = undefined;
    const choice: MemoryChoice = { asked, wikis };
    const before = recordedChoice(history);
    if (before === undefined ? wikis.length === 0 : sameChoice(before, choice) && !isMissing(before)) return;
    // The choice last: it names the bytes.
    record([
      ...files.map(({ path, bytes }) => ({ path, bytes: Buffer.from(bytes) })),
      { path: MEMORY_CHOICE, bytes: Buffer.from(memoryChoiceText(choice)) },
    ]);
  }

  /** A wiki that nobody named and that is not there, or is empty as in a new home, costs a few system calls: no process is started for it. */
  #needed(history: SessionHistory, mounts: readonly SessionMemory[]): boolean {
    if (mounts.some(({ assumed, path }) => !assumed || isThere(join(this.#store, path)))) return true;
    return (recordedChoice(history)?.wikis.length ?? 0) > 0;
  }

  #mountsOf(history: SessionHistory, policy: string | undefined, owner: SessionOwner): readonly SessionMemory[] {
    if (this.#mounts === undefined || this.#mounts.policy !== policy) {
      const text = policy === undefined ? '' : (history.input('context/policy.yaml', policy)?.toString('utf8') ?? '');
      this.#mounts = { policy, mounts: memoryMounts(parsePolicy(text).memory, owner) };
    }
    return this.#mounts.mounts;
  }
}

function recordedChoice(history: SessionHistory): MemoryChoice | undefined {
  const digest = history.log.inputsAsOf().get(MEMORY_CHOICE);
  const text = digest === undefined ? undefined : history.input(MEMORY_CHOICE, digest)?.toString('utf8');
  return text === undefined ? undefined : parseMemoryChoice(text);
}

/** A choice was recorded for this message already, under the policy of now: a restart does not choose again. */
function chosenBefore(history: SessionHistory, asked: number): boolean {
  const { log } = history;
  for (let index = log.length - 1; index >= Math.max(0, log.length - MOST_LOOKED); index -= 1) {
    const record = log.at(index);
    if (record.messageLines < asked) return false;
    if (record.kind !== 'input') continue;
    if (record.path === 'context/policy.yaml') return false;
    if (record.path === MEMORY_CHOICE) return !isMissing(recordedChoice(history));
  }
  return false;
}

/** Said in place of pages that nobody has read: it is no choice. */
function isMissing(choice: MemoryChoice | undefined): boolean {
  return (
    choice?.wikis.some(({ left }) => left.some(({ reason }) => reason === LATE || reason === FAILED || reason === FAILED_BEFORE)) === true
  );
}

/** The newest user message; where it says little, with those before it. */
function question(history: SessionHistory, asked: number): string {
  const texts: string[] = [];
  for (let line = asked; line > 0 && texts.length < MOST_ASKED; line = history.lastUserLine(line - 1)) {
    texts.push(history.lines.at(line).view.text.slice(0, MOST_CHARS));
    if (texts.join(' ').split(/\s+/).length >= LEAST_WORDS) break;
  }
  return texts.join('\n');
}

/** A person's session is theirs; a shared one is whoever's made it. */
function ownerOf(store: string, directory: string, owner: SessionOwner): MemoryRequest['owner'] {
  const { uid, gid } = lstatSync('home' in owner ? join(store, 'home', `${owner.home}`) : directory);
  return { uid: 'home' in owner ? owner.home : uid, gid };
}

function isThere(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() !== true) return stat !== undefined;
  const directory = opendirSync(path);
  try {
    return directory.readSync() !== null;
  } finally {
    directory.closeSync();
  }
}

/** False when its time is over: the work goes on. */
async function within(limitMs: number, work: Promise<void>, failed: (error: unknown) => void): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((done) => {
    timer = setTimeout(done, limitMs, false);
  });
  const ended = await Promise.race([
    work.then(
      () => true,
      (error: unknown) => (failed(error), true),
    ),
    late,
  ]);
  clearTimeout(timer);
  return ended;
}
