// A disk whose syncs take seconds: only who asked for one waits. The daemon is the real one, with its fsync calls delayed.
import { writeFile } from 'node:fs/promises';
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
      await writeFile(slow, '1200');
      const session = `${mounted.agents}/a/session`;
      const files = ['messages.jsonl', 'context/decisions.jsonl', 'context/budget'].map((name) => `${session}/s/${name}`);
      const line = `python3 ${CLIENTS}/beside_fsync.py ${session}/t/messages.jsonl ${files.join(' ')}`;
      const { fsync, worst, looks, count } = JSON.parse(await mounted.must(line)) as Record<string, number>;
      expect(count).toBe(4);
      expect(fsync).toBeGreaterThan(1.1);
      expect(worst).toBeLessThan(0.6);
      expect(looks).toBeGreaterThan(20);
      await writeFile(slow, '0');
    } finally {
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
