// One session: journals, latest.md, updated_at, control files, context/. What is answered here is O(1):
// `>>` takes this directory's lock in the kernel and must never wait for a rebuild.
import { JOURNALS, SESSION_CONTROLS, SESSION_DERIVED } from '../abi/session-files.ts';
import type { JournalWriter } from '../journal/types.ts';
import { searchLatest } from '../session/latest-text.ts';
import { lstatOrFail, toAttr } from './backing.ts';
import { MemoryDirectory, RetrievalDirectory } from './binding-dir.ts';
import { Bindings } from './bindings.ts';
import { BytesName, BytesNode } from './bytes-node.ts';
import type { Owner } from './bytes-node.ts';
import { ContextDirectory } from './context-dir.ts';
import { ControlNode } from './control-node.ts';
import { JournalNode } from './journal-node.ts';
import type { Session } from './sessions.ts';
import { TemporaryNames } from './temporary.ts';
import { DirectoryHandle, fail, S_IFDIR, S_IFREG, Slow, TreeNode } from './types.ts';
import type { Attr, Caller, Created, DirectoryEntry } from './types.ts';

const FIXED: ReadonlySet<string> = new Set([...JOURNALS, ...SESSION_CONTROLS, ...SESSION_DERIVED, 'context']);
/** There while something is bound. */
const BINDINGS: ReadonlySet<string> = new Set(['memory', 'retrieval', 'environment']);

/** About a millisecond of the serving thread. */
const MAX_LOOK_BYTES = 1 << 20;

export class SessionDirectory extends TreeNode {
  readonly session: Session;
  readonly #latest: BytesName = new BytesName();
  readonly #updated: BytesName = new BytesName();
  readonly #temporary: TemporaryNames;
  readonly #bindings: Bindings;
  readonly #environment: BytesName = new BytesName();
  readonly #memory: MemoryDirectory;
  readonly #retrieval: RetrievalDirectory;
  #latestText = '';
  #latestEnd = 0;

  constructor(session: Session) {
    super();
    this.session = session;
    this.#temporary = new TemporaryNames(`${session.directory}/.tmp/session`);
    this.#bindings = new Bindings(session);
    this.#memory = new MemoryDirectory(this.#bindings);
    this.#retrieval = new RetrievalDirectory(this.#bindings);
  }

  attr(): Attr {
    this.session.mustExist();
    return toAttr(lstatOrFail(this.session.directory));
  }

  override lookup(name: string): TreeNode | Slow<TreeNode> {
    if (FIXED.has(name)) return this.#fixed(name);
    if (BINDINGS.has(name)) {
      const bound = this.#bound(name);
      if (bound === undefined) throw fail('ENOENT', 'nothing is bound');
      return bound;
    }
    const temporary = this.#temporary.directory(false);
    if (temporary === undefined) throw fail('ENOENT', 'no such file');
    return temporary.lookup(name);
  }

  #bound(name: string): TreeNode | undefined {
    if (name === 'environment') {
      const text = this.#bindings.environment();
      const { uid, gid, mode } = this.attr();
      // As private as the session, and no program.
      return text === undefined ? undefined : this.#environment.node(text, { uid, gid }, 0, mode & 0o444);
    }
    const directory = name === 'memory' ? this.#memory : this.#retrieval;
    return directory.isEmpty ? undefined : directory;
  }

  #fixed(name: string): TreeNode | Slow<TreeNode> {
    const { session } = this;
    if (name === 'latest.md' || name === 'updated_at') return this.#computed(name);
    let node = session.fixed.get(name);
    if (node === undefined) {
      if (name === 'messages.jsonl' || name === 'events.jsonl') node = new JournalNode(session, name);
      else if (name === 'context') node = new ContextDirectory(session);
      else node = new ControlNode(session, name);
      session.fixed.set(name, node);
    }
    return node;
  }

  #computed(name: 'latest.md' | 'updated_at'): TreeNode | Slow<TreeNode> {
    const { messages, events } = this.session.journals;
    const { uid, gid } = this.attr();
    if (name === 'latest.md') return this.#latestNode(messages, { uid, gid });
    const at = Math.max(messages.modifiedMs, events.modifiedMs);
    return this.#updated.node(Buffer.from(`${new Date(at).toISOString()}\n`), { uid, gid }, at);
  }

  /**
   * Latest assistant text: looks only at bytes that came since the last look, newest first. What is not found in the
   * newest MiB (a long history without an answer, at its first look) the deriver looks for.
   */
  #latestNode(messages: JournalWriter, owner: Owner): TreeNode | Slow<TreeNode> {
    const { modifiedMs, sizeBytes } = messages;
    const search = searchLatest(
      (at, into) => messages.read(at, Buffer.from(into.buffer, into.byteOffset, into.byteLength)),
      this.#latestEnd,
      sizeBytes,
    );
    for (;;) {
      const step = search.next();
      if (step.done === true) {
        // Last: a read that fails leaves the bytes to be looked at again.
        this.#remember(step.value ?? this.#latestText, sizeBytes);
        return this.#latest.node(Buffer.from(this.#latestText), owner, modifiedMs);
      }
      if (step.value >= MAX_LOOK_BYTES) break;
    }
    const node = new BytesNode(Buffer.alloc(0), owner, modifiedMs);
    const range = { fromBytes: this.#latestEnd, endBytes: sizeBytes };
    return this.session.ask({ kind: 'latest', ...range, otherwise: this.#latestText, modifiedMs }, node, ({ text }) => {
      node.fill(Buffer.from(text), modifiedMs);
      if (sizeBytes < this.#latestEnd) return;
      this.#remember(text, sizeBytes);
      this.#latest.adopt(node);
    });
  }

  #remember(text: string, endBytes: number): void {
    this.#latestText = text;
    this.#latestEnd = endBytes;
  }

  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }

  override readdir(): readonly DirectoryEntry[] {
    const bound = [...BINDINGS].filter((name) => this.#bound(name) !== undefined);
    const fixed = [...FIXED].map((name) => ({
      name,
      type: name === 'context' ? S_IFDIR : S_IFREG,
      ino: 0xffff_ffff,
      node: () => {
        const node = this.#fixed(name);
        return node instanceof Slow ? undefined : node;
      },
    }));
    return [...fixed, ...bound.map((name) => ({ name, type: name === 'environment' ? S_IFREG : S_IFDIR, ino: 0xffff_ffff }))];
  }

  #isTaken(name: string): boolean {
    return FIXED.has(name) || BINDINGS.has(name);
  }

  #temporaryFor(name: string): NonNullable<ReturnType<TemporaryNames['directory']>> {
    if (this.#isTaken(name)) throw fail('EPERM', 'this name belongs to the session');
    const directory = this.#temporary.directory(true);
    if (directory === undefined) throw fail('EIO', 'temporary names are not available');
    return directory;
  }

  override create(name: string, mode: number, flags: number, caller: Caller): Created {
    if (FIXED.has(name)) throw fail('EEXIST', 'exists');
    return this.#temporaryFor(name).create(name, mode, flags, caller);
  }
  override symlink(name: string, target: string, caller: Caller): TreeNode {
    return this.#temporaryFor(name).symlink(name, target, caller);
  }
  override unlink(name: string): void {
    this.#temporaryFor(name).unlink(name);
  }
  override rmdir(): void {
    throw fail('EPERM', 'history is removed with `ctx rm` or `ctx archive` only');
  }

  override rename(name: string, parent: TreeNode, newName: string, flags: number): void | Slow<null> {
    const directory = this.#temporaryFor(name);
    if (parent !== this) throw fail('EXDEV', 'renames stay inside the session');
    if (BINDINGS.has(newName)) throw fail('EPERM', 'this name belongs to the session');
    if (!FIXED.has(newName)) return directory.rename(name, directory, newName, flags);
    const target = this.#fixed(newName);
    if (!(target instanceof ControlNode) || flags !== 0) throw fail('EPERM', 'this file may not be replaced');
    const replaced = target.replace(this.#temporary.read(name));
    if (!(replaced instanceof Slow)) return directory.unlink(name);
    return new Slow<null>(null, (done, ticket) =>
      replaced.start((outcome) => {
        // Refused: the temporary file stays where it is, as after any rename that failed.
        if ('value' in outcome) directory.unlink(name);
        done(outcome);
      }, ticket),
    );
  }
}
