// IMG-50: REGISTRY/NAME[:TAG][@sha256:…]. A first part with a dot or a port, and `localhost`, is a registry (as Docker has it).
import { CtxError } from '../../abi/errors.ts';
import { DEFAULT_TAG, tryImageReference } from '../reference.ts';
import type { OciDigest } from '../oci.ts';
import { isLoopbackHost } from './addresses.ts';

export interface Registry {
  /** With its port, in lower case: the key of its credentials. */
  readonly host: string;
  /** Of its API. */
  readonly base: URL;
}

export interface Remote {
  readonly registry: Registry;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: OciDigest | undefined;
}

const HOST = /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/;

/** Docker's own registry answers at another name than the one it is called by, and has no repository without a slash. */
const HUB = 'docker.io';
const HUB_API = 'registry-1.docker.io';

export function isRegistryHost(part: string): boolean {
  const host = part.toLowerCase();
  return HOST.test(host) && (host === 'localhost' || /[.:]/.test(host));
}

/** `insecure`: plain HTTP. Loopback is spoken to in plain HTTP, unless `https://` is in front. */
export function parseRegistry(text: string, insecure: boolean): Registry {
  const [, scheme, rest = ''] = /^(?:(https?):\/\/)?(.*)$/is.exec(text.replace(/\/+$/, '')) ?? [];
  const host = rest.toLowerCase();
  if (!HOST.test(host)) throw wrong(text, 'names no registry', 'write HOST[:PORT]');
  const loopback = isLoopbackHost(host.replace(/:\d+$/, ''));
  const plain = scheme === undefined ? loopback || insecure : scheme.toLowerCase() === 'http';
  if (plain && !loopback && !insecure) throw wrong(text, 'is not on this machine, and would be spoken to in plain HTTP', 'use --insecure');
  const api = host === HUB || host === `index.${HUB}` ? HUB_API : host;
  let base: URL;
  try {
    base = new URL(`${plain ? 'http' : 'https'}://${api}/v2/`);
  } catch (cause) {
    throw wrong(text, 'names no registry', 'write HOST[:PORT]', cause);
  }
  return { host: api === HUB_API ? HUB : host, base };
}

/** Throws `image.remote` when the text names no image of a registry. */
export function parseRemote(text: string, insecure: boolean): Remote {
  const [, scheme = '', rest = ''] = /^(https?:\/\/)?(.*)$/is.exec(text) ?? [];
  const slash = rest.indexOf('/');
  const host = slash < 0 ? '' : rest.slice(0, slash);
  if (!isRegistryHost(host)) throw wrong(text, 'names no registry', 'write REGISTRY/NAME[:TAG], where REGISTRY has a dot or a port');
  const reference = rest.slice(slash + 1).startsWith('image:') ? undefined : tryImageReference(rest.slice(slash + 1));
  if (reference === undefined) throw wrong(text, 'names no image', 'write REGISTRY/NAME[:TAG][@sha256:…], NAME in lower case');
  const registry = parseRegistry(`${scheme}${host}`, insecure);
  const repository = registry.host === HUB && !reference.name.includes('/') ? `library/${reference.name}` : reference.name;
  return { registry, repository, tag: reference.tag, digest: reference.digest };
}

/** What is asked for: the digest, else the tag, else `latest`. */
export function wanted({ digest, tag }: Remote): string {
  return digest ?? tag ?? DEFAULT_TAG;
}

export function remoteWords(remote: Pick<Remote, 'registry' | 'repository'>, reference?: string): string {
  const mark = reference?.includes(':') === true ? '@' : ':';
  return `${remote.registry.host}/${remote.repository}${reference === undefined ? '' : `${mark}${reference}`}`;
}

function wrong(text: string, what: string, next: string, cause?: unknown): CtxError {
  return new CtxError('image.remote', 'EINVAL', what, { where: JSON.stringify(text.slice(0, 300)), next, cause });
}
