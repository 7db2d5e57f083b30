// IMG-79: what of a store of images is not as it should be. Changes nothing; reads every blob once.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { checkKind } from './kinds.ts';
import { type ImageStore, REF_NAME, SUBJECT } from './layout-store.ts';
import { isOciDigest, MEDIA, type Descriptor, type OciDigest } from './oci.ts';
import { checkImage, requireBlobs } from './verify-image.ts';

export interface StoreFinding {
  readonly severity: 'error' | 'warning';
  readonly code: string;
  readonly where: string;
  readonly message: string;
}

export async function checkStore(store: ImageStore, progress?: (blobs: number, of: number) => void): Promise<readonly StoreFinding[]> {
  const findings: StoreFinding[] = [];
  const error = (code: string, where: string, message: string): void => void findings.push({ severity: 'error', code, where, message });
  await checkBlobs(store, error, progress);
  let entries: readonly Descriptor[] = [];
  try {
    entries = await store.entries();
  } catch (cause) {
    report(error, 'index.json', cause);
  }
  for (const entry of entries) {
    const name = entry.annotations?.[REF_NAME];
    const where = name ?? entry.digest;
    try {
      const manifest = await store.manifest(entry);
      checkKind(manifest, where);
      await requireBlobs(store, [manifest.config, ...manifest.layers], where);
      if (manifest.artifactType === MEDIA.image) await checkImage(store, entry);
      const said = entry.annotations?.[SUBJECT];
      if (said !== manifest.subject?.digest)
        error('image.subject', where, `is about ${manifest.subject?.digest ?? 'nothing'}, and index.json says ${said ?? 'nothing'}`);
      if (manifest.subject !== undefined) await requireBlobs(store, [manifest.subject], where);
    } catch (cause) {
      report(error, where, cause);
    }
  }
  for (const name of await names(join(store.directory, 'tmp')))
    findings.push({
      severity: 'warning',
      code: 'image.unfinished',
      where: `tmp/${name}`,
      message: 'was not finished, or is being written',
    });
  return findings;
}

async function checkBlobs(store: ImageStore, error: Report, progress?: (blobs: number, of: number) => void): Promise<void> {
  const found = await names(join(store.directory, 'blobs/sha256'));
  for (const [at, name] of found.entries()) {
    progress?.(at, found.length);
    const digest = `sha256:${name}` as OciDigest;
    if (!isOciDigest(digest)) {
      error('image.blob_name', `blobs/sha256/${name}`, 'is no digest');
      continue;
    }
    try {
      for await (const piece of store.stream({ digest, size: (await store.sizeOf(digest)) ?? 0 })) void piece;
    } catch (cause) {
      report(error, digest, cause);
    }
  }
}

type Report = (code: string, where: string, message: string) => void;

function report(error: Report, where: string, cause: unknown): void {
  if (cause instanceof CtxError) error(cause.code, where, cause.where === undefined ? cause.message : `${cause.where} ${cause.message}`);
  else error('image.unreadable', where, cause instanceof Error ? cause.message : String(cause));
}

async function names(directory: string): Promise<readonly string[]> {
  const found = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return found.toSorted((a, b) => (a < b ? -1 : 1));
}
