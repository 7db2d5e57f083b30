// What refers to a manifest on a registry: by the referrers API of OCI distribution 1.1, else by the tag `sha256-<hex>` (IMG-56).
import { hexOfDigest, MAX_MANIFEST_BYTES, MEDIA, parseIndex, type Descriptor, type Manifest, type OciDigest } from '../oci.ts';
import { manifestPath, pullScope, pushScope, type RegistryClient } from './client.ts';
import { fetchManifest } from './download.ts';
import { registryError } from './failures.ts';
import { placeOf, type Exchange } from './transport.ts';

/** Of one subject, and pages of a list. */
export const MAX_REFERRERS = 256;
const MAX_PAGES = 16;
const ATTEMPTS = 4;

export function referrersTag(subject: OciDigest): string {
  return `sha256-${hexOfDigest(subject)}`;
}

export async function listReferrers(
  client: RegistryClient,
  repository: string,
  subject: OciDigest,
  signal?: AbortSignal,
): Promise<readonly Descriptor[]> {
  const found: Descriptor[] = [];
  let path: string | URL | undefined = `${repository}/referrers/${subject}`;
  for (let page = 0; path !== undefined; page++) {
    const answer: Exchange = await client.send({
      method: 'GET',
      path,
      headers: { accept: MEDIA.index },
      scopes: [pullScope(repository)],
      expected: [400, 404, 405],
      signal,
    });
    const type = (answer.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
    // Some answer what they do not know with a page of their own.
    if (answer.status !== 200 || type !== MEDIA.index) {
      answer.discard();
      return page === 0 ? taggedReferrers(client, repository, subject, signal) : found;
    }
    const where = placeOf(answer.url);
    found.push(...parseIndex(await answer.read(MAX_MANIFEST_BYTES), where, MAX_MANIFEST_BYTES).manifests);
    if (found.length > MAX_REFERRERS || page >= MAX_PAGES)
      throw registryError('too_large', 'EFBIG', `names more than ${MAX_REFERRERS} referrers`, where);
    path = nextPage(client, answer);
  }
  return found;
}

/** Link: <…>; rel="next", on the registry itself. */
function nextPage(client: RegistryClient, answer: Exchange): URL | undefined {
  const link = /<([^<>]{1,4096})>\s*;\s*rel="?next"?/i.exec(String(answer.headers['link'] ?? ''));
  return link === null ? undefined : client.uploadUrl(link[1], answer.url);
}

async function taggedReferrers(
  client: RegistryClient,
  repository: string,
  subject: OciDigest,
  signal?: AbortSignal,
): Promise<readonly Descriptor[]> {
  const index = await fetchManifest(client, repository, referrersTag(subject), [MEDIA.index], signal);
  if (index === undefined) return [];
  const where = `${repository}:${referrersTag(subject)}`;
  const { manifests } = parseIndex(index.bytes, where, MAX_MANIFEST_BYTES);
  if (manifests.length > MAX_REFERRERS) throw registryError('too_large', 'EFBIG', `names more than ${MAX_REFERRERS} referrers`, where);
  return manifests;
}

/** A manifest by its digest or tag; true when the registry lists referrers by itself. */
export async function putManifest(
  client: RegistryClient,
  repository: string,
  reference: string,
  bytes: Uint8Array,
  mediaType: string,
  signal?: AbortSignal,
): Promise<boolean> {
  const answer = await client.send({
    method: 'PUT',
    path: manifestPath(repository, reference),
    headers: { 'content-type': mediaType },
    body: bytes,
    headMs: client.limits.finishMs,
    scopes: [pushScope(repository)],
    signal,
  });
  answer.discard();
  return answer.headers['oci-subject'] !== undefined;
}

/**
 * Names a pushed referrer in its subject's tag, beside what is named there. Registries have no compare-and-set for tags: it is
 * read again afterwards, and written again when another writer's list has replaced it.
 */
export async function tagReferrer(
  client: RegistryClient,
  repository: string,
  subject: OciDigest,
  referrer: Descriptor,
  signal?: AbortSignal,
): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const listed = await taggedReferrers(client, repository, subject, signal);
    if (listed.some(({ digest }) => digest === referrer.digest)) return;
    const index = { schemaVersion: 2, mediaType: MEDIA.index, manifests: [...listed, referrer] };
    await putManifest(client, repository, referrersTag(subject), Buffer.from(JSON.stringify(index)), MEDIA.index, signal);
  }
  const listed = await taggedReferrers(client, repository, subject, signal);
  if (listed.some(({ digest }) => digest === referrer.digest)) return;
  throw registryError('referrers', 'EBUSY', `keeps losing ${referrer.digest}`, `${repository}:${referrersTag(subject)}`, 'push again');
}

/** As an index names it: with the artifactType and annotations of its manifest. */
export function referrerDescriptor({ digest, size }: Descriptor, { artifactType, annotations }: Manifest): Descriptor {
  return { mediaType: MEDIA.manifest, digest, size, artifactType, ...(annotations === undefined ? {} : { annotations }) };
}
