// States that the server saved for us (`--slot-save-path`): which name holds which tokens. The server offers no way to
// delete a file, so names are few, belong to this client, and are written over. A name is taken off the record before the
// server writes or reads it, and put back after that was proven: a crash in between leaves a name that nobody trusts.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commonPrefix, tokenBytes, tokensOf } from '../prefix.ts';

const MOST_NAMES = 16;
const RECORD = /^ctxfs-[0-9a-f]{12}-([0-9]{1,2})\.tok$/;

export interface SavedSlot {
  /** File name on the server. */
  readonly name: string;
  readonly tokens: Uint32Array;
}

export class SavedSlots {
  readonly #directory: string | undefined;
  readonly #client: string;
  /** Least recently used first. */
  readonly #slots = new Map<string, Uint32Array>();

  /** `directory`: where the record survives this process; undefined: it does not, and names are new each time. */
  constructor(directory: string | undefined) {
    this.#directory = directory;
    if (directory !== undefined) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.#read(directory);
    }
    this.#client = [...this.#slots.keys()][0]?.slice(0, 18) ?? `ctxfs-${randomBytes(6).toString('hex')}`;
  }

  /** The state that shares most tokens; among equals the newest. */
  best(tokens: Uint32Array): (SavedSlot & { readonly shared: number }) | undefined {
    let best: (SavedSlot & { readonly shared: number }) | undefined;
    for (const [name, saved] of this.#slots) {
      const shared = commonPrefix(saved, tokens);
      if (shared > 0 && shared >= (best?.shared ?? 0)) best = { name, tokens: saved, shared };
    }
    return best;
  }

  holds(tokens: Uint32Array): boolean {
    const best = this.best(tokens);
    return best?.shared === tokens.length;
  }

  /** A name to save these tokens under, off the record now: one whose tokens are a prefix of them, a new one, or the oldest. */
  take(tokens: Uint32Array): string {
    const prefix = [...this.#slots].find(([, saved]) => saved.length <= tokens.length && commonPrefix(saved, tokens) === saved.length);
    const used = new Set(this.#slots.keys());
    const free = Array.from({ length: MOST_NAMES }, (_, index) => `${this.#client}-${index}.kv`).find((name) => !used.has(name));
    const name = prefix?.[0] ?? free ?? ([...used][0] as string);
    this.forget(name);
    return name;
  }

  record(name: string, tokens: Uint32Array): void {
    this.#slots.delete(name);
    this.#slots.set(name, tokens);
    if (this.#directory === undefined) return;
    const path = recordPath(this.#directory, name);
    writeFileSync(`${path}.new`, tokenBytes(tokens), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    utimesSync(path, new Date(), new Date());
  }

  forget(name: string): void {
    this.#slots.delete(name);
    if (this.#directory !== undefined) rmSync(recordPath(this.#directory, name), { force: true });
  }

  #read(directory: string): void {
    const found = readdirSync(directory)
      .filter((name) => RECORD.test(name))
      .map((name) => ({ name, mtimeMs: statSync(join(directory, name)).mtimeMs }))
      .sort((a, b) => a.mtimeMs - b.mtimeMs);
    for (const { name } of found) {
      const tokens = tokensOf(readFileSync(join(directory, name)));
      if (tokens !== undefined && tokens.length > 0) this.#slots.set(name.replace(/\.tok$/, '.kv'), tokens);
    }
  }
}

function recordPath(directory: string, name: string): string {
  return join(directory, name.replace(/\.kv$/, '.tok'));
}
