// Sessions that nobody reads any more are closed one by one: whoever reads another one is not kept waiting for all of them.
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';

import { CommitRing } from '../../mount/commit-ring.ts';
import { DeriverHost } from '../../mount/deriver-host.ts';
import { initialControls } from '../../src/session/controls.ts';
import { openSessionDeriver } from '../../src/session/session-deriver.ts';
import type { SessionDeriver } from '../../src/session/types.ts';
import { services } from '../session/session-fixture.ts';

const MESSAGES = '{"role":"user","content":"hello"}\n'.repeat(20);
const revision = { messagesBytes: MESSAGES.length, eventsBytes: 0 };

/** Sessions of twenty messages each; gives their directories. */
function sessions(count: number): readonly string[] {
  const root = fs.mkdtempSync(join(tmpdir(), 'ctx-idle-'));
  onTestFinished(() => fs.rmSync(root, { recursive: true, force: true }));
  return Array.from({ length: count }, (_, n) => {
    const directory = join(root, `a/session/s${n}`);
    fs.mkdirSync(join(directory, 'context/pinned'), { recursive: true });
    fs.mkdirSync(join(directory, 'context/child'));
    for (const [path, text] of initialControls(0, '/')) fs.writeFileSync(join(directory, path), text);
    fs.writeFileSync(join(directory, 'messages.jsonl'), MESSAGES);
    fs.writeFileSync(join(directory, 'events.jsonl'), '');
    return directory;
  });
}

/** The host of their derivers, and the ids of the requests that it has answered, in order. */
function openHost(
  ring: CommitRing,
  openDeriver = (path: string): SessionDeriver => openSessionDeriver(path, services),
  mostIdle?: number,
): { readonly host: DeriverHost; readonly settled: readonly number[] } {
  const settled: number[] = [];
  const host = new DeriverHost({
    openDeriver,
    ...(mostIdle === undefined ? {} : { mostIdle }),
    ring,
    send: (message) => {
      if (message.op === 'failed') throw new Error(message.error.message);
      if (message.op === 'result') settled.push(message.id);
    },
    fd: undefined,
    rebuildWaitMs: 300_000,
    log: () => undefined,
  });
  return { host, settled };
}

test('TRE-18 a burst of appends to many sessions: a reader of one waits for its own order log only, and the others follow', async () => {
  const count = 40;
  const directories = sessions(count);
  const ring = new CommitRing();
  const { host, settled } = openHost(ring);
  for (const [n, directory] of directories.entries()) {
    host.handle({ op: 'open', session: n, directory });
    ring.push(n, { file: 'messages.jsonl', endBytes: MESSAGES.length, lines: 20, timeMs: Date.now() });
  }
  const recorded = (): number => directories.filter((directory) => fs.existsSync(join(directory, 'order.log'))).length;
  const last = count - 1;
  host.drain();
  host.handle({ op: 'request', session: last, id: last, request: { kind: 'fetch', name: 'pack.json', revision } });
  // Within this turn: a slice of the others, then its own.
  expect(fs.existsSync(join(directories[last] as string, 'order.log'))).toBe(true);
  expect(recorded()).toBeLessThan(count);
  while (!settled.includes(last) || recorded() < count) await sleep(20);
  await host.close();
});

test('a request comes between the closing of idle sessions, and a short session opens no index', async () => {
  const count = 24;
  const directories = sessions(count);
  const { host, settled } = openHost(new CommitRing());
  const until = async (id: number): Promise<void> => {
    while (!settled.includes(id)) await nextTurn();
  };
  for (const [n, directory] of directories.entries()) {
    host.handle({ op: 'open', session: n, directory });
    host.handle({ op: 'request', session: n, id: n, request: { kind: 'fetch', name: 'pack.json', revision } });
    await until(n);
    expect(fs.existsSync(join(directory, 'context/.cache/recall'))).toBe(false);
  }
  // All but the first are let go of at once; a moment later somebody reads the first.
  for (let n = 1; n < count; n++) host.handle({ op: 'request', session: n, id: 100 + n, request: { kind: 'close' } });
  await until(101);
  host.handle({ op: 'request', session: 0, id: 200, request: { kind: 'explain', name: 'pack.json', revision } });
  await until(200);
  expect(settled.filter((id) => id > 100 && id < 200).length).toBeLessThan(count - 8);
  await until(100 + count - 1);
  await host.close();
});

test('an idle session whose close waits for its rebuild holds up no other close', async () => {
  const count = 6;
  const directories = sessions(count);
  let finish = (): void => undefined;
  const rebuilt = new Promise<void>((resolve) => (finish = resolve));
  const { host, settled } = openHost(new CommitRing(), (directory) => {
    const deriver = openSessionDeriver(directory, services);
    if (directory !== directories[0]) return deriver;
    const close = deriver.close.bind(deriver);
    return Object.assign(deriver, { close: () => rebuilt.then(close) });
  });
  for (const [n, directory] of directories.entries()) {
    host.handle({ op: 'open', session: n, directory });
    host.handle({ op: 'request', session: n, id: n, request: { kind: 'fetch', name: 'pack.json', revision } });
  }
  while (settled.length < count) await nextTurn();
  for (let n = 0; n < count; n++) host.handle({ op: 'request', session: n, id: 100 + n, request: { kind: 'close' } });
  while (settled.length < 2 * count - 1) await nextTurn();
  expect(settled).not.toContain(100);
  finish();
  while (!settled.includes(100)) await nextTurn();
  await host.close();
});

test('an idle session is closed after its rebuild, and one that is read again meanwhile keeps its deriver', async () => {
  const directories = sessions(2);
  const opened: string[] = [];
  let building = true;
  const { host, settled } = openHost(new CommitRing(), (directory) => {
    opened.push(directory);
    const deriver = openSessionDeriver(directory, services);
    const status = deriver.status.bind(deriver);
    return Object.assign(deriver, { status: () => ({ ...status(), building: building || status().building }) });
  });
  const until = async (id: number): Promise<void> => {
    while (!settled.includes(id)) await nextTurn();
  };
  for (const [n, directory] of directories.entries()) {
    host.handle({ op: 'open', session: n, directory });
    host.handle({ op: 'request', session: n, id: n, request: { kind: 'fetch', name: 'pack.json', revision } });
    await until(n);
    host.handle({ op: 'request', session: n, id: 100 + n, request: { kind: 'close' } });
  }
  await sleep(300);
  expect(settled).toEqual([0, 1]);
  host.handle({ op: 'open', session: 0, directory: directories[0] as string });
  host.handle({ op: 'request', session: 0, id: 200, request: { kind: 'fetch', name: 'pack.json', revision } });
  await until(200);
  building = false;
  await until(101);
  expect(opened).toEqual(directories);
  await host.close();
});

test('TRE-21 who looks at many sessions waits for those that were let go of, for their descriptors', async () => {
  const count = 24;
  const mostIdle = 3;
  const directories = sessions(count);
  const last = count - 1;
  let open = 0;
  let besideLast = Infinity;
  const { host, settled } = openHost(
    new CommitRing(),
    (directory) => {
      if (directory === directories[last]) besideLast = open;
      open += 1;
      const deriver = openSessionDeriver(directory, services);
      const close = deriver.close.bind(deriver);
      return Object.assign(deriver, { close: () => close().then(() => void (open -= 1)) });
    },
    mostIdle,
  );
  const read = async (n: number): Promise<void> => {
    host.handle({ op: 'open', session: n, directory: directories[n] as string });
    host.handle({ op: 'request', session: n, id: n, request: { kind: 'fetch', name: 'pack.json', revision } });
    while (!settled.includes(n)) await nextTurn();
  };
  for (let n = 0; n < last; n++) await read(n);
  expect(open).toBe(last);
  for (let n = 0; n < last; n++) host.handle({ op: 'request', session: n, id: 100 + n, request: { kind: 'close' } });
  await read(last);
  expect(besideLast).toBeLessThanOrEqual(mostIdle);
  while (settled.length < count + last) await nextTurn();
  expect(open).toBe(1);
  await host.close();
});
