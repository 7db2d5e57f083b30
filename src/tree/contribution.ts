// Writing to a derived record file: every line, or the whole file, becomes an event (design section 3).
import { constants } from 'node:fs';
import { contributionEvent, wholeFileEvent } from '../context/contributions.ts';
import { CONTRIBUTION_LINES, CONTRIBUTION_WHOLE, DEFAULT_MAX_LINE_BYTES } from '../abi/session-files.ts';
import type { Session } from './sessions.ts';
import { fail, Handle } from './types.ts';
import type { Slow } from './types.ts';

type LineFile = (typeof CONTRIBUTION_LINES)[number];
type WholeFile = (typeof CONTRIBUTION_WHOLE)[number];

export function isLineFile(name: string): name is LineFile {
  return (CONTRIBUTION_LINES as readonly string[]).includes(name);
}
export function isWholeFile(name: string): name is WholeFile {
  return (CONTRIBUTION_WHOLE as readonly string[]).includes(name);
}
export function takesContributions(name: string): boolean {
  return isLineFile(name) || isWholeFile(name);
}

/** Records a whole new content of summary.md or todo.md, given by a write or by a rename over the name. */
export function contributeWhole(session: Session, name: string, bytes: Buffer): void {
  if (!isWholeFile(name)) throw fail('EPERM', 'this derived file takes appended lines only');
  session.journals.appendEvent(wholeFileEvent(name, bytes));
}

export class ContributionHandle extends Handle {
  override readonly mode = { directIo: true };
  readonly #session: Session;
  readonly #name: string;
  readonly #readable: () => Buffer;
  readonly #append: boolean;
  readonly #staged: Map<string, Buffer[]> = new Map();
  #whole: Buffer | undefined;
  #old: Buffer | undefined;
  #dirty = false;
  /** Emptied, and nothing written yet: FLUSH of a dup (a shell's redirection) must not take that for the content. */
  #truncated = false;

  constructor(session: Session, name: string, flags: number, current: () => Buffer) {
    super();
    this.#session = session;
    this.#name = name;
    this.#append = (flags & constants.O_APPEND) !== 0;
    this.#readable = current;
    const truncate = (flags & constants.O_TRUNC) !== 0;
    if (isWholeFile(name)) {
      this.#whole = truncate ? Buffer.alloc(0) : current();
      this.#truncated = truncate;
    } else if (!isLineFile(name) || !this.#append || truncate) {
      throw fail('EPERM', isLineFile(name) ? 'append lines (>>) to contribute; the rest is derived' : 'this file is derived');
    }
  }

  override read(offset: number, into: Buffer): number {
    const bytes = this.#whole ?? (this.#old ??= this.#readable());
    return offset >= bytes.length ? 0 : bytes.copy(into, 0, offset, Math.min(bytes.length, offset + into.length));
  }

  override write(offset: number, bytes: Buffer, owner: string): number {
    return this.#whole === undefined ? this.#writeLines(bytes, owner) : this.#writeWhole(this.#whole, offset, bytes);
  }

  truncate(sizeBytes: number): void {
    if (this.#whole === undefined) throw fail('EPERM', 'append lines (>>) to contribute; the rest is derived');
    if (sizeBytes > DEFAULT_MAX_LINE_BYTES) throw fail('EFBIG', 'longer than one event may be');
    const next = Buffer.alloc(sizeBytes);
    this.#whole.copy(next);
    this.#whole = next;
    this.#truncated = true;
  }

  #writeWhole(old: Buffer, offset: number, bytes: Buffer): number {
    const start = this.#append ? old.length : offset;
    if (start + bytes.length > DEFAULT_MAX_LINE_BYTES) throw fail('EFBIG', 'longer than one event may be');
    const next = Buffer.alloc(Math.max(old.length, start + bytes.length));
    old.copy(next);
    bytes.copy(next, start);
    this.#whole = next;
    this.#truncated = false;
    this.#dirty = true;
    return bytes.length;
  }

  #writeLines(bytes: Buffer, owner: string): number {
    const stage = this.#staged.get(owner) ?? [];
    let from = 0;
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, from)) {
      const line = Buffer.concat([...stage, bytes.subarray(from, end)]);
      try {
        this.#contribute(line);
      } catch (error) {
        this.#staged.delete(owner);
        // Lines before the bad one are recorded: a short count says so; the bad line alone then costs its errno.
        if (from > 0) return from;
        throw error;
      }
      stage.length = 0;
      from = end + 1;
    }
    if (from < bytes.length) stage.push(Buffer.from(bytes.subarray(from)));
    if (stage.length > 0) this.#staged.set(owner, stage);
    else this.#staged.delete(owner);
    return bytes.length;
  }

  #contribute(line: Buffer): void {
    this.#session.journals.appendEvent(contributionEvent(this.#name as LineFile, line));
  }

  override flush(owner: string): void {
    const stage = this.#staged.get(owner);
    if (stage !== undefined) {
      this.#staged.delete(owner);
      this.#contribute(Buffer.concat(stage));
    }
    if (this.#whole !== undefined && this.#dirty) {
      this.#dirty = false;
      contributeWhole(this.#session, this.#name, this.#whole);
    }
  }

  override release(): void {
    for (const [owner, stage] of this.#staged) {
      this.#staged.delete(owner);
      const bytes = Buffer.concat(stage);
      try {
        this.#contribute(bytes);
      } catch {
        this.#session.journals.appendEvent({
          type: 'error',
          code: 'EINVAL',
          target: `context/${this.#name}`,
          reason: 'unfinished contribution',
          text: bytes.toString('utf8'),
        });
      }
    }
    this.#dirty ||= this.#truncated;
    if (this.#dirty) this.flush('');
  }

  override fsync(): null | Slow<null> {
    this.flush('');
    return this.#session.durable(this.#session.journals.events, null);
  }
}
