// A blob to a registry: not at all when it is there, mounted from a neighbour, whole when small, else in pieces that a later
// attempt or process goes on from. IMG-54: the registry checks the digest at the end, so a wrong guess costs time and nothing else.
import type { Descriptor } from '../oci.ts';
import type { ImageStore } from '../layout-store.ts';
import { blobPath, pullScope, pushScope, type RegistryClient } from './client.ts';
import { isTransient, registryError } from './failures.ts';
import { pauseOrThrow } from './retry.ts';
import { placeOf, type Exchange } from './transport.ts';
import type { UploadNotes } from './upload-notes.ts';

export interface UploadJob {
  readonly client: RegistryClient;
  readonly repository: string;
  readonly blob: Descriptor;
  readonly store: ImageStore;
  readonly notes: UploadNotes;
  /** A repository of the same registry that is likely to have the blob. */
  readonly mountFrom?: string | undefined;
  /** Bytes that the registry has taken. */
  readonly onSent?: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Uploaded {
  readonly how: 'there' | 'mounted' | 'sent';
  readonly sentBytes: number;
  /** Bytes that an earlier push had sent. */
  readonly resumedBytes: number;
}

interface Place {
  url: URL;
  offset: number;
}

const OCTETS = { 'content-type': 'application/octet-stream' };

/** The registry's upload went away: another one is begun. */
class Restart extends Error {}

export async function uploadBlob(job: UploadJob): Promise<Uploaded> {
  if (await isThere(job)) return { how: 'there', sentBytes: 0, resumedBytes: 0 };
  const counted = { sentBytes: 0, resumedBytes: 0 };
  let inPieces = job.blob.size > job.client.limits.chunkBytes;
  for (let attempt = 0; ; attempt++) {
    counted.resumedBytes = 0;
    try {
      const place = (inPieces ? await resumable(job) : undefined) ?? (await begin(job, attempt === 0));
      if (place === undefined) return { how: 'mounted', sentBytes: 0, resumedBytes: 0 };
      counted.resumedBytes = place.offset;
      if (inPieces) await sendPieces(job, place, counted);
      await finish(job, place, !inPieces, counted);
      await job.notes.remove(placeKey(job), job.blob.digest);
      return { how: 'sent', ...counted };
    } catch (error) {
      // What may pass, and an interruption, leave the note for the next attempt or process.
      const again = error instanceof Restart;
      const refused = hasCode(error, 'image.registry_status');
      if (again || refused) await job.notes.remove(placeKey(job), job.blob.digest);
      if (again || (refused && counted.resumedBytes > 0)) {
        if (attempt + 1 >= job.client.limits.attempts) throw again ? error.cause : error;
      } else if (refused && inPieces) {
        // Some registries take a blob whole only.
        inPieces = false;
      } else await pauseOrThrow(error, attempt, job.client.limits, job.signal);
    }
  }
}

async function isThere({ client, repository, blob, signal }: UploadJob): Promise<boolean> {
  const answer = await client.send({
    method: 'HEAD',
    path: blobPath(repository, blob.digest),
    scopes: [pushScope(repository)],
    expected: [404],
    signal,
  });
  answer.discard();
  return answer.status === 200;
}

/** Undefined when the registry has mounted the blob. */
async function begin(job: UploadJob, mayMount: boolean): Promise<Place | undefined> {
  const { client, repository, blob, signal } = job;
  const from = mayMount ? job.mountFrom : undefined;
  const query = from === undefined ? '' : `?mount=${encodeURIComponent(blob.digest)}&from=${encodeURIComponent(from)}`;
  const answer = await client.send({
    method: 'POST',
    path: `${repository}/blobs/uploads/${query}`,
    scopes: from === undefined ? [pushScope(repository)] : [pushScope(repository), pullScope(from)],
    once: true,
    signal,
  });
  answer.discard();
  if (answer.status === 201) return undefined;
  return { url: client.uploadUrl(answer.headers.location, answer.url), offset: 0 };
}

/** Where an earlier process was interrupted, as far as the registry still knows it. */
async function resumable(job: UploadJob): Promise<Place | undefined> {
  const note = await job.notes.read(placeKey(job), job.blob.digest);
  if (note === undefined || note.offset > job.blob.size) return undefined;
  try {
    const url = job.client.uploadUrl(note.location, job.client.registry.base);
    return await askedFor(job, { url, offset: note.offset });
  } catch (error) {
    if (isTransient(error)) throw error;
    return undefined;
  }
}

/** What the registry says of an upload. `0-0` is also what those say that do not count: then what it acknowledged stands. */
async function askedFor(job: UploadJob, known: Place): Promise<Place | undefined> {
  const { client, repository, signal } = job;
  const answer = await client.send({
    method: 'GET',
    path: known.url,
    scopes: [pushScope(repository)],
    expected: [400, 404, 405, 410, 416],
    once: true,
    signal,
  });
  answer.discard();
  if (answer.status < 200 || answer.status >= 300) return undefined;
  const end = rangeEnd(answer);
  const { location } = answer.headers;
  return {
    url: location === undefined ? known.url : client.uploadUrl(location, answer.url),
    offset: end === undefined || end === 0 ? known.offset : Math.min(end + 1, job.blob.size),
  };
}

function rangeEnd(answer: Exchange): number | undefined {
  const range = /^(?:bytes=)?0-(\d{1,15})$/.exec(answer.headers.range ?? '');
  return range === null ? undefined : Number(range[1]);
}

async function sendPieces(job: UploadJob, place: Place, counted: { sentBytes: number }): Promise<void> {
  let end = 0;
  for await (const piece of piecesOf(job.store.stream(job.blob), job.client.limits.chunkBytes)) {
    const start = end;
    end += piece.length;
    for (let attempt = 0; place.offset < end; attempt++) {
      if (place.offset < start) throw new Restart('', { cause: goneBack(place) });
      await sendPiece(job, place, piece.subarray(place.offset - start), attempt, counted);
    }
  }
}

async function sendPiece(job: UploadJob, place: Place, bytes: Buffer, attempt: number, counted: { sentBytes: number }): Promise<void> {
  const { client, repository, blob, notes, signal } = job;
  const from = place.offset;
  try {
    const answer = await client.send({
      method: 'PATCH',
      path: place.url,
      headers: { ...OCTETS, 'content-range': `${from}-${from + bytes.length - 1}` },
      body: bytes,
      scopes: [pushScope(repository)],
      expected: [404, 410, 416],
      once: true,
      signal,
    });
    answer.discard();
    if (answer.status >= 400) throw new Restart('', { cause: registryError('upload', 'EIO', 'lost an upload', placeOf(place.url)) });
    counted.sentBytes += bytes.length;
    const taken = rangeEnd(answer);
    place.url = client.uploadUrl(answer.headers.location ?? place.url.href, answer.url);
    place.offset = taken === undefined ? from + bytes.length : taken + 1;
    if (place.offset <= from || place.offset > from + bytes.length) throw new Restart('', { cause: goneBack(place) });
    job.onSent?.(place.offset - from);
    await notes.write(placeKey(job), blob.digest, { location: place.url.href, offset: place.offset });
  } catch (error) {
    if (error instanceof Restart) throw error;
    await pauseOrThrow(error, attempt, client.limits, signal);
    const now = await askedFor(job, place);
    if (now === undefined) throw new Restart('', { cause: error });
    Object.assign(place, now);
  }
}

async function finish(job: UploadJob, place: Place, whole: boolean, counted: { sentBytes: number }): Promise<void> {
  const { client, repository, blob, store, signal } = job;
  const url = new URL(place.url);
  url.search += `${url.search === '' ? '?' : '&'}digest=${encodeURIComponent(blob.digest)}`;
  try {
    const answer = await client.send({
      method: 'PUT',
      path: url,
      headers: OCTETS,
      scopes: [pushScope(repository)],
      headMs: client.limits.finishMs,
      expected: [404, 410, 416],
      once: true,
      signal,
      ...(whole ? { body: { sizeBytes: blob.size, open: () => store.stream(blob) } } : {}),
    });
    answer.discard();
    if (answer.status >= 400) throw new Restart('', { cause: registryError('upload', 'EIO', 'lost an upload', placeOf(url)) });
    const kept = answer.headers['docker-content-digest'];
    if (kept !== undefined && kept !== blob.digest)
      throw registryError('upload', 'EIO', `kept another blob than ${blob.digest}`, placeOf(url));
    if (!whole) return;
    counted.sentBytes += blob.size;
    job.onSent?.(blob.size);
  } catch (error) {
    // It may have been kept before the answer was lost.
    if (isTransient(error) && (await isThere(job))) return;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

function goneBack(place: Place): Error {
  return registryError('upload', 'EIO', 'took less of an upload than it said', placeOf(place.url), 'try again');
}

function placeKey({ client, repository }: UploadJob): string {
  return `${client.registry.base.href}${repository}`;
}

async function* piecesOf(source: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let length = 0;
  for await (const bytes of source) {
    let rest = bytes;
    while (rest.length > 0) {
      const taken = rest.subarray(0, size - length);
      held.push(taken);
      length += taken.length;
      rest = rest.subarray(taken.length);
      if (length === size) {
        yield Buffer.concat(held);
        held = [];
        length = 0;
      }
    }
  }
  if (length > 0) yield Buffer.concat(held);
}
