// `context/`: control files, derived files, contributions, pinned/ and child/.
import { CONTEXT_CONTROLS, CONTEXT_DERIVED } from '../abi/session-files.ts';
import { bytePath, lstat, lstatOrFail, restoreDirectory, toAttr } from './backing.ts';
import { BytesNode } from './bytes-node.ts';
import type { Owner } from './bytes-node.ts';
import { contributeWhole, takesContributions } from './contribution.ts';
import { ControlNode } from './control-node.ts';
import { DerivedDirectory, readAll, VersionNode } from './derived-node.ts';
import { KvDirectory } from './kv-dir.ts';
import { OrdinaryArea } from './ordinary.ts';
import type { PathParent } from './ordinary.ts';
import type { Session } from './sessions.ts';
import { TemporaryNames } from './temporary.ts';
import { DirectoryHandle, fail, S_IFDIR, S_IFREG, Slow, TreeNode } from './types.ts';
import type { Attr, Caller, Created, DirectoryEntry } from './types.ts';
import { askWiki } from './wiki-client.ts';

const CONTROLS: ReadonlySet<string> = new Set(CONTEXT_CONTROLS);
const DERIVED: ReadonlySet<string> = new Set(CONTEXT_DERIVED);
const ORDINARY = ['pinned', 'child'];
/** Derived. */
const DIRECTORIES: readonly string[] = ['swap', 'dedup', 'kv'];

export class ContextDirectory extends TreeNode implements PathParent {
  readonly session: Session;
  readonly #areas: Map<string, OrdinaryArea> = new Map();
  readonly #temporary: TemporaryNames;
  readonly #derived: Map<string, DerivedDirectory> = new Map();
  #kv: KvDirectory | undefined;

  constructor(session: Session) {
    super();
    this.session = session;
    for (const path of ['', '/pinned', '/child']) restoreDirectory(`${this.#directory()}${path}`);
    this.#temporary = new TemporaryNames(`${session.directory}/.tmp/context`);
  }

  #directory(): string {
    return `${this.session.directory}/context`;
  }
  path(): string {
    return bytePath(this.#directory());
  }
  /** Something in pinned/ or child/ changed: a recorded input. */
  changed(relative: string): void {
    this.session.inputChanged(`context/${relative}`);
  }
  attr(): Attr {
    this.session.mustExist();
    return toAttr(lstatOrFail(this.#directory()));
  }
  #owner(): Owner {
    const attr = this.attr();
    return { uid: attr.uid, gid: attr.gid };
  }

  override lookup(name: string): TreeNode | Slow<TreeNode> {
    if (DERIVED.has(name)) return this.#fetch(name);
    if (CONTROLS.has(name)) return this.#control(name);
    if (ORDINARY.includes(name)) return this.#ordinary(name);
    if (name === 'swap' || name === 'dedup') return this.#derivedDirectory(name);
    if (name === 'gate.md') return this.#gate();
    if (name === 'kv') return (this.#kv ??= new KvDirectory(this.session, this.#owner()));
    const temporary = this.#temporary.directory(false);
    if (temporary === undefined) throw fail('ENOENT', 'no such file');
    return temporary.lookup(name);
  }

  #control(name: string): TreeNode {
    const key = `context/${name}`;
    let node = this.session.fixed.get(key);
    if (node === undefined) this.session.fixed.set(key, (node = new ControlNode(this.session, key)));
    return node;
  }

  #ordinary(name: string): TreeNode {
    const stat = lstat(`${this.#directory()}/${name}`);
    if (stat === undefined) throw fail('ENOENT', 'no such directory');
    let area = this.#areas.get(name);
    if (area === undefined) this.#areas.set(name, (area = new OrdinaryArea(this.session.options.deriver)));
    return area.nodeAt(this, name, stat);
  }

  /** Why the session may, or may not yet, be called done. As of each look: time alone closes a gate. Answers by name only. */
  #gate(): Slow<TreeNode> {
    const node = new BytesNode(Buffer.alloc(0), this.#owner(), 0);
    const { session } = this;
    return askWiki<{ kind: 'gate'; session: string }, TreeNode>(
      session.options.deriver.wiki,
      { kind: 'gate', session: session.relative },
      node,
      ({ text, modifiedMs }) => node.fill(Buffer.from(text), modifiedMs),
    );
  }

  #derivedDirectory(name: 'swap' | 'dedup'): TreeNode {
    let node = this.#derived.get(name);
    if (node === undefined)
      this.#derived.set(name, (node = new DerivedDirectory(this.session, this.#owner(), name, (file) => this.#fetch(file))));
    return node;
  }

  /** The node of the current version: at once when nothing changed, else when the deriver has it. */
  #fetch(name: string): TreeNode | Slow<TreeNode> {
    const session = this.session;
    const at = session.at();
    const fresh = session.fresh.get(name);
    if (fresh !== undefined && fresh.revision === session.revision) return fresh.node;
    const revision = session.revision;
    const last = fresh?.node instanceof VersionNode ? fresh.node : undefined;
    const node = new VersionNode(session, name, this.#owner());
    const remember = (version: VersionNode): void => void session.fresh.set(name, { revision, node: version });
    const slow = session.ask(
      { kind: 'fetch', name, revision: at },
      node,
      (content) => {
        node.fill(content);
        remember(node);
      },
      last === undefined ? undefined : { digest: last.content.digest, value: last },
    );
    return new Slow<TreeNode>(
      node,
      (done, ticket) =>
        slow.start((outcome) => {
          if ('value' in outcome && outcome.value === last && last !== undefined) remember(last);
          done(outcome);
        }, ticket),
      slow.current,
    );
  }

  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }

  // READDIRPLUS never rebuilds: derived names are given without attributes.
  override readdir(): readonly DirectoryEntry[] {
    const entry = (name: string, type: number): DirectoryEntry => ({ name, type, ino: 0xffff_ffff });
    return [
      ...CONTEXT_CONTROLS.map((name) => ({ ...entry(name, S_IFREG), node: () => this.#control(name) })),
      ...CONTEXT_DERIVED.map((name) => entry(name, S_IFREG)),
      ...[...ORDINARY, ...DIRECTORIES].map((name) => entry(name, S_IFDIR)),
    ];
  }

  #isFixed(name: string): boolean {
    return CONTROLS.has(name) || DERIVED.has(name) || ORDINARY.includes(name) || DIRECTORIES.includes(name);
  }

  #temporaryFor(name: string): NonNullable<ReturnType<TemporaryNames['directory']>> {
    if (this.#isFixed(name)) throw fail('EPERM', 'this name belongs to the session');
    const directory = this.#temporary.directory(true);
    if (directory === undefined) throw fail('EIO', 'temporary names are not available');
    return directory;
  }

  override create(name: string, mode: number, flags: number, caller: Caller): Created {
    if (this.#isFixed(name)) throw fail('EEXIST', 'exists');
    return this.#temporaryFor(name).create(name, mode, flags, caller);
  }
  override symlink(name: string, target: string, caller: Caller): TreeNode {
    return this.#temporaryFor(name).symlink(name, target, caller);
  }

  override unlink(name: string): void {
    if (DERIVED.has(name)) {
      this.session.ask({ kind: 'drop', name }, null, () => {}).start(() => {});
      this.session.fresh.delete(name);
      return;
    }
    if (this.#isFixed(name)) throw fail('EPERM', 'a control file belongs to its session');
    this.#temporaryFor(name).unlink(name);
  }

  override rmdir(name: string): void {
    // Derived directories come back at the next look; pinned/ and child/ belong to the session.
    if (!DIRECTORIES.includes(name)) throw fail('EPERM', 'this directory belongs to the session');
  }

  override rename(name: string, parent: TreeNode, newName: string, flags: number, caller: Caller): void | Slow<null> {
    if (parent !== this) throw fail('EXDEV', 'renames stay inside context/');
    if (this.#isFixed(name)) return this.#copyOut(name, newName, flags, caller);
    const directory = this.#temporaryFor(name);
    if (!this.#isFixed(newName)) return directory.rename(name, directory, newName, flags);
    if (flags !== 0) throw fail('EINVAL', 'this name can only be replaced');
    const bytes = this.#temporary.read(name);
    if (CONTROLS.has(newName)) void (this.#control(newName) as ControlNode).replace(bytes);
    else if (takesContributions(newName)) contributeWhole(this.session, newName, bytes);
    else throw fail('EPERM', 'this file is derived');
    return directory.unlink(name);
  }

  /** An editor moves the old version aside before it writes the new one: a copy goes there, the name stays. */
  #copyOut(name: string, newName: string, flags: number, caller: Caller): void {
    if (this.#isFixed(newName) || flags !== 0) throw fail('EPERM', 'this name belongs to the session');
    let bytes: Buffer;
    if (CONTROLS.has(name)) {
      bytes = Buffer.alloc(this.#control(name).attr().sizeBytes);
      bytes = bytes.subarray(0, (this.#control(name) as ControlNode).open(0).read(0, bytes));
    } else {
      const node = this.session.fresh.get(name)?.node;
      if (!takesContributions(name) || !(node instanceof VersionNode)) throw fail('EPERM', 'this file is derived');
      bytes = readAll(node.content);
    }
    const { handle } = this.#temporaryFor(newName).create(newName, 0o644, 0o1, caller);
    handle.write(0, bytes, '', 0);
    handle.release();
  }
}
