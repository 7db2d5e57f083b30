// session/index/: which sessions there are, newest first (derived, regular files, never symlinks).
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { isObjectName } from '../abi/names.ts';
import { BytesName, FixedDirectory } from './bytes-node.ts';
import type { Owner } from './bytes-node.ts';
import { readControl } from './control-file.ts';
import type { Sessions } from './sessions.ts';
import { S_IFDIR, S_IFREG } from './types.ts';
import type { TreeNode } from './types.ts';

interface Entry {
  readonly name: string;
  readonly updatedMs: number;
}

export class SessionIndex {
  readonly directory: FixedDirectory;
  readonly #backing: string;
  readonly #sessions: Sessions;
  readonly #owner: Owner;
  readonly #names: Map<string, BytesName> = new Map();
  readonly #known: Map<string, number> = new Map();

  constructor(backing: string, owner: Owner, sessions: Sessions) {
    this.#backing = backing;
    this.#sessions = sessions;
    this.#owner = owner;
    const byCwd = new FixedDirectory(owner, Date.now(), () => this.#byCwd());
    this.directory = new FixedDirectory(
      owner,
      Date.now(),
      () =>
        new Map<string, () => TreeNode>([
          [
            'list',
            () =>
              this.#file(
                'list',
                this.newestFirst()
                  .map((entry) => `${entry.name}\n`)
                  .join(''),
              ),
          ],
          ['current', () => this.#file('current', this.#current())],
          ['by-cwd', () => byCwd],
        ]),
      (name) => (name === 'by-cwd' ? S_IFDIR : S_IFREG),
    );
  }

  #file(name: string, text: string): TreeNode {
    let file = this.#names.get(name);
    if (file === undefined) this.#names.set(name, (file = new BytesName()));
    return file.node(Buffer.from(text), this.#owner, Date.now());
  }

  newestFirst(): readonly Entry[] {
    const names = fs.readdirSync(this.#backing).filter(isObjectName);
    const entries = names.map((name) => ({ name, updatedMs: this.#updatedMs(name) }));
    return entries.sort((a, b) => b.updatedMs - a.updatedMs || (a.name < b.name ? -1 : 1));
  }

  #updatedMs(name: string): number {
    const directory = `${this.#backing}/${name}`;
    const live = this.#sessions.peek(directory)?.lastCommitMs ?? 0;
    if (live > 0) this.#known.set(name, live);
    let known = this.#known.get(name);
    if (known === undefined) {
      known = fs.lstatSync(`${directory}/messages.jsonl`, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      this.#known.set(name, known);
    }
    return known;
  }

  /** The newest session whose state is active; empty when there is none. */
  #current(): string {
    for (const { name } of this.newestFirst()) {
      if (read(`${this.#backing}/${name}/state`) === 'active') return `${name}\n`;
    }
    return '';
  }

  #byCwd(): ReadonlyMap<string, () => TreeNode> {
    const groups = new Map<string, string[]>();
    for (const { name } of this.newestFirst()) {
      const hash = createHash('sha256')
        .update(read(`${this.#backing}/${name}/cwd`))
        .digest('hex')
        .slice(0, 16);
      groups.set(hash, [...(groups.get(hash) ?? []), name]);
    }
    return new Map(
      [...groups].map(([hash, names]) => [hash, () => this.#file(`by-cwd/${hash}`, names.map((name) => `${name}\n`).join(''))]),
    );
  }
}

function read(path: string): string {
  try {
    return readControl(path).toString('utf8').trim();
  } catch {
    return '';
  }
}
