// ctx export: a session's history for other programs and for people, the file that it was imported from, or images as one file.
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { once } from 'node:events';
import type { Command } from 'commander';

import type { ImageStore } from '../image/layout-store.ts';
import { asCtxError, usageError } from './errors.ts';
import type { ImageExportOptions } from './image-export.ts';
import { examples, type Shell } from './shell.ts';

interface Options extends ImageExportOptions {
  readonly to?: string;
  readonly source?: string;
  readonly reasoning?: boolean;
}

export const TARGETS = ['openai', 'openai-lines', 'markdown', 'original'] as const;

export function registerExport(program: Command, shell: Shell): void {
  program
    .command('export')
    .description('write the history of a session in another form, or images as one file')
    .argument('<session>', 'AGENT/SESSION, a path on the mount, or an image NAME[:TAG]')
    .argument('[image...]', 'more images, into the same file')
    .option('--to <form>', `of a session: ${TARGETS.join(', ')} (default: openai)`)
    .option('-o, --output <file>', 'write to a file, complete or not at all (default: stdout)')
    .option('--source <source>', 'which source, when --to original and the session has several')
    .option('--reasoning', 'keep readable reasoning (reasoning_content) in openai forms')
    .option('--redact', 'of an image: take secrets, credentials and private documents out, whatever its policy asks for')
    .option('--no-compiled', 'of an image: leave compiled state out, even where the policy lets it go')
    .option('--encrypt-to <recipient...>', 'of an image: encrypt with age (age1…)')
    .option('--passphrase', 'of an image: encrypt with a passphrase (age)')
    .option('--passphrase-file <file>', 'take the passphrase from a file')
    .option('--json', 'of an image: print what was written')
    .addHelpText(
      'after',
      examples(
        ['ctx export coder/default > chat.json', 'a chat-completions messages array'],
        ['ctx export coder/default --to markdown -o chat.md', 'for reading'],
        ['ctx export coder/old --to original', 'the imported file, byte for byte'],
        ['ctx export quilt/review:2026.05 -o review.tar', 'an image, for ctx import elsewhere'],
      ),
    )
    .action(async (reference: string, more: readonly string[], options: Options) => {
      const form = options.to ?? 'openai';
      if (!(TARGETS as readonly string[]).includes(form)) throw usageError(`${form} is not a form`, `use one of ${TARGETS.join(', ')}`);
      const store = await imageNamed(shell, reference, options);
      if (store !== undefined) {
        const { exportImages } = await import('./image-export.ts');
        return exportImages(shell, store, [reference, ...more], options);
      }
      if (more.length > 0) throw usageError(`${reference} is a session; one is exported at a time`);
      const directory = await sessionFor(shell, reference, options);
      const pieces = await exported(directory, form, options);
      if (options.output === undefined) for await (const piece of pieces) await shell.terminal.write(piece);
      else await writeWhole(resolve(options.output), pieces);
    });
}

/** The session's directory. Before anything is written: who asks for secrets to be taken out must not get them in the clear. */
async function sessionFor(shell: Shell, reference: string, options: Options): Promise<string> {
  const { refuseForSessions, requireSessionNamed } = await import('./image-named.ts');
  const { directory } = await requireSessionNamed(shell, reference).catch(async (error: unknown) => {
    const { hasImages } = await import('./image-store.ts');
    const isForSession = options.to !== undefined || options.source !== undefined;
    if (isForSession && (await hasImages(shell, reference)))
      throw usageError(`--to and --source are for sessions, and ${reference} is an image`, 'leave them out');
    throw error;
  });
  refuseForSessions(reference, {
    '--redact': options.redact === true,
    '--no-compiled': options.compiled === false,
    '--encrypt-to': options.encryptTo !== undefined,
    '--passphrase': options.passphrase === true,
    '--passphrase-file': options.passphraseFile !== undefined,
    '--json': options.json === true,
  });
  return directory;
}

/** The store, when the reference names an image in it; what can only be a session is not looked up there. */
async function imageNamed(shell: Shell, reference: string, { to, source }: Options): Promise<ImageStore | undefined> {
  if (to !== undefined || source !== undefined || reference.startsWith('session:')) return undefined;
  const { tryImageReference } = await import('../image/reference.ts');
  if (tryImageReference(reference) === undefined && !/^(image:)?sha256:/.test(reference)) return undefined;
  const { hasImages, resolveName } = await import('./image-store.ts');
  if (!reference.startsWith('image:') && !(await hasImages(shell, reference))) return undefined;
  const named = await resolveName(shell, reference);
  return named.kind === 'image' ? named.store : undefined;
}

async function exported(directory: string, form: string, options: Options): Promise<AsyncIterable<string | Uint8Array>> {
  const interop = await import('../interop/index.ts');
  const messages = (): AsyncIterable<string> => interop.fileLines(join(directory, 'messages.jsonl'));
  const events = (): AsyncIterable<string> => interop.fileLines(join(directory, 'events.jsonl'));
  const chat = { reasoning: options.reasoning === true };
  if (form === 'openai') return interop.exportOpenAi(messages(), chat);
  if (form === 'openai-lines') return interop.exportOpenAiLines(messages(), chat);
  if (form === 'markdown') return interop.exportMarkdown(messages());
  return interop.exportOriginal(messages, events, options.source);
}

/** A failure half-way (an original that is not identical) leaves no file that looks like one. */
async function writeWhole(path: string, pieces: AsyncIterable<string | Uint8Array>): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  const file = createWriteStream(temporary);
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
