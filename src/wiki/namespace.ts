// The names of a wiki: which paths, base names and aliases there are. What links are resolved against.
import { baseKey, directoryOf, isPagePath, withoutExtension } from './paths.ts';
import { foldName } from './slug.ts';

export class Namespace {
  /** Every file by its path. */
  readonly #paths = new Set<string>();
  readonly #folded: Many = new Many();
  readonly #bases: Many = new Many();
  readonly #aliases: Many = new Many();
  /** Files below each directory. */
  readonly #directories = new Map<string, number>();

  addFile(path: string): void {
    this.#paths.add(path);
    for (const [many, key] of this.#keys(path)) many.add(key, path);
    for (let directory = directoryOf(path); ; directory = directoryOf(directory)) {
      const key = foldName(directory);
      this.#directories.set(key, (this.#directories.get(key) ?? 0) + 1);
      if (directory === '') return;
    }
  }

  removeFile(path: string): void {
    this.#paths.delete(path);
    for (const [many, key] of this.#keys(path)) many.remove(key, path);
    for (let directory = directoryOf(path); ; directory = directoryOf(directory)) {
      const key = foldName(directory);
      const left = (this.#directories.get(key) ?? 1) - 1;
      if (left > 0) this.#directories.set(key, left);
      else this.#directories.delete(key);
      if (directory === '') return;
    }
  }

  addAlias(alias: string, path: string): void {
    this.#aliases.add(foldName(alias), path);
  }

  removeAlias(alias: string, path: string): void {
    this.#aliases.remove(foldName(alias), path);
  }

  has(path: string): boolean {
    return this.#paths.has(path);
  }

  /** Files whose path is this one but for case and the spelling of accents. */
  alike(path: string): readonly string[] {
    return this.#folded.get(foldName(path));
  }

  hasDirectory(path: string): boolean {
    return this.#directories.has(foldName(path));
  }

  /** Pages and files of that base name, in path order. */
  named(name: string): readonly string[] {
    return this.#bases.get(baseKey(name));
  }

  aliased(alias: string): readonly string[] {
    return this.#aliases.get(foldName(alias));
  }

  #keys(path: string): readonly (readonly [Many, string])[] {
    const folded = foldName(path);
    // A page answers with and without its extension.
    return isPagePath(path)
      ? [
          [this.#folded, folded],
          [this.#folded, foldName(withoutExtension(path))],
          [this.#bases, baseKey(path)],
        ]
      : [
          [this.#folded, folded],
          [this.#bases, baseKey(path)],
        ];
  }
}

/** Key → paths, each once, in path order. */
class Many {
  readonly #lists = new Map<string, string[]>();

  get(key: string): readonly string[] {
    return this.#lists.get(key) ?? [];
  }

  add(key: string, path: string): void {
    const list = this.#lists.get(key);
    if (list === undefined) this.#lists.set(key, [path]);
    else if (!list.includes(path)) {
      const at = list.findIndex((other) => other > path);
      list.splice(at < 0 ? list.length : at, 0, path);
    }
  }

  remove(key: string, path: string): void {
    const list = this.#lists.get(key);
    const at = list?.indexOf(path) ?? -1;
    if (list === undefined || at < 0) return;
    if (list.length === 1) this.#lists.delete(key);
    else list.splice(at, 1);
  }
}
