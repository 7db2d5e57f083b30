// MEM-1, MEM-2: which wikis a session packs: those that its policy names, as far as its owner may have them.
import type { SessionOwner } from '../abi/names.ts';
import type { MemoryMount } from '../context/policy-memory.ts';

export interface SessionMemory extends MemoryMount {
  /** Nobody named it: it is there when it is. */
  readonly assumed: boolean;
  /** Why it is not packed. */
  readonly refused: string | undefined;
}

/** Paths are below the mount point, the owner's own `wiki` by its full name. Pure. */
export function memoryMounts(named: readonly MemoryMount[] | undefined, owner: SessionOwner): readonly SessionMemory[] {
  const own = 'home' in owner ? `home/${owner.home}` : `shared/${owner.shared}`;
  if (named === undefined) {
    const scope = 'home' in owner ? 'user' : 'project';
    const mount = { name: 'wiki', path: `${own}/wiki`, mode: 'read-write', scope, share: undefined, plans: [], domain: undefined } as const;
    return [{ ...mount, assumed: true, refused: undefined }];
  }
  return named.map((mount) => {
    const path = /^wiki(?:\/|$)/.test(mount.path) ? `${own}/${mount.path}` : mount.path;
    return { ...mount, path, assumed: false, refused: whyRefused(path, owner) };
  });
}

function whyRefused(path: string, owner: SessionOwner): string | undefined {
  if (path.startsWith('shared/')) return undefined;
  if ('shared' in owner) return 'a shared session packs only shared wikis';
  return path.startsWith(`home/${owner.home}/`) ? undefined : "it is another person's wiki";
}
