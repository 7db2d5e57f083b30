// What the serving thread tells of pages: in which order and how much at once, and of whom.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it, vi } from 'vitest';

import type { ToWiki } from '../../mount/deriver-messages.ts';
import { WikiPort } from '../../mount/wiki-port.ts';
import { doerOf } from '../../src/tree/doer.ts';
import type { WikiChange } from '../../src/tree/wiki-client.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('changes on their way', () => {
  const written = (path: string, more: object = {}): WikiChange => ({
    kind: 'written',
    path,
    sinceMs: 1,
    by: { uid: 0, pid: 7, parent: 1, program: 'vim', session: null },
    ...more,
  });
  const open = (): { readonly port: WikiPort; readonly posted: () => readonly string[] } => {
    const messages: ToWiki[] = [];
    const port = new WikiPort(
      (message) => void messages.push(message),
      () => 1,
    );
    port.holds = true;
    const path = (change: WikiChange): string => (change.kind === 'other' ? '?' : change.path);
    const names = (message: ToWiki): string =>
      message.op === 'wiki-changes'
        ? message.changes.map(({ change }) => path(change)).join('+')
        : message.op === 'wiki-change'
          ? path(message.change)
          : message.request.kind;
    return { port, posted: () => messages.map(names) };
  };

  it('WIK-40 changes of known makers wait for each other for a moment, and nothing that is told later comes before them', () => {
    const { port, posted } = open();
    port.changed('w', written('a.md'));
    port.changed('w', written('b.md'));
    expect(posted()).toEqual([]);
    port.request({ kind: 'gate', session: 's' }, () => {});
    expect(posted()).toEqual(['a.md+b.md', 'gate']);
    port.changed('w', written('c.md'));
    // Nobody knows yet what this one works for, and it may end in a moment.
    port.changed('w', written('d.md', { by: { uid: 0, pid: 8, parent: 1, program: 'sed', session: undefined } }));
    port.changed('w', written('e.md'));
    port.changed('w', written('log.md', { sizeBytes: 9 }));
    expect(posted().slice(2)).toEqual(['c.md', 'd.md', 'e.md', 'log.md']);
  });

  it('WIK-40 what waits is told after ten milliseconds, when it is much, and when the clock was set back', () => {
    vi.useFakeTimers({ now: 1000 });
    const { port, posted } = open();
    expect(port.dueMs()).toBe(-1);
    port.changed('w', written('a.md'));
    vi.setSystemTime(1004);
    expect(port.dueMs()).toBe(6);
    expect(posted()).toEqual([]);
    vi.setSystemTime(1010);
    expect(port.dueMs()).toBe(-1);
    expect(posted()).toEqual(['a.md']);
    port.changed('w', written('b.md'));
    vi.setSystemTime(5);
    expect(port.dueMs()).toBe(-1);
    expect(posted()).toEqual(['a.md', 'b.md']);
    for (let n = 0; n < 100; n += 1) port.changed('w', written('c.md'));
    expect(posted()[2]?.split('+')).toHaveLength(64);
  });
});

describe('who changes pages', () => {
  it('WIK-40 a process is another program after execve, and none when it has ended', async () => {
    const child = spawn('bash', ['-c', 'read line; exec cat'], { stdio: ['pipe', 'ignore', 'inherit'] });
    const uid = process.getuid?.() ?? 0;
    const who = (): string | undefined => doerOf({ uid, gid: uid, pid: child.pid ?? 0 }).program;
    try {
      await vi.waitFor(() => expect(who()).toBe('bash'), { timeout: 30_000 });
      expect(doerOf({ uid, gid: uid, pid: child.pid ?? 0 })).toMatchObject({ pid: child.pid, parent: process.pid });
      child.stdin.write('\n');
      await vi.waitFor(() => expect(who()).toBe('cat'), { timeout: 30_000 });
    } finally {
      child.stdin.end();
      await once(child, 'exit');
    }
    expect(who()).toBeUndefined();
  });
});
