// Manifests and blobs from a registry. Nothing here is believed: a manifest is hashed before it is read, a blob while it is stored.
import { CtxError } from '../../abi/errors.ts';
import { isOciDigest, MAX_MANIFEST_BYTES, MEDIA, ociDigest, type Descriptor, type OciDigest } from '../oci.ts';
import { blobPath, manifestPath, pullScope, type RegistryClient } from './client.ts';
import { plainText, registryError } from './failures.ts';
import { pauseOrThrow } from './retry.ts';
import { placeOf, type Exchange } from './transport.ts';

export interface FetchedManifest {
  readonly bytes: Buffer;
  readonly digest: OciDigest;
}

/** Bytes that earn a cut download another set of attempts. */
const WORTH_MORE = 1024 * 1024;

/** Undefined when there is none. `accepted` are the media types that the caller can read. */
export async function fetchManifest(
  client: RegistryClient,
  repository: string,
  reference: string,
  accepted: readonly string[] = [MEDIA.manifest],
  signal?: AbortSignal,
): Promise<FetchedManifest | undefined> {
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await client.send({
        method: 'GET',
        path: manifestPath(repository, reference),
        headers: { accept: [...new Set([...accepted, MEDIA.manifest, MEDIA.index])].join(', ') },
        scopes: [pullScope(repository)],
        expected: [404],
        once: true,
        signal,
      });
      if (answer.status === 404) {
        answer.discard();
        return undefined;
      }
      return await checkedManifest(answer, reference, accepted);
    } catch (error) {
      await pauseOrThrow(error, attempt, client.limits, signal);
    }
  }
}

async function checkedManifest(answer: Exchange, reference: string, accepted: readonly string[]): Promise<FetchedManifest> {
  const where = placeOf(answer.url);
  requirePlain(answer);
  const type = (answer.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  if (!accepted.includes(type)) {
    answer.discard();
    const next = type === MEDIA.index ? 'it is an index of several: name one of them by its digest' : undefined;
    throw registryError('content_type', 'EINVAL', `is ${JSON.stringify(plainText(type))}, not ${accepted.join(' or ')}`, where, next);
  }
  const bytes = await answer.read(MAX_MANIFEST_BYTES);
  const digest = ociDigest(bytes);
  const said = [answer.headers['docker-content-digest'], reference].find((text) => isOciDigest(text) && text !== digest);
  if (said !== undefined)
    throw new CtxError('image.digest_mismatch', 'EIO', `is ${digest}, and was said to be ${String(said)}`, {
      where,
      next: 'nothing of it was kept; get it again',
    });
  return { bytes, digest };
}

/** The blob's bytes, gone on with where the connection was cut. Whoever stores them checks them: a lie about them ends there. */
export async function* blobPieces(
  client: RegistryClient,
  repository: string,
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  let at = 0;
  let earnedAt = 0;
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await client.send({
        method: 'GET',
        path: blobPath(repository, digest),
        headers: at > 0 ? { range: `bytes=${at}-` } : {},
        scopes: [pullScope(repository)],
        once: true,
        signal,
      });
      let skip = skipped(answer, at);
      for await (const piece of answer.pieces()) {
        const fresh = piece.subarray(Math.min(skip, piece.length));
        skip -= piece.length - fresh.length;
        at += fresh.length;
        if (fresh.length > 0) yield fresh;
      }
      // A body without a length ends as one that is cut does.
      const framed = answer.headers['content-length'] !== undefined || answer.headers['transfer-encoding'] !== undefined;
      if (at >= size || framed) return;
      throw registryError('cut', 'EIO', 'cut the connection', placeOf(answer.url), 'try again');
    } catch (error) {
      if (at - earnedAt >= WORTH_MORE) attempt = 0;
      if (attempt === 0) earnedAt = at;
      await pauseOrThrow(error, attempt, client.limits, signal);
    }
  }
}

/** Bytes at the front of this answer that are here already. */
function skipped(answer: Exchange, at: number): number {
  requirePlain(answer);
  if (answer.status !== 206) return at;
  const range = /^bytes (\d{1,15})-/.exec(answer.headers['content-range'] ?? '');
  const from = range === null ? Number.NaN : Number(range[1]);
  if (from <= at) return at - from;
  answer.discard();
  throw registryError('protocol', 'EIO', `was asked to go on at byte ${at}, and did not`, placeOf(answer.url));
}

function requirePlain(answer: Exchange): void {
  const encoding = answer.headers['content-encoding'] ?? 'identity';
  if (encoding === 'identity') return;
  answer.discard();
  throw registryError('protocol', 'EIO', `is encoded as ${plainText(encoding)}, which was not asked for`, placeOf(answer.url));
}
