// Every writing verb on a disk that is full: it says so, nothing half done has a name, and with room again it works.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canMount } from '../mount/can-mount.ts';
import { KillRounds } from './kill-rounds.ts';

describe.skipIf(!canMount)('a full disk', () => {
  let rounds: KillRounds;
  beforeAll(async () => {
    rounds = await KillRounds.start(false, 32 * 1024 * 1024);
  });
  afterAll(() => rounds.end());

  test('IMG-113 a verb that finds no room says so, leaves nothing half done under a name, and works once there is room', async () => {
    // These need none: they write nothing into the store.
    const without = new Set(['gc', 'rm of a session', 'export', 'push']);
    let n = 0;
    for (const name of Object.keys(rounds.verbs)) {
      const { code, said } = await rounds.onFullDisk(`full${n++}`, name);
      if (without.has(name)) expect([name, code, said]).toEqual([name, 0, said]);
      else expect([name, code, said]).toEqual([name, 1, expect.stringMatching(/(?:no space left).*; .*(?:ctx gc|ctx fsck)/) as string]);
    }
    await rounds.collect();
    await rounds.measure(['build of a session', 'run', 'commit', 'import', 'sign']);
  });
});
