// A wiki's directory: ordinary files, whose changes are told, and `.ctx/`, which answers by name and is never listed.
import { isPagePath } from '../wiki/paths.ts';
import { lstatBytes, lstatOrFail, nativeUtf8, syntheticAttr, syntheticIno } from './backing.ts';
import { BytesNode } from './bytes-node.ts';
import { doerOf, learnSession } from './doer.ts';
import { DirectoryHandle, fail, S_IFDIR, S_IFREG, Slow, TreeNode } from './types.ts';
import type { Attr, Caller, DirectoryEntry } from './types.ts';
import { askWiki } from './wiki-client.ts';
import type { WikiChange, WikiClient, WikiFile } from './wiki-client.ts';

export const WIKI_DERIVED = '.ctx';

/** What configurations call a log. Of another name the size is not told, and entries that come in one moment are not told apart. */
const LOG_LIKE = /log|journal|changes|history/i;

/** Paths here are byte paths relative to the wiki. Times are taken before a change: whoever looks may see it at once. */
export class WikiArea {
  readonly #client: WikiClient;
  /** `home/0/wiki` */
  readonly name: string;
  readonly #backing: string;
  #derived: WikiDerived | undefined;

  constructor(client: WikiClient, store: string, name: string) {
    this.#client = client;
    this.name = name;
    this.#backing = `${store}/${name}`;
  }

  get derived(): TreeNode {
    return (this.#derived ??= new WikiDerived(this.#client, this.name, this.#backing));
  }

  /** WIK-40: `hold`: the caller may be kept until it is known what it works for; it may be gone a moment later. */
  written(path: string, caller: Caller, sinceMs: number, hold = false): Slow<null> | undefined {
    if (isPassedOver(path)) return undefined;
    const text = nativeUtf8(path);
    if (text === undefined) return this.other();
    const by = isPagePath(text) ? doerOf(caller) : undefined;
    const sizeBytes = LOG_LIKE.test(text) ? lstatBytes(`${this.#backing}/${path}`)?.size : undefined;
    return this.#tell(
      { kind: 'written', path: text, sinceMs, by, ...(sizeBytes === undefined ? {} : { sizeBytes: Number(sizeBytes) }) },
      hold,
    );
  }

  /** As {@link removed}, without holding the caller: something else does. */
  gone(path: string, caller: Caller, atMs: number): void {
    const text = isPassedOver(path) ? undefined : nativeUtf8(path);
    if (text === undefined) return this.other();
    this.#tell({ kind: 'removed', path: text, atMs, by: isPagePath(text) ? doerOf(caller) : undefined }, false);
  }

  removed(path: string, caller: Caller, atMs: number): Slow<null> | undefined {
    if (isPassedOver(path)) return undefined;
    const text = nativeUtf8(path);
    if (text === undefined) return this.other();
    const by = isPagePath(text) ? doerOf(caller) : undefined;
    return this.#tell({ kind: 'removed', path: text, atMs, by }, true);
  }

  renamed(from: string, to: string, caller: Caller, atMs: number): Slow<null> | undefined {
    if (isPassedOver(to)) return this.removed(from, caller, atMs);
    if (isPassedOver(from)) return this.written(to, caller, atMs, true);
    const path = nativeUtf8(to);
    const source = nativeUtf8(from);
    if (path === undefined || source === undefined) {
      this.gone(from, caller, atMs);
      return this.written(to, caller, atMs, true);
    }
    return this.#tell({ kind: 'renamed', from: source, path, atMs, by: doerOf(caller) }, true);
  }

  other(): undefined {
    this.#client.changed(this.name, { kind: 'other' });
  }

  #tell(change: Exclude<WikiChange, { kind: 'other' }>, hold: boolean): Slow<null> | undefined {
    const { by } = change;
    if (!hold || by === undefined || by.session !== undefined) {
      this.#client.changed(this.name, change);
      return undefined;
    }
    return new Slow<null>(null, (done, ticket) =>
      this.#client.changed(
        this.name,
        change,
        (outcome) => {
          if ('value' in outcome) learnSession(by, outcome.value);
          // What was done is done, whatever is known of who did it.
          done({ value: null });
        },
        ticket,
      ),
    );
  }
}

/** What git, editors and package managers keep for themselves; answers and configuration in `.wiki/` count. */
function isPassedOver(path: string): boolean {
  if (path.startsWith('.')) return !path.startsWith('.wiki/');
  return path.includes('/.') || path.startsWith('node_modules/') || path.includes('/node_modules/');
}

const FILES: readonly WikiFile[] = ['lint.md', 'lint.json', 'status'];

/** WIK-44: each look asks; a version that was handed out never changes. */
class WikiDerived extends TreeNode {
  readonly #client: WikiClient;
  readonly #wiki: string;
  readonly #backing: string;
  readonly #ino: number = syntheticIno();
  readonly #last: Map<WikiFile, { readonly node: BytesNode; readonly digest: string }> = new Map();

  constructor(client: WikiClient, wiki: string, backing: string) {
    super();
    this.#client = client;
    this.#wiki = wiki;
    this.#backing = backing;
  }

  /** Whoever may list the wiki may read what is said of it. */
  attr(): Attr {
    const root = lstatOrFail(this.#backing);
    const owner = { uid: Number(root.uid), gid: Number(root.gid) };
    return syntheticAttr(this.#ino, S_IFDIR | (Number(root.mode) & 0o555), 0, owner, Number(root.mtimeMs));
  }

  override lookup(name: string, _caller: Caller): TreeNode | Slow<TreeNode> {
    const file = FILES.find((each) => each === name);
    if (file === undefined) throw fail('ENOENT', `there are ${FILES.join(', ')}`);
    const { uid, gid, mode } = this.attr();
    const node = new BytesNode(Buffer.alloc(0), { uid, gid }, 0, mode & 0o444);
    const last = this.#last.get(file);
    return askWiki<{ kind: 'look'; wiki: string; file: WikiFile }, TreeNode>(
      this.#client,
      { kind: 'look', wiki: this.#wiki, file },
      node,
      ({ text, modifiedMs, digest }) => {
        node.fill(Buffer.from(text), modifiedMs);
        this.#last.set(file, { node, digest });
      },
      last === undefined ? undefined : { digest: last.digest, value: last.node },
    );
  }

  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return FILES.map((name) => ({ name, type: S_IFREG, ino: 0xffff_ffff }));
  }
}
