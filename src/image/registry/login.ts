// Whether a registry accepts a user's password: asked before it is kept.
import { RegistryClient, type ClientOptions } from './client.ts';
import type { Credentials } from './docker-config.ts';
import type { Registry } from './remote.ts';

/** Throws `image.registry_denied` when it does not. */
export async function tryCredentials(registry: Registry, credentials: Credentials, options: ClientOptions = {}): Promise<void> {
  const client = new RegistryClient(registry, { ...options, credentials });
  try {
    const answer = await client.send({ method: 'GET', path: '', scopes: [] });
    answer.discard();
  } finally {
    client.close();
  }
}
