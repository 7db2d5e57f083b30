// Memory that a session mounts, as an image records it: the image holds bindings, the mount holds data.
import { join } from 'node:path';
import { parseDocument } from 'yaml';

import type { SessionOwner } from '../abi/names.ts';
import { parsePolicy } from '../context/policy.ts';
import type { ImageConfig, MemoryBinding } from '../image/config.ts';
import type { OciDigest } from '../image/oci.ts';
import { memoryVersions } from '../session/memory-versions.ts';
import { WikiDirectory } from '../wiki/wiki-directory.ts';
import { hasMovedOn, wikiVersion } from '../wiki/version.ts';
import type { Mounted } from './mounted.ts';

/** Bindings of a session, each with commit and page digests of what was mounted now. */
export async function mountedMemory({ root }: Mounted, owner: SessionOwner, policy: Buffer | undefined): Promise<readonly MemoryBinding[]> {
  const found = await memoryVersions(policy?.toString('utf8') ?? '', owner, (path) => join(root, path));
  return found
    .filter(({ mount, version }) => !mount.assumed || Object.keys(version?.pages ?? {}).length > 0)
    .map(({ mount, version }) => ({
      name: mount.name,
      mode: mount.mode,
      scope: mount.scope,
      // One's own wiki is so on every machine.
      path: 'home' in owner ? mount.path.replace(`home/${owner.home}/wiki`, 'wiki') : mount.path,
      location: 'local',
      persistence: mount.mode === 'ephemeral' ? 'ephemeral' : 'persistent',
      ...(mount.share === undefined ? {} : { share: mount.share }),
      ...(version === undefined
        ? {}
        : { commit: version.commit, digest: version.digest as OciDigest, pages: version.pages as Readonly<Record<string, OciDigest>> }),
    }));
}

/** One sentence for each binding whose wiki is no longer what was mounted. Wikis that cannot be read here are named too. */
export async function movedMemory({ root, uid }: Mounted, config: ImageConfig): Promise<readonly string[]> {
  const moved: string[] = [];
  for (const { name, path, pages, commit, digest } of config.mounts.memory) {
    if (path === undefined || digest === undefined || digest === null) continue;
    try {
      const now = await wikiVersion(WikiDirectory.open(join(root, path.replace(/^wiki/, `home/${uid}/wiki`))));
      const { changed, added, removed } = hasMovedOn({ commit: commit ?? null, dirty: false, digest, pages: pages ?? {} }, now);
      if (now.digest !== digest)
        moved.push(
          `memory ${name}: has moved on: ${changed.length} pages changed, ${added.length} added, ${removed.length} removed${since(commit, now.commit)}`,
        );
    } catch (error) {
      moved.push(`memory ${name}: ${(error as Error).message}`);
    }
  }
  return moved;
}

function since(then: string | null | undefined, now: string | null): string {
  return typeof then !== 'string'
    ? ''
    : `; it was commit ${then.slice(0, 12)}${now === null || now === then ? '' : `, and is ${now.slice(0, 12)}`}`;
}

/** The instance's policy.yaml with the bindings of its image, as its branch may use them. */
export function policyWith(policy: Buffer | undefined, bindings: readonly MemoryBinding[]): Buffer | undefined {
  const mounts = bindings.filter(({ path }) => path !== undefined && PLACE.test(path));
  if (mounts.length === 0) return policy;
  const text = policy?.toString('utf8') ?? '';
  // What no session would take is not looked into: nobody vouches for it.
  parsePolicy(text);
  const document = parseDocument(text, { uniqueKeys: false });
  const given = (document.toJS({ maxAliasCount: 0 }) as { readonly memory?: readonly { readonly name?: string }[] } | null)?.memory ?? [];
  const memory = mounts.map(({ name, path, mode, scope, share }) => ({
    ...given.find((entry) => entry.name === name),
    name,
    path,
    mode,
    ...(scope === undefined ? {} : { scope }),
    ...(share === undefined ? {} : { share }),
  }));
  if (JSON.stringify(memory) === JSON.stringify(given)) return policy;
  document.set('memory', document.createNode(memory));
  return Buffer.from(document.toString({ lineWidth: 0 }));
}

/** Places that a session may mount (MEM-1). */
const PLACE = /^(?:wiki|home\/(?:0|[1-9][0-9]{0,9})\/wiki|shared\/[a-zA-Z0-9][a-zA-Z0-9._+-]{0,63}\/wiki)(?:\/|$)/;
