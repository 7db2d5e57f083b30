// Who asks, by name. Reads only what takes no lock of the asking process: it may wait for this very thread.
// So never /proc/<pid>/environ, not even its open: a process that closes a page in execve(2) holds what that waits for.
import * as fs from 'node:fs';
import type { Caller } from './types.ts';
import type { Doer } from './wiki-client.ts';

interface Known {
  readonly doer: Doer;
  session: string | null | undefined;
}

/** By thread, its start, and where its environment lies: another one after every execve(2). */
const known = new Map<string, Known>();
const MOST_KNOWN = 256;

/** Their /proc/<pid>/task/<pid>/stat, open: it stays that thread's, and reading it again costs one call. Newest last. */
const open = new Map<number, number>();
const MOST_OPEN = 32;
const line = Buffer.alloc(1024);

/** Costs one pread of /proc, about 5 µs, for a thread that was met before: for pages of wikis only. */
export function doerOf(caller: Caller): Doer {
  const met = lookUp(caller);
  return met.session === undefined ? met.doer : { ...met.doer, session: met.session };
}

export function learnSession(doer: Doer, session: string | null): void {
  for (const met of known.values()) if (met.doer === doer) met.session = session;
}

function lookUp({ uid, pid: thread }: Caller): Known {
  if (thread === 0) return { doer: { uid, pid: 0, parent: 0, program: undefined, session: undefined }, session: null };
  try {
    const stat = statOf(thread);
    // The name is in parentheses and may hold some; fields are counted from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const key = `${uid} ${thread} ${fields[STARTED]} ${fields[ENVIRONMENT]}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    const pid = processOf(thread);
    const name =
      pid === thread ? stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')) : fs.readFileSync(`/proc/${pid}/comm`, 'latin1').trimEnd();
    const program = Buffer.from(name, 'latin1').toString('utf8');
    const met: Known = { doer: { uid, pid, parent: Number(fields[PARENT]), program, session: undefined }, session: undefined };
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(key, met);
    return met;
  } catch {
    // It has ended, or lives where this process does not look.
    return { doer: { uid, pid: thread, parent: 0, program: undefined, session: undefined }, session: undefined };
  }
}

/** proc(5), counted from the state, which is field 3. */
const PARENT = 4 - 3;
const STARTED = 22 - 3;
const ENVIRONMENT = 50 - 3;

/** Of this thread only: the sums over a process with many threads cost more. */
function statOf(thread: number): string {
  const before = open.get(thread);
  if (before !== undefined) {
    try {
      return line.toString('latin1', 0, fs.readSync(before, line, 0, line.length, 0));
    } catch {
      // It has ended; another one may have its number.
      forget(thread, before);
    }
  }
  const file = fs.openSync(`/proc/${thread}/task/${thread}/stat`, fs.constants.O_RDONLY);
  const [oldest] = open.size >= MOST_OPEN ? open : [];
  if (oldest !== undefined) forget(...oldest);
  open.set(thread, file);
  return line.toString('latin1', 0, fs.readSync(file, line, 0, line.length, 0));
}

function forget(thread: number, file: number): void {
  open.delete(thread);
  fs.closeSync(file);
}

function processOf(thread: number): number {
  return Number(/^Tgid:\s*(\d+)/m.exec(fs.readFileSync(`/proc/${thread}/status`, 'latin1'))?.[1] ?? thread);
}
