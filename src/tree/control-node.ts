// Small control files: replaced as a whole, validated when written; a refused value leaves the old one (CTL).
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import { freshSyncKey } from '../journal/sync-work.ts';
import { initialControls, isControlFile, MAX_CONTROL_BYTES, validateControl } from '../session/controls.ts';
import { lstat, lstatOrFail, toAttr } from './backing.ts';
import { writeControl } from './control-file.ts';
import type { Session } from './sessions.ts';
import { fail, Handle, Slow, TreeNode } from './types.ts';
import type { Attr, AttrChange, Caller } from './types.ts';
import { askWiki } from './wiki-client.ts';

/** Files whose every write must be valid by itself; the structured ones may arrive in pieces. */
const STRUCTURED = new Set(['meta.json', 'context/tools.json', 'context/policy.yaml', 'context/gc.policy']);

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
    return toAttr(lstat(this.path) ?? this.#restored());
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
      fs.readFileSync(this.path).copy(bytes);
      if (this.replace(bytes) instanceof Slow) throw fail('EPERM', 'write the whole value');
    }
    if (change.mode !== undefined) fs.chmodSync(this.path, change.mode & 0o777);
    return this.attr();
  }

  override open(flags: number): Handle {
    if (lstat(this.path) === undefined) this.#restored();
    return new ControlHandle(this, flags);
  }

  /** Validates, then replaces by rename; the recorded input follows. Slow where a gate is asked first. */
  replace(bytes: Buffer): void | Slow<null> {
    validateControl(this.relative, bytes);
    if (lstat(this.path) === undefined) this.#restored();
    if (this.#isGated(bytes)) return this.#finish(bytes);
    if (writeControl(this.path, bytes, '.new')) this.session.inputChanged(this.relative);
  }

  /** Costs the look at the policy, and only for `done`. */
  #isGated(bytes: Buffer): boolean {
    if (this.relative !== 'state' || !isDone(bytes) || isDone(fs.readFileSync(this.path))) return false;
    const policy = `${this.session.directory}/context/policy.yaml`;
    return fs.existsSync(policy) && fs.readFileSync(policy).includes('gate');
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
  override readonly mode = { directIo: true };
  readonly node: ControlNode;
  readonly #append: boolean;
  #bytes: Buffer;
  #dirty = false;
  /** Emptied, and nothing written yet: FLUSH of a dup (a shell's redirection) must not take that for the value. */
  #truncated: boolean;

  constructor(node: ControlNode, flags: number) {
    super();
    this.node = node;
    this.#append = (flags & constants.O_APPEND) !== 0;
    const truncate = (flags & constants.O_TRUNC) !== 0;
    this.#bytes = truncate ? Buffer.alloc(0) : fs.readFileSync(node.path);
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
    if (STRUCTURED.has(this.node.relative) && !this.#endsHere(bytes)) {
      this.#bytes = next;
      this.#dirty = true;
      return bytes.length;
    }
    try {
      const replaced = this.node.replace(next);
      this.#dirty = false;
      if (replaced !== undefined) {
        // Whether it is taken is not known yet; what this handle shows is what the file says then.
        return new Slow(bytes.length, (done, ticket) =>
          replaced.start((outcome) => {
            this.#bytes = fs.readFileSync(this.node.path);
            done('error' in outcome ? outcome : { value: bytes.length });
          }, ticket),
        );
      }
    } catch (error) {
      if (!this.node.relative.endsWith('.json') || !isUnfinishedJson(next)) {
        // The old value stays, also when this open was to truncate it.
        this.#dirty = false;
        this.#bytes = fs.readFileSync(this.node.path);
        throw error;
      }
      this.#dirty = true;
    }
    this.#bytes = next;
    return bytes.length;
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes > MAX_CONTROL_BYTES) throw fail('EFBIG', 'a control file is at most 1 MiB');
    const next = Buffer.alloc(sizeBytes);
    this.#bytes.copy(next);
    this.#bytes = next;
    this.#truncated = true;
  }

  /** stdio sends full 4 KiB blocks while more is to come; anything else that ends a line is taken as whole. */
  #endsHere(bytes: Buffer): boolean {
    return bytes.length % 4096 !== 0 && bytes[bytes.length - 1] === 0x0a;
  }

  override flush(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    // Only what comes in pieces is replaced here, and no gate is asked of that.
    void this.node.replace(this.#bytes);
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

/** JSON that only lacks its end: more may come before the close, which validates the whole. */
function isUnfinishedJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString('utf8'));
    return false;
  } catch (error) {
    return /Unexpected end|Unterminated/.test((error as Error).message);
  }
}
