// One session: journals, latest.md, updated_at, control files, context/. What is answered here is O(1):
// `>>` takes this directory's lock in the kernel and must never wait for a rebuild.
import { viewMessage } from '../abi/records.ts';
import { JOURNALS, SESSION_CONTROLS, SESSION_DERIVED } from '../abi/session-files.ts';
import type { JournalWriter } from '../journal/types.ts';
import { lstatOrFail, toAttr } from './backing.ts';
import { BytesName } from './bytes-node.ts';
import { ContextDirectory } from './context-dir.ts';
import { ControlNode } from './control-node.ts';
import { JournalNode } from './journal-node.ts';
import type { Session } from './sessions.ts';
import { TemporaryNames } from './temporary.ts';
import { DirectoryHandle, fail, S_IFDIR, S_IFREG, TreeNode } from './types.ts';
import type { Attr, Caller, Created, DirectoryEntry } from './types.ts';

const FIXED: ReadonlySet<string> = new Set([...JOURNALS, ...SESSION_CONTROLS, ...SESSION_DERIVED, 'context']);

export class SessionDirectory extends TreeNode {
  readonly session: Session;
  readonly #latest: BytesName = new BytesName();
  readonly #updated: BytesName = new BytesName();
  readonly #temporary: TemporaryNames;
  #latestText = '';
  #latestEnd = 0;

  constructor(session: Session) {
    super();
    this.session = session;
    this.#temporary = new TemporaryNames(`${session.directory}/.tmp/session`);
  }

  attr(): Attr {
    return toAttr(lstatOrFail(this.session.directory));
  }

  override lookup(name: string): TreeNode {
    if (FIXED.has(name)) return this.#fixed(name);
    const temporary = this.#temporary.directory(false);
    if (temporary === undefined) throw fail('ENOENT', 'no such file');
    return temporary.lookup(name);
  }

  #fixed(name: string): TreeNode {
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

  #computed(name: 'latest.md' | 'updated_at'): TreeNode {
    const { messages, events } = this.session.journals;
    const { uid, gid } = this.attr();
    if (name === 'latest.md') {
      this.#readLatest(messages);
      return this.#latest.node(Buffer.from(this.#latestText), { uid, gid }, messages.modifiedMs);
    }
    const at = Math.max(messages.modifiedMs, events.modifiedMs);
    return this.#updated.node(Buffer.from(`${new Date(at).toISOString()}\n`), { uid, gid }, at);
  }

  /** Latest assistant text: looks only at bytes that came since the last look, newest first. */
  #readLatest(messages: JournalWriter): void {
    const until = this.#latestEnd;
    const size = messages.sizeBytes;
    this.#latestText = this.#textSince(messages, until, size) ?? this.#latestText;
    // Last: a read that fails leaves the bytes to be looked at again.
    this.#latestEnd = size;
  }

  /** Pieces double, so that a line of many pieces costs linear time. */
  #textSince(messages: JournalWriter, until: number, size: number): string | undefined {
    let end = size;
    let pieceBytes = 256 * 1024;
    let tail = Buffer.alloc(0);
    while (end > until) {
      const start = Math.max(until, end - pieceBytes);
      pieceBytes *= 2;
      const piece = Buffer.alloc(end - start);
      messages.read(start, piece);
      const bytes = Buffer.concat([piece, tail]);
      const firstWhole = start === until ? 0 : bytes.indexOf(0x0a) + 1;
      const text = firstWhole === 0 && start !== until ? undefined : lastAssistantText(bytes.subarray(firstWhole));
      if (text !== undefined) return text.endsWith('\n') ? text : `${text}\n`;
      tail = Buffer.from(firstWhole === 0 && start !== until ? bytes : bytes.subarray(0, firstWhole));
      end = start;
    }
    return undefined;
  }

  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }

  override readdir(): readonly DirectoryEntry[] {
    return [...FIXED].map((name) => ({
      name,
      type: name === 'context' ? S_IFDIR : S_IFREG,
      ino: 0xffff_ffff,
      node: () => this.#fixed(name),
    }));
  }

  #temporaryFor(name: string): NonNullable<ReturnType<TemporaryNames['directory']>> {
    if (FIXED.has(name)) throw fail('EPERM', 'this name belongs to the session');
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

  override rename(name: string, parent: TreeNode, newName: string, flags: number): void {
    const directory = this.#temporaryFor(name);
    if (parent !== this) throw fail('EXDEV', 'renames stay inside the session');
    if (!FIXED.has(newName)) return directory.rename(name, directory, newName, flags);
    const target = this.#fixed(newName);
    if (!(target instanceof ControlNode) || flags !== 0) throw fail('EPERM', 'this file may not be replaced');
    target.replace(this.#temporary.read(name));
    directory.unlink(name);
  }
}

/** Text of the last assistant message in whole lines; undefined when there is none. */
function lastAssistantText(bytes: Buffer): string | undefined {
  let end = bytes.length;
  while (end > 0) {
    const at = bytes.lastIndexOf('assistant', end - 1);
    if (at < 0) return undefined;
    const start = bytes.lastIndexOf(0x0a, at) + 1;
    const stop = bytes.indexOf(0x0a, at);
    try {
      const message = viewMessage(JSON.parse(bytes.toString('utf8', start, stop < 0 ? bytes.length : stop)) as Record<string, unknown>);
      if (message.role === 'assistant' && message.text.trim() !== '') return message.text;
    } catch {
      // A line that does not parse was set aside or is being looked at by fsck; it is no assistant text.
    }
    end = start;
  }
  return undefined;
}
