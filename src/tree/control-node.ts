// Small control files: replaced as a whole, validated when written; a refused value leaves the old one (CTL).
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import { freshSyncKey } from '../journal/sync-work.ts';
import {
  initialControls,
  isBeyondMending,
  isControlFile,
  isUnfinishedJson,
  MAX_CONTROL_BYTES,
  validateControl,
} from '../session/controls.ts';
import { isUnfinishedPolicy } from '../context/policy.ts';
import { lstat, lstatOrFail, toAttr } from './backing.ts';
import { readControl, refuseOther, writeControl } from './control-file.ts';
import type { Session } from './sessions.ts';
import { fail, Handle, Slow, TreeNode } from './types.ts';
import type { Attr, AttrChange, Caller, OpenMode } from './types.ts';
import { askWiki } from './wiki-client.ts';

/** Files whose every write must be valid by itself; the structured ones may arrive in pieces. */
const STRUCTURED = new Set(['meta.json', 'context/tools.json', 'context/policy.yaml', 'context/gc.policy']);

/** Of a piece without its last newline: a few milliseconds of the serving thread. */
const MOST_JUDGED_BYTES = 16 << 10;

export class ControlNode extends TreeNode {
  override readonly attrTtlMs = 0;
  override readonly entryTtlMs = 0;
  readonly session: Session;
  /** Below the session directory. */
  readonly relative: string;

  constructor(session: Session, relative: string) {
    super();
    if (!isControlFile(relative)) throw fail('ENOENT', 'not a control file');
    this.session = session;
    this.relative = relative;
  }

  get path(): string {
    return `${this.session.directory}/${this.relative}`;
  }

  attr(): Attr {
    const stat = lstat(this.path) ?? this.#restored();
    refuseOther(stat);
    return toAttr(stat);
  }

  value(): Buffer {
    return readControl(this.path);
  }

  /** CTF-3: the file was deleted in the store: it comes back with its default. Costs nothing while it is there. */
  #restored(): fs.BigIntStats {
    const { directory } = this.session;
    const owner = lstatOrFail(directory);
    const text = initialControls(Number(owner.birthtimeMs) || Date.now(), '/').get(this.relative) ?? '';
    const temporary = `${this.path}.new`;
    fs.writeFileSync(temporary, text, { mode: Number(owner.mode) & 0o666 });
    if (process.getuid?.() === 0) fs.lchownSync(temporary, Number(owner.uid), Number(owner.gid));
    fs.renameSync(temporary, this.path);
    this.session.inputChanged(this.relative);
    return lstatOrFail(this.path);
  }

  override setattr(change: AttrChange, _caller: Caller, handle?: Handle): Attr {
    if (change.uid !== undefined || change.gid !== undefined) throw fail('EPERM', 'a control file belongs to its session');
    // ftruncate before a rewrite (as editors do): the new value is judged when it is written.
    if (change.sizeBytes !== undefined && handle instanceof ControlHandle) {
      handle.truncate(change.sizeBytes);
      return { ...this.attr(), sizeBytes: change.sizeBytes };
    }
    if (change.sizeBytes !== undefined) {
      const bytes = Buffer.alloc(Math.min(change.sizeBytes, MAX_CONTROL_BYTES));
      this.value().copy(bytes);
      if (this.replace(bytes) instanceof Slow) throw fail('EPERM', 'write the whole value');
    }
    const attr = this.attr();
    if (change.mode === undefined) return attr;
    fs.chmodSync(this.path, change.mode & 0o777);
    return this.attr();
  }

  override open(flags: number): Handle {
    if (lstat(this.path) === undefined) this.#restored();
    return new ControlHandle(this, flags);
  }

  /** Validates, then replaces by rename; the recorded input follows. Slow where a gate is asked first. CTF-4: what is refused is told. */
  replace(bytes: Buffer): void | Slow<null> {
    try {
      validateControl(this.relative, bytes);
    } catch (error) {
      this.session.refused(this.relative, error);
      throw error;
    }
    if (lstat(this.path) === undefined) this.#restored();
    if (this.isGated(bytes)) return this.#finish(bytes);
    if (writeControl(this.path, bytes, '.new')) this.session.inputChanged(this.relative);
  }

  /** Costs the look at the policy, and only for `done`. */
  isGated(bytes: Buffer): boolean {
    if (this.relative !== 'state' || !isDone(bytes) || isDone(this.value())) return false;
    const policy = `${this.session.directory}/context/policy.yaml`;
    return fs.existsSync(policy) && readControl(policy).includes('gate');
  }

  /** WIK-45, WIK-46: the gate writes the file itself, so that what the caller hears is on the disk. */
  #finish(bytes: Buffer): Slow<null> {
    const { session } = this;
    const asked = askWiki(session.options.deriver.wiki, { kind: 'finish', session: session.relative, bytes }, null, () =>
      session.inputChanged('state'),
    );
    return new Slow<null>(null, (done, ticket) =>
      asked.start((outcome) => {
        if ('error' in outcome) session.refused('state', outcome.error);
        done(outcome);
      }, ticket),
    );
  }
}

function isDone(bytes: Buffer): boolean {
  return bytes.toString('latin1').trim() === 'done';
}

class ControlHandle extends Handle {
  override readonly mode: OpenMode;
  readonly node: ControlNode;
  readonly #append: boolean;
  #bytes: Buffer;
  #dirty = false;
  /** What this handle has put there, in pieces that were each valid, and what was there before the first of them. */
  #taken: Buffer | undefined;
  #before: Buffer | undefined;
  /** Emptied, and nothing written yet: FLUSH of a dup (a shell's redirection) must not take that for the value. */
  #truncated: boolean;

  constructor(node: ControlNode, flags: number) {
    super();
    this.mode = { directIo: true, noFlush: (flags & (3 | constants.O_TRUNC)) === constants.O_RDONLY };
    this.node = node;
    this.#append = (flags & constants.O_APPEND) !== 0;
    const truncate = (flags & constants.O_TRUNC) !== 0;
    this.#bytes = truncate ? Buffer.alloc(0) : node.value();
    this.#truncated = truncate;
  }

  override read(offset: number, into: Buffer): number {
    return offset >= this.#bytes.length ? 0 : this.#bytes.copy(into, 0, offset, Math.min(this.#bytes.length, offset + into.length));
  }

  override write(offset: number, bytes: Buffer): number | Slow<number> {
    const start = this.#append ? this.#bytes.length : offset;
    if (start + bytes.length > MAX_CONTROL_BYTES) throw fail('EFBIG', 'a control file is at most 1 MiB');
    this.#truncated = false;
    const next = Buffer.alloc(Math.max(this.#bytes.length, start + bytes.length));
    this.#bytes.copy(next);
    bytes.copy(next, start);
    if (this.#taken === undefined || start !== this.#taken.length) {
      this.#taken = undefined;
      this.#before = undefined;
    }
    if (this.#mayGoOn(bytes, next, start)) {
      this.#bytes = next;
      this.#dirty = true;
      return bytes.length;
    }
    const replaced = this.#replace(next);
    if (replaced === undefined) {
      this.#bytes = next;
      return bytes.length;
    }
    // Whether it is taken is not known yet; what this handle shows is what the file says then.
    return new Slow(bytes.length, (done, ticket) =>
      replaced.start((outcome) => {
        this.#bytes = this.node.value();
        done('error' in outcome ? outcome : { value: bytes.length });
      }, ticket),
    );
  }

  /** CTF-1: a refused value leaves the old one, also where its first lines were valid by themselves and had been taken. */
  #replace(next: Buffer): void | Slow<null> {
    this.#dirty = false;
    const old = this.node.value();
    try {
      const replaced = this.node.replace(next);
      if (replaced === undefined) {
        this.#before ??= old;
        this.#taken = next;
      }
      return replaced;
    } catch (error) {
      const before = this.#before;
      if (before !== undefined && this.#taken?.equals(old) === true && !this.node.isGated(before)) void this.node.replace(before);
      this.#taken = undefined;
      this.#before = undefined;
      this.#bytes = this.node.value();
      throw error;
    }
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes > MAX_CONTROL_BYTES) throw fail('EFBIG', 'a control file is at most 1 MiB');
    const next = Buffer.alloc(sizeBytes);
    this.#bytes.copy(next);
    this.#bytes = next;
    this.#truncated = true;
  }

  /**
   * More may come before the close, which validates the whole: stdio sends full 4 KiB blocks while there is more; anything
   * else that ends a line is taken as whole, unless it only lacks its end.
   */
  #mayGoOn(bytes: Buffer, next: Buffer, start: number): boolean {
    const { relative } = this.node;
    if (!STRUCTURED.has(relative)) return false;
    if (bytes.length % 4096 === 0) return true;
    // bash passes over what close(2) says: what a first piece can never become is refused now. Of further pieces it would cost the square.
    if (bytes[bytes.length - 1] !== 0x0a)
      return start > 0 || next.length > MOST_JUDGED_BYTES || !isBeyondMending(relative, next.toString('utf8'));
    return relative.endsWith('.json')
      ? isUnfinishedJson(next.toString('utf8'))
      : relative.endsWith('.yaml') && isUnfinishedPolicy(next.toString('utf8'));
  }

  override flush(): void {
    if (!this.#dirty) return;
    // Only what comes in pieces is replaced here, and no gate is asked of that.
    void this.#replace(this.#bytes);
  }

  override release(): void {
    this.#dirty ||= this.#truncated;
    try {
      this.flush();
    } catch {
      // The last close has no one to report to; FLUSH has reported already where there was a caller.
    }
  }

  override fsync(): Slow<null> {
    this.flush();
    const { path, session } = this.node;
    const file = fs.openSync(path, 'r');
    // The name too: a new value comes by rename.
    const work = { key: freshSyncKey(), rejects: [], file, directories: [path.slice(0, path.lastIndexOf('/'))] };
    return new Slow<null>(null, (done, ticket) => {
      session.options.deriver.sync(
        work,
        (outcome) => {
          fs.closeSync(file);
          done(outcome);
        },
        ticket,
      );
    });
  }
}
