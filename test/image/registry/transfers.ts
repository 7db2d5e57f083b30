// push and pull as the verbs call them, with limits that a test can wait for.
import { join } from 'node:path';
import type { ImageStore } from '../../../src/image/layout-store.ts';
import { parseImageReference, tagKey } from '../../../src/image/reference.ts';
import { RegistryClient, type ClientOptions } from '../../../src/image/registry/client.ts';
import { DEFAULT_LIMITS, type RegistryLimits } from '../../../src/image/registry/limits.ts';
import { pullImage, type Pulled, type PullJob } from '../../../src/image/registry/pull.ts';
import { pushImage, type Pushed, type PushJob } from '../../../src/image/registry/push.ts';
import { parseRemote } from '../../../src/image/registry/remote.ts';

/** Patient where a loaded machine is slow, quick between attempts. */
export const LIMITS: RegistryLimits = { ...DEFAULT_LIMITS, backoffMs: 1, maxPauseMs: 20 };

/** No credentials of whoever runs the tests. */
export const NOBODY: NodeJS.ProcessEnv = { PATH: process.env['PATH'], HOME: '/nonexistent', DOCKER_CONFIG: '/nonexistent' };

type Change<T> = Partial<T> & { readonly options?: ClientOptions };

export async function push(store: ImageStore, key: string, remote: string, change: Change<PushJob> = {}): Promise<Pushed> {
  const reference = parseImageReference(key);
  const image = await store.resolve(tagKey(reference));
  if (image === undefined) throw new Error(`${key} is there`);
  const target = parseRemote(remote, false);
  const { options, ...job } = change;
  const client = new RegistryClient(target.registry, { environment: NOBODY, limits: LIMITS, ...options });
  const notesDirectory = join(store.directory, '../uploads');
  try {
    return await pushImage({ store, client, image, reference, remote: target, compiled: true, redact: false, notesDirectory, ...job });
  } finally {
    client.close();
  }
}

export async function pull(store: ImageStore, remote: string, tag: string, change: Change<PullJob> = {}): Promise<Pulled> {
  const target = parseRemote(remote, false);
  const { options, ...job } = change;
  const client = new RegistryClient(target.registry, { environment: NOBODY, limits: LIMITS, ...options });
  try {
    return await pullImage({ store, client, remote: target, tag, compiled: true, ...job });
  } finally {
    client.close();
  }
}
