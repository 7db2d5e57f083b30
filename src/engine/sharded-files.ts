// Many small files in 256 directories by the first two digits of their names, and what changed among them since the last look.
// A directory's own time says whether names in it came or went, whoever moved them: no lock, no index file that could lie.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface ShardFile {
  readonly directory: string;
  readonly name: string;
  readonly bytes: number;
  readonly modifiedMs: number;
  /** Another one under the same name has another. */
  readonly identity: string;
}

export interface ShardChanges {
  readonly added: readonly ShardFile[];
  readonly removed: readonly ShardFile[];
}

interface Shard {
  readonly modifiedMs: number;
  /** Changed so shortly before it was listed that the next change could have the same time. */
  readonly settled: boolean;
  readonly files: ReadonlyMap<string, ShardFile>;
}

/** Longer than a tick of any clock that stamps directories. */
const TICK_MS = 100;
const SHARD = /^[0-9a-f]{2}$/;

export function shardOf(root: string, name: string): string {
  return join(root, name.slice(0, 2));
}

export class ShardedFiles {
  readonly root: string;
  readonly #name: RegExp;
  readonly #shards = new Map<string, Shard>();
  #others: readonly string[] = [];

  constructor(root: string, name: RegExp) {
    this.root = root;
    this.#name = name;
  }

  /** Names that lie beside the shards, as of the last look. */
  get others(): readonly string[] {
    return this.#others;
  }

  /**
   * What came and went since the last call; a file that was replaced did both. Contents and times of files that stayed are
   * not looked at. Cost: one stat a shard, and a listing of those that changed.
   */
  refresh(): ShardChanges {
    const added: ShardFile[] = [];
    const removed: ShardFile[] = [];
    const names = listNamesNow(this.root);
    this.#others = names.filter((name) => !SHARD.test(name));
    const present = new Set(names.filter((name) => SHARD.test(name)));
    for (const name of present) this.#look(join(this.root, name), name, added, removed);
    for (const [name, { files }] of this.#shards) {
      if (present.has(name)) continue;
      removed.push(...files.values());
      this.#shards.delete(name);
    }
    return { added, removed };
  }

  #look(directory: string, name: string, added: ShardFile[], removed: ShardFile[]): void {
    const modifiedMs = statSync(directory, { throwIfNoEntry: false })?.mtimeMs;
    const before = this.#shards.get(name);
    if (modifiedMs === undefined || (before?.settled === true && before.modifiedMs === modifiedMs)) return;
    // The time is taken before the names: a change in between is seen at the next look.
    const settled = Date.now() - modifiedMs > TICK_MS;
    const files = new Map<string, ShardFile>();
    for (const each of listNamesNow(directory)) {
      if (!this.#name.test(each)) continue;
      const file = fileAt(directory, each);
      if (file === undefined) continue;
      const known = before?.files.get(each);
      files.set(each, known?.identity === file.identity ? known : file);
    }
    for (const file of before?.files.values() ?? []) if (files.get(file.name) !== file) removed.push(file);
    for (const file of files.values()) if (before?.files.get(file.name) !== file) added.push(file);
    this.#shards.set(name, { modifiedMs, settled, files });
  }
}

function fileAt(directory: string, name: string): ShardFile | undefined {
  const stats = statSync(join(directory, name), { throwIfNoEntry: false });
  if (stats === undefined || !stats.isFile()) return undefined;
  return { directory, name, bytes: stats.size, modifiedMs: stats.mtimeMs, identity: `${stats.ino}:${stats.size}:${stats.mtimeMs}` };
}

/** Names, at once: a short list is not worth a turn. None where there is no directory. */
export function listNamesNow(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
