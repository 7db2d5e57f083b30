// WIK-64: which state each wiki of a session has, for an image that records what was mounted.
import { CtxError } from '../abi/errors.ts';
import type { SessionOwner } from '../abi/names.ts';
import { parsePolicy } from '../context/policy.ts';
import { WikiDirectory } from '../wiki/wiki-directory.ts';
import { wikiVersion, type WikiVersion } from '../wiki/version.ts';
import { memoryMounts, type SessionMemory } from './memory-mounts.ts';

export interface MountedMemory {
  readonly mount: SessionMemory;
  /** Undefined: an ephemeral one, or one that cannot be read. */
  readonly version: WikiVersion | undefined;
  /** Why there is no version. */
  readonly reason: string | undefined;
}

/** With the rights of this process. `place` gives the directory of a path below the mount point. A wiki that nobody named and that is not there is none. */
export async function memoryVersions(
  policyText: string,
  owner: SessionOwner,
  place: (path: string) => string,
  signal?: AbortSignal,
): Promise<readonly MountedMemory[]> {
  const found: MountedMemory[] = [];
  for (const mount of memoryMounts(parsePolicy(policyText).memory, owner)) {
    const without = (reason: string): void => void found.push({ mount, version: undefined, reason });
    if (mount.refused !== undefined) without(mount.refused);
    else if (mount.mode === 'ephemeral') without('an ephemeral mount has no version');
    else
      try {
        found.push({ mount, version: await wikiVersion(WikiDirectory.open(place(mount.path)), signal), reason: undefined });
      } catch (error) {
        if (!(error instanceof CtxError)) throw error;
        if (!mount.assumed || error.errno !== 'ENOENT') without(error.message);
      }
  }
  return found;
}
