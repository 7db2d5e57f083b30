// Names that change below a directory. One watch for each directory and none for its files: a write costs its reader microseconds.
import * as fs from 'node:fs';
import * as path from 'node:path';

export interface DirectoryWatchOptions {
  /** Relative paths that are not looked at. */
  readonly ignored: (name: string) => boolean;
  /** A file was made, written, renamed or removed. */
  readonly met: (name: string) => void;
  /** A directory came or went, or more happened than can be told. */
  readonly lost: (name: string) => void;
  readonly failed: (error: unknown) => void;
}

/** Above this, changes in the store are found at the next start. */
const MAX_DIRECTORIES = 8192;

export class DirectoryWatch {
  readonly #root: string;
  readonly #options: DirectoryWatchOptions;
  readonly #watches: Map<string, fs.FSWatcher> = new Map();
  #full = false;

  constructor(root: string, options: DirectoryWatchOptions) {
    this.#root = root;
    this.#options = options;
    this.#add('');
  }

  close(): void {
    for (const watch of this.#watches.values()) watch.close();
    this.#watches.clear();
  }

  #add(directory: string): void {
    const rest = [directory];
    for (let at = rest.pop(); at !== undefined; at = rest.pop()) {
      if (this.#full || this.#watches.has(at)) continue;
      if (this.#watches.size >= MAX_DIRECTORIES) {
        this.#full = true;
        return this.#options.failed(new Error(`more than ${MAX_DIRECTORIES} directories`));
      }
      try {
        this.#watchOne(at);
        for (const entry of fs.readdirSync(path.join(this.#root, at), { withFileTypes: true })) {
          const name = path.posix.join(at, entry.name);
          if (entry.isDirectory() && !this.#options.ignored(name)) rest.push(name);
        }
      } catch (error) {
        // Gone again; or the system has no watch left.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#options.failed(error);
      }
    }
  }

  #watchOne(directory: string): void {
    const watch = fs.watch(path.join(this.#root, directory), { persistent: false }, (event, name) => {
      if (name === null) return this.#options.lost(directory);
      const changed = path.posix.join(directory, name);
      if (this.#options.ignored(changed)) return;
      if (event === 'rename' && this.#isDirectoryNow(changed)) return;
      this.#options.met(changed);
    });
    watch.on('error', () => this.#forget(directory));
    this.#watches.set(directory, watch);
  }

  /** True for a directory that came or went. */
  #isDirectoryNow(name: string): boolean {
    const is = fs.lstatSync(path.join(this.#root, name), { throwIfNoEntry: false })?.isDirectory() === true;
    const was = this.#watches.has(name);
    if (!is && !was) return false;
    // Another directory may have taken the name of one that is watched.
    if (was) this.#forget(name);
    if (is) this.#add(name);
    this.#options.lost(name);
    return true;
  }

  #forget(directory: string): void {
    for (const [name, watch] of this.#watches) {
      if (name !== directory && !name.startsWith(`${directory}/`)) continue;
      watch.close();
      this.#watches.delete(name);
    }
  }
}
