// Which pages say the same, kept up as pages change: equal words, and mostly equal words.
import { MIN_WORDS, similarity, type Sketch } from './sketch.ts';

/** Share of runs of words that two near duplicates have in common. */
export const NEAR = 0.8;
/** Smallest hashes under which a page is looked up: at 0.8, the chance that two pages share none of 16 is about 10^-11. */
const KEYS = 16;
/** Of these, how many must agree before two pages are compared: at 0.8 about 11 do, by chance hardly two. */
const MIN_KEYS = 3;
/** A run that more pages have is a template's, and finds nothing. */
const MAX_SHARED = 64;
const MAX_NEIGHBOURS = 8;

export interface Neighbour {
  readonly path: string;
  readonly share: number;
}

export class SimilarPages {
  readonly #sketches = new Map<string, Sketch>();
  readonly #keys = new Map<number, Set<string>>();
  readonly #equal = new Map<string, Set<string>>();
  /** Answers of before; a page that comes or goes takes along those of the pages that share a key with it. */
  readonly #near = new Map<string, readonly Neighbour[]>();

  set(path: string, sketch: Sketch): void {
    this.delete(path);
    if (sketch.words < 1) return;
    this.#sketches.set(path, sketch);
    addTo(this.#equal, wholeKey(sketch), path);
    if (sketch.words < MIN_WORDS) return;
    for (const key of sketch.smallest.subarray(0, KEYS)) {
      addTo(this.#keys, key, path);
      this.#forget(key);
    }
  }

  delete(path: string): void {
    const sketch = this.#sketches.get(path);
    if (sketch === undefined) return;
    this.#sketches.delete(path);
    takeFrom(this.#equal, wholeKey(sketch), path);
    this.#near.delete(path);
    for (const key of sketch.smallest.subarray(0, KEYS)) {
      this.#forget(key);
      takeFrom(this.#keys, key, path);
    }
  }

  #forget(key: number): void {
    const sharing = this.#keys.get(key);
    // One above the limit: the answers of before may have been those of a list within it.
    if (sharing !== undefined && sharing.size <= MAX_SHARED + 1) for (const path of sharing) this.#near.delete(path);
  }

  /** Whether the page has enough words to be compared. */
  has(path: string): boolean {
    return (this.#sketches.get(path)?.words ?? 0) >= MIN_WORDS;
  }

  /** Groups of pages with the same words, each in path order. */
  *duplicates(): Iterable<readonly string[]> {
    for (const group of this.#equal.values()) if (group.size > 1) yield [...group].sort();
  }

  /** The most similar other pages, not equal ones; best first. Costs the pages that share a rare run of words. */
  near(path: string): readonly Neighbour[] {
    let found = this.#near.get(path);
    if (found === undefined) this.#near.set(path, (found = this.#find(path)));
    return found;
  }

  #find(path: string): readonly Neighbour[] {
    const sketch = this.#sketches.get(path);
    if (sketch === undefined || sketch.words < MIN_WORDS) return [];
    const candidates = new Map<string, number>();
    for (const key of sketch.smallest.subarray(0, KEYS)) {
      const sharing = this.#keys.get(key);
      if (sharing === undefined || sharing.size < 2 || sharing.size > MAX_SHARED) continue;
      for (const other of sharing) candidates.set(other, (candidates.get(other) ?? 0) + 1);
    }
    candidates.delete(path);
    const found: Neighbour[] = [];
    for (const [other, keys] of candidates) {
      if (keys < MIN_KEYS) continue;
      const theirs = this.#sketches.get(other) as Sketch;
      if (wholeKey(theirs) === wholeKey(sketch)) continue;
      const share = similarity(sketch, theirs);
      if (share >= NEAR) found.push({ path: other, share });
    }
    return found.sort((a, b) => b.share - a.share || (a.path < b.path ? -1 : 1)).slice(0, MAX_NEIGHBOURS);
  }
}

function wholeKey(sketch: Sketch): string {
  return `${sketch.words}-${sketch.whole}-${sketch.wholeToo}`;
}

function addTo<K>(map: Map<K, Set<string>>, key: K, path: string): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([path]));
  else set.add(path);
}

function takeFrom<K>(map: Map<K, Set<string>>, key: K, path: string): void {
  const set = map.get(key);
  if (set?.delete(path) === true && set.size === 0) map.delete(key);
}
