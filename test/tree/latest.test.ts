// latest.md: what the serving thread looks at itself, and what it leaves to the deriver.
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';

import { CommitRing } from '../../mount/commit-ring.ts';
import { DeriverHost } from '../../mount/deriver-host.ts';
import { PortClient } from '../../mount/port-client.ts';
import { openSessionJournals } from '../../src/journal/index.ts';
import { findLatest, searchLatest } from '../../src/session/latest-text.ts';
import { openSessionDeriver } from '../../src/session/session-deriver.ts';
import { BytesNode } from '../../src/tree/bytes-node.ts';
import { SessionDirectory } from '../../src/tree/session-dir.ts';
import { Sessions } from '../../src/tree/sessions.ts';
import { Slow } from '../../src/tree/types.ts';
import type { TreeNode } from '../../src/tree/types.ts';
import { services } from '../session/session-fixture.ts';

const line = (role: string, content: string): string => `${JSON.stringify({ role, content })}\n`;
const filler = (bytes: number): string => line('user', 'no answer here').repeat(Math.ceil(bytes / 42));

function directoryWith(text: string): string {
  const root = fs.mkdtempSync(join(tmpdir(), 'ctx-latest-'));
  onTestFinished(() => fs.rmSync(root, { recursive: true, force: true }));
  const directory = join(root, 'agent/a/session/s');
  fs.mkdirSync(join(directory, 'context/pinned'), { recursive: true });
  fs.mkdirSync(join(directory, 'context/child'));
  fs.writeFileSync(join(directory, 'messages.jsonl'), text);
  fs.writeFileSync(join(directory, 'events.jsonl'), '');
  return directory;
}

/** The session as both threads have it, on one. */
function open(directory: string): { node: SessionDirectory; append: (text: string) => void } {
  const { port1, port2 } = new MessageChannel();
  const ring = new CommitRing();
  const client = new PortClient(port1, ring);
  const host = new DeriverHost({
    openDeriver: (path) => openSessionDeriver(path, services),
    ring,
    send: (message) => port2.postMessage(message),
    fd: undefined,
    rebuildWaitMs: 30_000,
    log: () => undefined,
  });
  port1.on('message', (message) => client.handle(message as Parameters<PortClient['handle']>[0]));
  port2.on('message', (message) => host.handle(message as Parameters<DeriverHost['handle']>[0]));
  const sessions = new Sessions({ openJournals: openSessionJournals, deriver: client, maxLineBytes: 16 << 20, rebuildWaitMs: 30_000 });
  onTestFinished(async () => {
    sessions.closeAll();
    await host.close();
    port1.close();
  });
  const session = sessions.get(directory);
  return { node: new SessionDirectory(session), append: (text) => void session.journals.messages.write('1:a', Buffer.from(text)) };
}

const settled = (slow: Slow<TreeNode>): Promise<TreeNode> =>
  new Promise((resolve, reject) => {
    slow.start((outcome) => ('value' in outcome ? resolve(outcome.value) : reject(outcome.error as Error)));
  });
const textOf = (node: TreeNode | Slow<TreeNode>): string => {
  expect(node).toBeInstanceOf(BytesNode);
  expect(node instanceof BytesNode && node.attr().sizeBytes).toBe((node as BytesNode).bytes.length);
  return (node as BytesNode).bytes.toString('utf8');
};

test('the serving thread looks through a mebibyte for the latest answer, and leaves the rest to the deriver', async () => {
  const { node, append } = open(directoryWith(line('assistant', 'the first answer') + filler(3 << 20)));
  const slow = node.lookup('latest.md');
  expect(slow).toBeInstanceOf(Slow);
  // Nothing is found in a listing, which never waits.
  expect(
    node
      .readdir()
      .find((entry) => entry.name === 'latest.md')
      ?.node?.(),
  ).toBeUndefined();
  expect(textOf(await settled(slow as Slow<TreeNode>))).toBe('the first answer\n');
  // Now what came since is all that is looked at.
  const known = node.lookup('latest.md');
  expect(textOf(known)).toBe('the first answer\n');
  append(filler(4096));
  expect(node.lookup('latest.md')).toBe(known);
  append(filler(2 << 20));
  expect(textOf(await settled(node.lookup('latest.md') as Slow<TreeNode>))).toBe('the first answer\n');
  append(line('assistant', 'the second'));
  expect(textOf(node.lookup('latest.md'))).toBe('the second\n');
});

test('a search gives way at every piece, and costs linear time in a line of many pieces', async () => {
  const long = line('user', 'x'.repeat(12 << 20));
  const text = Buffer.from(line('assistant', 'found') + filler(3 << 20) + long + filler(600_000));
  let readBytes = 0;
  const search = searchLatest(
    (at, into) => {
      readBytes += into.length;
      return text.copy(into, 0, at, at + into.length);
    },
    0,
    text.length,
  );
  const steps: number[] = [];
  for (;;) {
    const step = search.next();
    if (step.done === true) {
      expect(step.value).toBe('found\n');
      break;
    }
    steps.push(step.value);
  }
  expect(steps.length).toBeGreaterThan(6);
  expect(steps[0]).toBe(256 * 1024);
  expect(readBytes).toBe(text.length);
  const directory = directoryWith(text.toString('utf8'));
  expect(await findLatest(directory, 0, text.length)).toBe('found\n');
  expect(await findLatest(directory, line('assistant', 'found').length, text.length)).toBeUndefined();
});
