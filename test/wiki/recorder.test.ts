// Which changes go into the queue, told as the mount tells them: each once, with who made it.
import {
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';

import { digestOf } from '../../src/abi/digest.ts';
import { ChangeRecorder, type Writer } from '../../src/wiki/change-recorder.ts';
import { KnownPages } from '../../src/wiki/known-pages.ts';
import { formatChange, formatDone, parseQueue } from '../../src/wiki/queue.ts';
import { QueueFile } from '../../src/wiki/queue-file.ts';
import { readInside } from '../../src/wiki/read-inside.ts';
import { SeenLog } from '../../src/wiki/seen-log.ts';

const vim: Writer = { uid: 1000, pid: 7, program: 'vim', session: 'coder/default' };
const git: Writer = { uid: 1000, pid: 8, program: 'git' };

let root: string;
let recorder: ChangeRecorder;
let clock: number;
let ids: number;
let log: SeenLog;

/** As after a start of the daemon. */
function open(): ChangeRecorder {
  return new ChangeRecorder({
    known: KnownPages.open(join(root, '.known')),
    queue: new QueueFile(root),
    isRecorded: (path) => path.endsWith('.md') && path !== 'log.md',
    logged: (atMs, path) => log.had(atMs, path),
    digest: (path) => {
      try {
        return digestOf(readInside(root, path));
      } catch {
        return undefined;
      }
    },
    now: () => clock,
    newId: () => `c${(ids += 1)}`,
  });
}

const page = (path: string, text: string): void => writeFileSync(join(root, path), text);
const queued = (): readonly string[] => {
  recorder.flush();
  let text = '';
  try {
    text = readFileSync(join(root, '.update-queue'), 'utf8');
  } catch {
    // Nothing was queued yet.
  }
  const { changes, bad } = parseQueue(text);
  expect(bad).toEqual([]);
  return changes.map(({ op, from, path, program }) => `${op} ${from === undefined ? '' : `${from} → `}${path} ${program ?? '?'}`);
};
const write = (path: string, text: string, by: Writer | undefined = vim): void => {
  clock += 10;
  const sinceMs = clock;
  page(path, text);
  clock += 10;
  recorder.written(path, by, sinceMs);
};
const move = (from: string, to: string, by: Writer | undefined = vim): void => {
  clock += 10;
  renameSync(join(root, from), join(root, to));
  recorder.renamed(from, to, by, clock);
};
const remove = (path: string, by: Writer | undefined = vim): void => {
  clock += 10;
  rmSync(join(root, path));
  recorder.removed(path, by, clock);
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ctx-recorder-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  clock = 1_000_000;
  ids = 0;
  log = new SeenLog();
  recorder = open();
});

describe('the recorder of changes', () => {
  it('WIK-40 a write is a change with its maker; the same bytes again, and what is no page, are none', () => {
    write('a.md', 'one');
    write('log.md', 'entry');
    write('picture.png', 'bytes');
    expect(queued()).toEqual(['create a.md vim']);
    write('a.md', 'one');
    expect(queued()).toHaveLength(1);
    write('a.md', 'two', git);
    expect(queued()).toEqual(['create a.md vim', 'write a.md git']);
    const [first] = parseQueue(readFileSync(join(root, '.update-queue'), 'utf8')).changes;
    expect(first).toMatchObject({ uid: 1000, pid: 7, session: 'coder/default', digest: digestOf('one') });
  });

  it('WIK-40 saves of one program that come close are one change; those of two programs are two, though the first look saw both', () => {
    write('a.md', 'one');
    write('a.md', 'two');
    expect(queued()).toEqual(['create a.md vim']);
    const sinceMs = (clock += 10);
    page('a.md', 'three');
    page('a.md', 'four');
    clock += 10;
    recorder.written('a.md', vim, sinceMs);
    recorder.written('a.md', git, sinceMs);
    expect(queued()).toEqual(['create a.md vim', 'write a.md vim', 'write a.md git']);
  });

  it('WIK-40 the ways in which editors and git write are one change of the page', () => {
    write('a.md', 'one');
    recorder.done(['c1']);
    const ways: readonly (() => void)[] = [
      // sed -i, most editors: a name that is no page, then a rename.
      () => (write('.a.md.tmp', 'x'), move('.a.md.tmp', 'a.md')),
      // git: removed, then made anew.
      () => (remove('a.md'), write('a.md', 'y')),
      // vim: moved aside, written, the old one removed.
      () => (move('a.md', 'a.md~'), write('a.md', 'z'), remove('a.md~')),
      // A temporary name that looks like a page.
      () => (write('tmp.md', 'w'), move('tmp.md', 'a.md')),
    ];
    for (const way of ways) {
      way();
      expect(queued()).toEqual(['write a.md vim']);
      recorder.done([`c${ids}`]);
      expect(queued()).toEqual([]);
    }
  });

  it('WIK-40 the same with so much time between the steps that each was queued: what only came and went is taken out again', () => {
    write('tmp.md', 'w');
    expect(queued()).toEqual(['create tmp.md vim']);
    move('tmp.md', 'a.md');
    expect(queued()).toEqual(['create a.md vim']);
    remove('a.md', git);
    expect(queued()).toEqual([]);
    write('b.md', 'one');
    recorder.done([`c${ids}`]);
    remove('b.md');
    expect(queued()).toEqual(['remove b.md vim']);
    write('b.md', 'two');
    expect(queued()).toEqual(['write b.md vim']);
  });

  it('WIK-40 a page that the log knows is renamed and removed by name', () => {
    write('a.md', 'one');
    recorder.done(['c1']);
    move('a.md', 'b.md', git);
    expect(queued()).toEqual(['rename a.md → b.md git']);
    remove('b.md', git);
    expect(queued()).toEqual(['rename a.md → b.md git', 'remove b.md git']);
  });

  it('WIK-43 what changed while nobody looked is found once, and not when the queue has it already', () => {
    write('a.md', 'one');
    write('b.md', 'one');
    expect(queued()).toHaveLength(2);
    page('b.md', 'two');
    page('c.md', 'new');
    rmSync(join(root, 'a.md'));
    for (let start = 1; start <= 2; start += 1) {
      recorder = open();
      recorder.reconcile(['b.md', 'c.md', 'log.md'], false);
      expect(queued()).toEqual(['create a.md vim', 'create b.md vim', 'write b.md ?', 'create c.md ?', 'remove a.md ?']);
    }
    // Killed after the queue was written, and before it was noted what the pages are.
    rmSync(join(root, '.known'));
    recorder = open();
    recorder.reconcile(['b.md', 'c.md'], false);
    expect(queued()).toHaveLength(5);
  });

  it('WIK-43 a change met in the store first takes the name of its maker when the mount tells of it', () => {
    const sinceMs = (clock += 10);
    page('a.md', 'one');
    recorder.looked('a.md');
    expect(queued()).toEqual(['create a.md ?']);
    page('a.md', 'one more');
    recorder.written('a.md', vim, sinceMs);
    expect(queued()).toEqual(['create a.md vim']);
    clock += 10;
    page('a.md', 'by hand, in the store');
    recorder.looked('a.md');
    expect(queued()).toEqual(['create a.md vim', 'write a.md ?']);
  });

  it('WIK-53 a change carries which entries the log had, and a later one of the same moment what it had then', () => {
    const entries: string[] = [];
    const entry = (text: string): void => {
      entries.push(`## 1970-01-01 ${text}\n\n- a.md\n`);
      clock += 10;
      log.see(entries.join('\n'), clock);
    };
    const logged = (): readonly (number | undefined)[] => {
      recorder.flush();
      return parseQueue(readFileSync(join(root, '.update-queue'), 'utf8')).changes.map((change) => change.logged?.length);
    };
    write('a.md', 'one');
    entry('first');
    expect(logged()).toEqual([0]);
    write('a.md', 'two');
    entry('second');
    write('a.md', 'three');
    // Saves that come close are one change: the newest of them is what the log has to tell.
    expect(logged()).toEqual([0, 2]);
    // Where a look at the page saw already what is told later.
    clock += 10;
    const sinceMs = clock;
    page('a.md', 'four');
    clock += 10;
    recorder.written('a.md', vim, sinceMs);
    entry('third');
    recorder.written('a.md', vim, sinceMs + 5);
    expect(logged()).toEqual([0, 2, 3]);
    // Also where that look is in the queue already.
    entry('between');
    recorder.written('a.md', vim, sinceMs + 5);
    recorder.written('a.md', vim, sinceMs + 5);
    expect(logged()).toEqual([0, 2, 3, 4]);
    recorder.event({ id: 'e', time: new Date(clock).toISOString(), path: 's/events.jsonl', what: 'deploy' }, clock);
    entry('fourth');
    recorder.event({ id: 'f', time: new Date(clock).toISOString(), path: 's/events.jsonl', what: 'deploy' }, clock - 1);
    expect(logged()).toEqual([0, 2, 3, 4, 4, 4]);
    // On a busy day those that name the page.
    for (let i = 0; i < 60; i += 1) entries.push(`## 1970-01-01 busy ${i}\n\n- ${i === 0 ? 'a' : 'b'}.md\n`);
    entry('fifth');
    write('a.md', 'five');
    expect(logged().at(-1)).toBe(7);
  });

  it('WIK-54 a queue of what is done is cut to what waits, and nobody who appends meanwhile is lost', () => {
    const kept = join(root, '.wiki/queue-');
    mkdirSync(join(root, '.wiki'));
    let queue = new QueueFile(root, kept);
    const olds = (): readonly string[] => readdirSync(join(root, '.wiki'));
    const change = (id: string): string => formatChange({ id, time: '2026-04-20T10:00:00Z', path: 'a.md', op: 'write' });
    for (let i = 0; i < 200; i += 1) queue.append(`${change(`n${i}`)}${i === 7 ? '' : formatDone(`n${i}`, '2026-04-20T10:00:01Z')}`);
    const before = statSync(join(root, '.update-queue')).size;
    const held = openSync(join(root, '.update-queue'), 'a');
    expect(queue.compact()).toBe(false);
    expect(new QueueFile(root).compact(1000)).toBe(false);
    expect(queue.compact(1000)).toBe(true);
    expect(olds()).toEqual([`queue-${before}`]);
    expect(statSync(join(root, '.update-queue')).size).toBeLessThan(before / 50);
    expect([...queue.waiting().keys()]).toEqual(['n7']);
    // A killed daemon takes nothing over; the next one does.
    writeSync(held, change('late'));
    for (const fd of openOf(join(root, '.update-queue'))) if (fd !== held) closeSync(fd);
    queue = new QueueFile(root, kept);
    expect([...queue.waiting().keys()]).toEqual(['n7', 'late']);
    queue.append(change('last'));
    const text = readFileSync(join(root, '.update-queue'), 'utf8');
    expect(parseQueue(text).changes.map(({ id }) => id)).toEqual(['n7', 'late', 'last']);
    expect(text.split('\n')).toHaveLength(4);
    writeSync(held, change('later'));
    queue.close();
    expect([...new QueueFile(root).waiting().keys()]).toEqual(['n7', 'late', 'last', 'later']);
    // Held through this process, it is old for as long as that; then it goes.
    vi.useFakeTimers({ now: Date.now() });
    queue = new QueueFile(root, kept);
    for (let minutes = 0; minutes < 5; minutes += 1) {
      vi.setSystemTime(Date.now() + 61_000);
      queue.waiting();
    }
    expect(olds()).toHaveLength(1);
    writeSync(held, change('latest'));
    closeSync(held);
    vi.setSystemTime(Date.now() + 61_000);
    expect([...queue.waiting().keys()].at(-1)).toBe('latest');
    vi.setSystemTime(Date.now() + 61_000);
    queue.waiting();
    expect(olds()).toEqual([]);
    vi.useRealTimers();
    // Between its two names and its new one it is the queue still.
    linkSync(join(root, '.update-queue'), `${kept}3`);
    const text2 = readFileSync(join(root, '.update-queue'), 'utf8');
    expect([...new QueueFile(root, kept).waiting().keys()]).toHaveLength(5);
    expect([olds(), readFileSync(join(root, '.update-queue'), 'utf8')]).toEqual([[], text2]);
    queue.close();
    // What waits is no reason to write it again and again.
    expect(queue.compact(1)).toBe(false);
  });

  it('WIK-52 whatever several programs do, every page that is another one than the log knows waits', () => {
    const step = fc.tuple(fc.constantFrom('write', 'move', 'remove', 'log', 'start'), fc.nat(3), fc.nat(3), fc.constantFrom(vim, git));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        rmSync(root, { recursive: true, force: true });
        root = mkdtempSync(join(tmpdir(), 'ctx-recorder-'));
        recorder = open();
        const now = new Map<string, string>();
        let logged = new Map<string, string>();
        steps.forEach(([what, i, j, by], index) => {
          const [path, other] = [`p${i}.md`, `p${j}.md`];
          if (what === 'write') {
            write(path, `${index}`, by);
            now.set(path, `${index}`);
          } else if (what === 'move' && now.has(path) && path !== other) {
            move(path, other, by);
            now.set(other, now.get(path) ?? '');
            now.delete(path);
          } else if (what === 'remove' && now.has(path)) {
            remove(path, by);
            now.delete(path);
          } else if (what === 'log') {
            queued();
            recorder.done(parseQueue(readOr(join(root, '.update-queue'))).changes.map(({ id }) => id));
            logged = new Map(now);
          } else if (what === 'start') {
            recorder.flush();
            recorder = open();
            recorder.reconcile(now.keys(), false);
          }
        });
        queued();
        const named = new Set(parseQueue(readOr(join(root, '.update-queue'))).changes.flatMap(({ path, from }) => [path, from ?? path]));
        const differs = [...new Set([...now.keys(), ...logged.keys()])].filter((path) => now.get(path) !== logged.get(path));
        for (const path of differs) expect(named).toContain(path);
      }),
      { numRuns: 60 },
    );
  });
});

/** Descriptors of this process. */
function openOf(path: string): readonly number[] {
  const isOf = (fd: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      return false;
    }
  };
  return readdirSync('/proc/self/fd').filter(isOf).map(Number);
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
