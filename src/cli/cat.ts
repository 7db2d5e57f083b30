// ctx cat: a file of a session, from the mount, or its history straight from a store (no daemon needed).
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../abi/errors.ts';
import { usageError } from './errors.ts';
import { requireSession } from './mounted.ts';
import { parseReference } from './reference.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly events?: boolean;
  readonly store?: string;
}

export function registerCat(program: Command, shell: Shell): void {
  program
    .command('cat')
    .description('print a file of a session (default: messages.jsonl)')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .argument('[file]', 'path below the session, such as context/pack.md')
    .option('--events', 'events.jsonl')
    .option('--store <dir>', 'read history from a store, with or without a mount')
    .addHelpText(
      'after',
      examples(
        ['ctx cat coder/default | jq -r .content', 'the history'],
        ['ctx cat coder/default context/pack.md', 'what the next model call sees'],
        ['ctx cat --store /var/lib/ctxfs coder/default', 'without a mount'],
      ),
    )
    .action(async (reference: string, file: string | undefined, options: Options) => {
      if (file !== undefined && options.events === true) throw usageError('--events and a file name exclude each other');
      const pieces =
        options.store === undefined
          ? await onMount(shell, reference, file, options)
          : await inStore(shell, reference, file, options, options.store);
      for (const { path, sizeBytes } of pieces) {
        const range = sizeBytes === undefined ? {} : { end: sizeBytes - 1 };
        if (sizeBytes === 0) continue;
        const stream = createReadStream(path, { highWaterMark: 1024 * 1024, ...range });
        stream.once('error', (error) => Object.assign(error, { path }));
        for await (const bytes of stream as AsyncIterable<Buffer>) await shell.terminal.write(bytes);
      }
    });
}

interface Piece {
  readonly path: string;
  readonly sizeBytes?: number;
}

async function onMount(shell: Shell, reference: string, file: string | undefined, options: Options): Promise<readonly Piece[]> {
  const { directory, rest } = await requireSession(shell, reference);
  // `.` below the session, such as in its context/, still means the session.
  const named = file ?? (rest === '' || (await stat(join(directory, rest))).isDirectory() ? undefined : rest);
  return [{ path: join(directory, named ?? (options.events === true ? 'events.jsonl' : 'messages.jsonl')) }];
}

async function inStore(
  shell: Shell,
  reference: string,
  file: string | undefined,
  options: Options,
  store: string,
): Promise<readonly Piece[]> {
  const root = resolve(store);
  const target = parseReference(reference, { root, cwd: process.cwd(), uid: shell.uid });
  const directory = join(root, target.path);
  await stat(directory).catch(() => {
    throw new CtxError('cli.no_session', 'ENOENT', 'does not exist', { where: directory, next: 'name a session of this store' });
  });
  const name = file ?? (options.events === true ? 'events.jsonl' : 'messages.jsonl');
  if (name !== 'messages.jsonl' && name !== 'events.jsonl') {
    throw usageError(`${name} is not history`, '--store reads messages.jsonl and events.jsonl; mount the store for derived files');
  }
  const { readableSegments } = await import('../journal/layout.ts');
  const segments = readableSegments(directory)[name];
  const last = segments.at(-1);
  if (last === undefined) return [];
  return [...segments.slice(0, -1), { path: last.path, sizeBytes: await wholeLineBytes(last.path, last.sizeBytes) }];
}

/** JRN: what follows the last newline was never acknowledged, so it is no history. */
async function wholeLineBytes(path: string, sizeBytes: number): Promise<number> {
  const file = await open(path);
  try {
    const piece = Buffer.alloc(64 * 1024);
    for (let end = sizeBytes; end > 0;) {
      const start = Math.max(0, end - piece.length);
      const { bytesRead } = await file.read(piece, 0, end - start, start);
      const newline = piece.subarray(0, bytesRead).lastIndexOf(0x0a);
      if (newline >= 0) return start + newline + 1;
      end = start;
    }
    return 0;
  } finally {
    await file.close();
  }
}
