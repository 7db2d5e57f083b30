// A disk whose syncs take long: only who asked for one waits. The daemon is the real one, with its fsync calls held.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { prepareStore } from '../cli/mounted-store.ts';
import { ROOT } from '../cli/program.ts';
import { canMount } from './can-mount.ts';
import { SyncQueue } from '../../mount/sync-queue.ts';

const CLIENTS = join(ROOT, 'test/mount/clients');

describe.skipIf(!canMount)('a slow disk', () => {
  it('JRN-38: an fsync of a journal, a contribution or a control file holds up nobody else', async () => {
    const mounted = await prepareStore('slow-disk');
    const slow = `${mounted.store}-delay`;
    const env = { NODE_OPTIONS: `--require ${CLIENTS}/slow-sync.cjs`, SLOW_SYNC_FILE: slow };
    expect(await mounted.ctx(['mount'], { env })).toMatchObject({ code: 0 });
    try {
      // Both are derived from once, so that their first inputs are recorded before the disk gets slow.
      await mounted.must('ctx new a/s && ctx new a/t && cat a/session/*/context/pack.json', { cwd: mounted.agents });
      const session = `${mounted.agents}/a/session`;
      const files = ['messages.jsonl', 'context/decisions.jsonl', 'context/budget'].map((name) => `${session}/s/${name}`);
      // The disk stands still until others have done their work: had they waited for it, this would never end.
      const line = `python3 ${CLIENTS}/beside_fsync.py ${slow} ${session}/t/messages.jsonl ${files.join(' ')}`;
      expect(JSON.parse(await mounted.must(line))).toEqual({ before: 0, looks: 50, count: 4 });
    } finally {
      await rm(slow, { force: true });
      await mounted.end();
    }
  });
});

describe('the queue of syncs', () => {
  const sync = (queue: SyncQueue, key: number, directory: string): Promise<unknown> =>
    new Promise((done) => {
      queue.push({ work: { key, rejects: ['/no-such-reject'], file: undefined, directories: [directory] }, done });
    });

  it('JRN-38: after a failure no later sync of the same file succeeds, and others do', async () => {
    const queue = new SyncQueue();
    const [failed, queued, other] = await Promise.all([
      sync(queue, 1, '/no-such-directory'),
      sync(queue, 1, '/tmp'),
      sync(queue, 2, '/tmp'),
    ]);
    expect(failed).toMatchObject({ code: 'ENOENT' });
    expect(queued).toBe(failed);
    expect(other).toBeUndefined();
    expect(await sync(queue, 1, '/tmp')).toBe(failed);
    expect(await sync(queue, 2, '/tmp')).toBeUndefined();
  });
});
