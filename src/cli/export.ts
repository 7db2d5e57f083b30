// ctx export: a session's history for other programs and for people, or the file that it was imported from.
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { once } from 'node:events';
import type { Command } from 'commander';

import { asCtxError, usageError } from './errors.ts';
import { requireSession } from './mounted.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly to: string;
  readonly output?: string;
  readonly source?: string;
  readonly reasoning?: boolean;
}

export const TARGETS = ['openai', 'openai-lines', 'markdown', 'original'] as const;

export function registerExport(program: Command, shell: Shell): void {
  program
    .command('export')
    .description('write the history of a session in another form')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .option('--to <form>', `${TARGETS.join(', ')}`, 'openai')
    .option('-o, --output <file>', 'write to a file, complete or not at all (default: stdout)')
    .option('--source <source>', 'which source, when --to original and the session has several')
    .option('--reasoning', 'keep readable reasoning (reasoning_content) in openai forms')
    .addHelpText(
      'after',
      examples(
        ['ctx export coder/default > chat.json', 'a chat-completions messages array'],
        ['ctx export coder/default --to markdown -o chat.md', 'for reading'],
        ['ctx export coder/old --to original', 'the imported file, byte for byte'],
      ),
    )
    .action(async (reference: string, options: Options) => {
      if (!(TARGETS as readonly string[]).includes(options.to))
        throw usageError(`${options.to} is not a form`, `use one of ${TARGETS.join(', ')}`);
      const { directory } = await requireSession(shell, reference);
      const pieces = await exported(directory, options);
      if (options.output === undefined) for await (const piece of pieces) await shell.terminal.write(piece);
      else await writeWhole(resolve(options.output), pieces);
    });
}

async function exported(directory: string, options: Options): Promise<AsyncIterable<string | Uint8Array>> {
  const interop = await import('../interop/index.ts');
  const messages = (): AsyncIterable<string> => interop.fileLines(join(directory, 'messages.jsonl'));
  const events = (): AsyncIterable<string> => interop.fileLines(join(directory, 'events.jsonl'));
  const chat = { reasoning: options.reasoning === true };
  if (options.to === 'openai') return interop.exportOpenAi(messages(), chat);
  if (options.to === 'openai-lines') return interop.exportOpenAiLines(messages(), chat);
  if (options.to === 'markdown') return interop.exportMarkdown(messages());
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
