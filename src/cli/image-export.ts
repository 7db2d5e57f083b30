// ctx export of images: one file that is an OCI layout, encrypted when asked for.
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { resolve } from 'node:path';

import { writeArchive } from '../image/archive.ts';
import { planExport, type ExportImage, type ExportPlan } from '../image/export.ts';
import { findImage, keyOf } from '../image/image.ts';
import { REF_NAME, type ImageStore } from '../image/layout-store.ts';
import { tryImageReference } from '../image/reference.ts';
import { CtxError } from '../abi/errors.ts';
import { asCtxError, usageError } from './errors.ts';
import { sizeWords } from './figures.ts';
import { passphrase } from './passphrase.ts';
import type { Shell } from './shell.ts';

export interface ImageExportOptions {
  readonly output?: string;
  readonly compiled?: boolean;
  readonly redact?: boolean;
  readonly encryptTo?: readonly string[];
  readonly passphrase?: boolean;
  readonly passphraseFile?: string;
  readonly json?: boolean;
}

export async function exportImages(shell: Shell, kept: ImageStore, texts: readonly string[], options: ImageExportOptions): Promise<void> {
  if (options.output === undefined && process.stdout.isTTY === true)
    throw usageError('an archive is not for a terminal', 'write it to a file: -o FILE');
  if (options.output === undefined && options.json === true) throw usageError('--json needs -o FILE: the archive goes to stdout');
  const started = performance.now();
  // IMG-98: what is redacted is written beside the store, and goes with the process.
  const store = kept.aside();
  const held = await store.hold();
  const progress = shell.terminal.progress();
  try {
    const images: ExportImage[] = [];
    for (const text of texts) images.push(await named(store, text));
    const plan = await planExport(store, images, { compiled: options.compiled !== false, redact: options.redact === true });
    for (const reason of plan.reasons) shell.terminal.note(`ctx: ${reason}`);
    let done = 0;
    const archive = writeArchive(store, plan, (bytes) => {
      done += bytes;
      progress.update(`${sizeWords(done)} of ${sizeWords(plan.sizeBytes)}`);
    });
    const pieces = await closed(shell, archive, options);
    if (options.output === undefined) for await (const piece of pieces) await shell.terminal.write(piece);
    else await writeWhole(resolve(options.output), pieces);
    progress.done();
    report(shell, plan, options, performance.now() - started);
  } finally {
    progress.done();
    await store.remove();
    await held.release();
  }
}

async function named(store: ImageStore, text: string): Promise<ExportImage> {
  const descriptor = await findImage(store, text);
  if (descriptor === undefined) throw new CtxError('image.unknown', 'ENOENT', 'is no image here', { where: text, next: 'see: ctx images' });
  const key = keyOf(descriptor, text);
  if (key !== descriptor.digest) return { key, descriptor };
  const names = (await store.entries())
    .filter(({ digest }) => digest === descriptor.digest)
    .map(({ annotations }) => annotations?.[REF_NAME]);
  const name = names.find((one) => tryImageReference(one ?? '')?.tag !== undefined);
  if (name === undefined) throw usageError(`${text} has no name here`, 'name it first: ctx tag');
  return { key: name, descriptor };
}

async function closed(shell: Shell, archive: AsyncIterable<Uint8Array>, options: ImageExportOptions): Promise<AsyncIterable<Uint8Array>> {
  const secret = options.passphrase === true || options.passphraseFile !== undefined;
  const recipients = options.encryptTo ?? [];
  if (!secret && recipients.length === 0) return archive;
  if (secret && recipients.length > 0) throw usageError('--passphrase and --encrypt-to do not go together', 'use one of them');
  const { encrypted } = await import('../image/encrypt.ts');
  return encrypted(archive, secret ? { passphrase: await passphrase(shell, 'passphrase', options.passphraseFile) } : { recipients });
}

function report(shell: Shell, plan: ExportPlan, options: ImageExportOptions, elapsedMs: number): void {
  const images = plan.images.map(({ key, descriptor, redacted }) => ({
    image: key,
    digest: descriptor.digest,
    ...(redacted === undefined ? {} : { redacted }),
  }));
  const facts = { compiled: plan.compiled, bytes: plan.sizeBytes, elapsed_ms: Math.round(elapsedMs), reasons: plan.reasons };
  if (options.json === true) shell.terminal.json({ images, file: options.output, ...facts });
  else for (const { image, digest } of images) shell.terminal.note(`${image}@${digest}\t${sizeWords(plan.sizeBytes)}`);
}

/** A failure half-way leaves no file that looks like an archive. */
async function writeWhole(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  const file = createWriteStream(temporary, { mode: 0o600, flush: true });
  try {
    await once(file, 'open');
    for await (const piece of pieces) if (!file.write(piece)) await once(file, 'drain');
    file.end();
    await once(file, 'close');
    await rename(temporary, path);
  } catch (error) {
    file.destroy();
    await rm(temporary, { force: true });
    throw asCtxError(error, path);
  }
}
