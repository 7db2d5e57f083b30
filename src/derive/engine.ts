// Demand-driven rebuilds: a rule says what it depends on, `fetch` runs it only when that has changed.
// DRV-1: single flight per rule. DRV-2: equal output keeps its time (backdating). DRV-3: memos are written last, by rename.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { CtxError } from '../abi/errors.ts';
import { CACHE_DAMAGED } from './types.ts';
import type { Content, ExecutionEntry, InputVersion, MemoOrigin, Rule } from './types.ts';

export const ENGINE_VERSION = 'derive/1';
const LOG_ENTRIES = 256;
const PIECE_BYTES = 1 << 20;

interface Memo {
  readonly inputs: readonly InputVersion[];
  readonly content: Content;
  readonly entry: ExecutionEntry | undefined;
}

export class Engine {
  readonly #path: string | undefined;
  readonly #version: string;
  readonly #now: () => number;
  readonly #origin: MemoOrigin | undefined;
  readonly #memos = new Map<string, Memo>();
  readonly #flights = new Map<string, Promise<Content>>();
  readonly #dropped = new Set<string>();
  /** Memos of an earlier run whose bytes were not looked at since. */
  readonly #unproven = new Set<string>();
  readonly #log: ExecutionEntry[] = [];
  #unsaved = false;
  #firstTime = 'there is no earlier build';

  /** `path`: where memos are kept between runs. `version` names everything in the code that outputs depend on. */
  constructor(path: string | undefined, version: string, now: () => number, origin?: MemoOrigin) {
    this.#path = path;
    this.#origin = origin;
    this.#version = `${ENGINE_VERSION} ${version}`;
    this.#now = now;
    this.#load();
  }

  /** What ran and why, oldest first: for tests and for `ctx explain`. */
  get log(): readonly ExecutionEntry[] {
    return this.#log;
  }

  /** Forgets the log. */
  clearLog(): void {
    this.#log.length = 0;
  }

  /** The rule's content now. Concurrent calls for one rule share one run. */
  fetch(rule: Rule): Promise<Content> {
    const flight = this.#flights.get(rule.name);
    if (flight !== undefined) return flight;
    const started = this.#verify(rule).finally(() => this.#flights.delete(rule.name));
    this.#flights.set(rule.name, started);
    return started;
  }

  /** The memo's content if it was made from exactly these inputs. */
  fresh(name: string, inputs: readonly InputVersion[]): Content | undefined {
    const memo = this.#memos.get(name);
    return memo !== undefined && changes(memo.inputs, inputs).length === 0 && this.#stands(name, memo) ? memo.content : undefined;
  }

  /** The last run of a rule; undefined when it never ran (or its memo is gone). */
  lastRun(name: string): ExecutionEntry | undefined {
    return this.#memos.get(name)?.entry;
  }

  drop(name: string): void {
    if (!this.#memos.delete(name)) return;
    this.#dropped.add(name);
    this.#unsaved = true;
  }

  /** DRV-3: a crash before the rename leaves the memos of before, never wrong ones. */
  save(): void {
    if (!this.#unsaved || this.#path === undefined) return;
    writeFileSync(`${this.#path}.new`, JSON.stringify({ version: this.#version, origin: this.#origin?.now(), memos: [...this.#memos] }), {
      mode: 0o600,
    });
    renameSync(`${this.#path}.new`, this.#path);
    this.#unsaved = false;
  }

  async #verify(rule: Rule): Promise<Content> {
    const inputs = rule.inputs();
    const memo = this.#memos.get(rule.name);
    const why = memo === undefined ? [this.#dropped.delete(rule.name) ? 'it was removed' : this.#firstTime] : changes(memo.inputs, inputs);
    if (memo !== undefined && why.length === 0) {
      if (this.#stands(rule.name, memo)) return memo.content;
      why.push('its cached bytes were deleted');
    }
    const kinds = inputs.map(({ name, version }) => ({ name, version }));
    const started = this.#now();
    const content = await rule.run();
    const same = memo !== undefined && memo.content.digest === content.digest;
    const kept = same ? { ...content, modifiedMs: memo.content.modifiedMs } : content;
    const entry: ExecutionEntry = {
      rule: rule.name,
      why,
      inputs: kinds,
      outcome: same ? 'backdated' : 'changed',
      digest: content.digest,
      sizeBytes: content.sizeBytes,
      startedMs: started,
      elapsedMs: this.#now() - started,
    };
    this.#log.push(entry);
    if (this.#log.length > LOG_ENTRIES) this.#log.shift();
    this.#unproven.delete(rule.name);
    this.#memos.set(rule.name, { inputs: kinds, content: kept, entry });
    this.#unsaved = true;
    return kept;
  }

  /** DRV-11: bytes of an earlier run are served when they have the digest that they had. Costs one reading of them, once. */
  #stands(name: string, { content }: Memo): boolean {
    if (!isThere(content)) return false;
    if (!this.#unproven.has(name)) return true;
    if (digestNow(content) !== content.digest)
      throw new CtxError(CACHE_DAMAGED, 'EIO', `the cached bytes of ${name} are not what was written`, { next: 'delete context/.cache' });
    this.#unproven.delete(name);
    return true;
  }

  #load(): void {
    if (this.#path === undefined) return;
    try {
      const kept = JSON.parse(readFileSync(this.#path, 'utf8')) as { version: string; origin?: string; memos: [string, Memo][] };
      if (kept.version !== this.#version) {
        this.#firstTime = 'the rules changed since the build before';
        return;
      }
      if (this.#origin?.holds(kept.origin) === false) {
        this.#firstTime = 'the history of the build before is no longer there';
        return;
      }
      for (const [name, memo] of kept.memos) {
        this.#memos.set(name, memo);
        this.#unproven.add(name);
      }
    } catch {
      this.#memos.clear();
    }
  }
}

/** Which inputs differ, a sentence each. */
function changes(before: readonly InputVersion[], after: readonly InputVersion[]): string[] {
  const known = new Map(before.map((input) => [input.name, input.version]));
  const words: string[] = [];
  for (const { name, version, changed } of after) {
    const was = known.get(name);
    known.delete(name);
    if (was === undefined) words.push(`${name} is new`);
    else if (was !== version) words.push(changed?.(was) ?? `${name} changed from ${was} to ${version}`);
  }
  for (const name of known.keys()) words.push(`${name} is gone`);
  return words;
}

/** Outputs may be deleted by anyone at any time. History extents always read; cache files must have their bytes. */
function isThere(content: Content): boolean {
  const needed = new Map<string, number>();
  for (const extent of content.extents)
    needed.set(extent.path, Math.max(needed.get(extent.path) ?? 0, extent.offsetBytes + extent.sizeBytes));
  for (const [path, size] of needed) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined || stats.size < size) return false;
  }
  return true;
}

function digestNow({ extents }: Content): string {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(PIECE_BYTES);
  for (const { path, offsetBytes, sizeBytes } of extents) {
    const file = openSync(path, 'r');
    try {
      for (let at = 0; at < sizeBytes;) {
        const read = readSync(file, buffer, 0, Math.min(PIECE_BYTES, sizeBytes - at), offsetBytes + at);
        if (read === 0) break;
        hash.update(buffer.subarray(0, read));
        at += read;
      }
    } finally {
      closeSync(file);
    }
  }
  return `sha256-${hash.digest('hex')}`;
}
