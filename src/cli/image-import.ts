// ctx import of images: an archive that ctx export (or any OCI tool) wrote, plain, with gzip, or encrypted with age.
import { open, readFile, stat } from 'node:fs/promises';
import { createReadStream } from 'node:fs';

import { decrypted, identitiesOf, isAge } from '../image/encrypt.ts';
import { importArchive, type ImportedImage } from '../image/import.ts';
import { parseImageReference, tagKey } from '../image/reference.ts';
import { compressionOf } from '../image/unpack.ts';
import { loadTrust, requireTrust } from '../image/trust.ts';
import { configDirectory } from '../image/trust-keys.ts';
import { asCtxError, usageError } from './errors.ts';
import { sizeWords } from './figures.ts';
import { requireImages } from './image-store.ts';
import { passphrase } from './passphrase.ts';
import type { Shell } from './shell.ts';

export interface ImageImportOptions {
  readonly as?: string;
  readonly identity?: readonly string[];
  readonly passphraseFile?: string;
  readonly json?: boolean;
}

const HEAD_BYTES = 512;

/** A tar, or something that can hold one, also one that is not read here: no transcript begins so. */
export async function isArchive(path: string): Promise<boolean> {
  // A directory holds transcripts; what a pipe has told is gone.
  if ((await stat(path).catch(() => undefined))?.isFile() !== true) return false;
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return false;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const head = buffer.subarray(0, bytesRead);
    return head.subarray(257, 262).toString('latin1') === 'ustar' || isAge(head) || compressionOf(head) !== undefined;
  } finally {
    await file.close();
  }
}

export async function importImages(shell: Shell, path: string, options: ImageImportOptions): Promise<readonly ImportedImage[]> {
  const as = options.as === undefined ? undefined : tagKey(parseImageReference(options.as));
  const { store } = await requireImages(shell);
  const trust = await loadTrust(configDirectory(shell.env));
  const progress = shell.terminal.progress();
  let done = 0;
  try {
    return await importArchive(store, await opened(shell, path, options), {
      where: path,
      trust: (stage, descriptor, key) => requireTrust(stage, descriptor, key, trust),
      progress: (bytes) => {
        done += bytes;
        progress.update(`${path}: ${sizeWords(done)}`);
      },
      ...(as === undefined ? {} : { as }),
    });
  } catch (error) {
    throw asCtxError(error, path);
  } finally {
    progress.done();
  }
}

export function describeImported({ key, digest, replaces }: ImportedImage): string {
  return `${key}@${digest}${replaces === undefined ? '' : `\treplaces ${replaces}`}`;
}

async function opened(shell: Shell, path: string, options: ImageImportOptions): Promise<AsyncIterable<Uint8Array>> {
  const file = await open(path, 'r');
  const head = Buffer.alloc(HEAD_BYTES);
  await file.read(head, 0, HEAD_BYTES, 0);
  await file.close();
  const pieces = (): AsyncIterable<Buffer> => createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
  if (!isAge(head)) return pieces();
  const texts = await Promise.all(
    (options.identity ?? []).map((identity) =>
      readFile(identity, 'utf8').catch((error: unknown) => Promise.reject(asCtxError(error, identity) as Error)),
    ),
  );
  const identities = texts.flatMap(identitiesOf);
  if (identities.length > 0) return decrypted(pieces(), { identities }, path);
  // The first stanza says how: a passphrase would open none that is for recipients.
  const stanza = /^-> (\S+)/m.exec(head.toString('latin1'))?.[1];
  const given = options.passphraseFile !== undefined || (shell.env['CTX_PASSPHRASE'] ?? '') !== '';
  if (stanza !== undefined && stanza !== 'scrypt' && !given)
    throw usageError(`${path} is encrypted to a recipient`, 'give the identity that opens it: --identity FILE');
  return decrypted(pieces(), { passphrase: await passphrase(shell, `passphrase of ${path}`, options.passphraseFile) }, path);
}
