// A child process that reads wikis with the rights of their reader: MEM-2. Arguments: store, uid, gid.
import { constants, openSync } from 'node:fs';

import type { MemoryRequest } from './memory-reader.ts';
import { WikiReader } from './memory-reader.ts';
import type { MemoryAnswer } from './memory-service.ts';

const [store = '', uid = '', gid = ''] = process.argv.slice(2);

// The store itself is closed to everybody but the daemon: what is below it is reached through these, as on the mount.
const areas = new Map(
  ['home', 'shared'].map((area) => [area, openSync(`${store}/${area}`, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)]),
);

if (process.getuid?.() === 0) become(Number(uid), Number(gid));

const reader = new WikiReader();
process.on('message', (request: MemoryRequest) => {
  process.send?.(answer(request));
});
process.on('disconnect', () => process.exit(0));

function answer(request: MemoryRequest): MemoryAnswer {
  try {
    return { reply: reader.choose(request, (area) => `/proc/self/fd/${areas.get(area)}`) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** With the groups that this user has; a user without an entry has the one. */
function become(user: number, group: number): void {
  try {
    // Not among the declared functions.
    (process as unknown as { initgroups: (user: number, group: number) => void }).initgroups(user, group);
  } catch {
    process.setgroups?.([group]);
  }
  process.setgid?.(group);
  process.setuid?.(user);
}
