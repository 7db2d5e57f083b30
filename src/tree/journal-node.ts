// messages.jsonl and events.jsonl: append-only, as ext4 with chattr +a (abi-spec/journals.md).
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import type { JournalFile } from '../abi/session-files.ts';
import type { JournalWriter } from '../journal/types.ts';
import type { Session } from './sessions.ts';
import { fail, Handle, S_IFREG, TreeNode } from './types.ts';
import type { Slow } from './types.ts';
import type { Attr, AttrChange, Caller, OpenMode } from './types.ts';

export class JournalNode extends TreeNode {
  override readonly attrTtlMs = 0;
  // The name stands for as long as the session does.
  override readonly entryTtlMs = 3_600_000;
  readonly session: Session;
  readonly file: JournalFile;
  readonly #base: fs.Stats;
  #atimeMs: number;

  constructor(session: Session, file: JournalFile) {
    super();
    this.session = session;
    this.file = file;
    this.#base = fs.lstatSync(`${session.directory}/${file}`);
    this.#atimeMs = this.#base.atimeMs;
  }

  get journal(): JournalWriter {
    return this.file === 'messages.jsonl' ? this.session.journals.messages : this.session.journals.events;
  }

  attr(): Attr {
    const journal = this.journal;
    journal.refresh();
    const seconds = Math.floor(journal.modifiedMs / 1000);
    const nsec = Math.round((journal.modifiedMs - seconds * 1000) * 1e6);
    const size = journal.sizeBytes;
    return {
      ino: this.#base.ino,
      mode: S_IFREG | (this.#base.mode & 0o777),
      nlink: 1,
      uid: this.#base.uid,
      gid: this.#base.gid,
      rdev: 0,
      sizeBytes: size,
      blocks: Math.ceil(size / 512),
      atime: Math.floor(this.#atimeMs / 1000),
      atimeNsec: 0,
      mtime: seconds,
      mtimeNsec: nsec,
      ctime: seconds,
      ctimeNsec: nsec,
    };
  }

  /** utimes to now is allowed (touch), as on ext4; everything else is EPERM. */
  override setattr(change: AttrChange): Attr {
    const onlyNow =
      change.mode === undefined &&
      change.uid === undefined &&
      change.gid === undefined &&
      change.sizeBytes === undefined &&
      (change.atime === undefined || change.atime === 'now') &&
      (change.mtime === undefined || change.mtime === 'now');
    if (!onlyNow) throw fail('EPERM', 'the journal is append-only');
    return this.attr();
  }

  override setxattr(): void {
    throw fail('EPERM', 'the journal is append-only');
  }

  override open(flags: number, _caller: Caller): Handle {
    checkFlags(flags);
    if ((flags & constants.O_TRUNC) !== 0) throw fail('EPERM', 'the journal is append-only');
    return new JournalHandle(this, (flags & 3) === constants.O_RDONLY);
  }
}

function checkFlags(flags: number): void {
  if ((flags & 3) !== constants.O_RDONLY && (flags & constants.O_APPEND) === 0)
    throw fail('EPERM', 'the journal is append-only: open it with O_APPEND (>>)');
}

let nextOpenFile = 1;

class JournalHandle extends Handle {
  override readonly mode: OpenMode;
  readonly node: JournalNode;
  readonly #key: string;
  #wrote = false;
  #owner = '';
  #stage = '';

  constructor(node: JournalNode, readOnly: boolean) {
    super();
    this.mode = { directIo: true, noFlush: readOnly };
    this.node = node;
    this.#key = String(nextOpenFile++);
    this.#stage = `${this.#key}:`;
    node.session.handles += 1;
  }
  override read(offset: number, into: Buffer): number {
    return this.node.journal.read(offset, into);
  }
  override write(_offset: number, bytes: Buffer, owner: string, flags: number): number | Slow<number> {
    checkFlags(flags);
    this.#wrote = true;
    const journal = this.node.journal;
    if (owner !== this.#owner) {
      this.#owner = owner;
      this.#stage = `${this.#key}:${owner}`;
    }
    const count = journal.write(this.#stage, bytes);
    return (flags & (constants.O_DSYNC | constants.O_SYNC)) === 0 ? count : this.node.session.durable(journal, count);
  }
  override flush(owner: string): void {
    if (this.#wrote) this.node.journal.flush(`${this.#key}:${owner}`);
  }
  override release(): void {
    this.node.session.handles -= 1;
    if (this.#wrote) this.node.journal.release(this.#key);
  }
  override fsync(): null | Slow<null> {
    return this.node.session.durable(this.node.journal, null);
  }
}
