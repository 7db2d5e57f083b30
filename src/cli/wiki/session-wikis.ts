// The wikis that a session mounts, as directories on the mount.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CtxError } from '../../abi/errors.ts';
import { parsePolicy } from '../../context/policy.ts';
import { memoryMounts, type SessionMemory } from '../../session/memory-mounts.ts';
import { requireSession } from '../mounted.ts';
import type { Shell } from '../shell.ts';

export interface MountedWiki extends Pick<SessionMemory, 'name' | 'plans' | 'domain'> {
  readonly root: string;
}

/** Fails with `wiki.none` when it mounts none that is there. */
export async function sessionWikis(shell: Shell, reference: string): Promise<readonly MountedWiki[]> {
  const { directory, mounted, session } = await requireSession(shell, reference);
  const policy = parsePolicy(await readFile(join(directory, 'context/policy.yaml'), 'utf8'));
  const wikis: MountedWiki[] = [];
  for (const { name, path, plans, domain, refused } of memoryMounts(policy.memory, session.owner)) {
    const root = join(mounted.root, path);
    const found = refused === undefined ? await stat(root).catch(() => undefined) : undefined;
    if (found?.isDirectory() === true) wikis.push({ name, root, plans, domain });
  }
  if (wikis.length > 0) return wikis;
  throw new CtxError('wiki.none', 'ENOENT', 'mounts no wiki that is there', {
    where: reference,
    next: 'run: ctx wiki init, and see memory in context/policy.yaml',
  });
}
