// ctx append: one message from the arguments or stdin, or many whole lines from stdin, through the mount's own journal file.
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../abi/errors.ts';
import { lineFault, ROLES, type LineFault } from '../abi/records.ts';
import { asCtxError, usageError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { lineBatches } from './line-batches.ts';
import { requireSession } from './mounted.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly role: string;
  readonly events?: boolean;
  readonly lines?: boolean;
  readonly sync?: boolean;
  readonly json?: boolean;
}

const FAULT_WORDS: Readonly<Record<LineFault, string>> = {
  utf8: 'is not UTF-8',
  json: 'is not JSON',
  object: 'is not a JSON object',
  role: `has no role of ${ROLES.join(', ')}`,
  type: 'has no type',
  nul: 'holds a NUL',
  too_long: 'is too long',
};

export function registerAppend(program: Command, shell: Shell): void {
  program
    .command('append')
    .description('append to a session: one message, or whole JSON lines from stdin')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .argument('[text...]', 'content of one message (default: stdin)')
    .option('--role <role>', `role of the message: ${ROLES.join(', ')}`, 'user')
    .option('--lines', 'stdin is JSON lines, stored as they are')
    .option('--events', 'append lines to events.jsonl instead of messages.jsonl (implies --lines)')
    .option('--sync', 'return when the lines are on disk')
    .option('--json', 'print how many lines were stored and refused')
    .addHelpText(
      'after',
      examples(
        ['ctx append coder/default "why does the build fail?"', 'one user message'],
        ['make 2>&1 | ctx append coder/default --role tool', 'the content is stdin'],
        ['ctx append coder/default --lines < history.jsonl', 'lines, each stored as it is'],
      ),
    )
    .action(async (reference: string, text: readonly string[], options: Options) => {
      const lines = options.lines === true || options.events === true;
      if (lines && text.length > 0) throw usageError('--lines and --events read stdin; give no text');
      if (!(ROLES as readonly string[]).includes(options.role))
        throw usageError(`${options.role} is not a role`, `use one of ${ROLES.join(', ')}`);
      if (text.length === 0 && process.stdin.isTTY === true) throw usageError('nothing to append', 'give the text, or pipe it in');
      const { directory } = await requireSession(shell, reference);
      const journal = options.events === true ? 'events' : 'messages';
      const path = join(directory, `${journal}.jsonl`);
      const file = await open(path, 'a').catch((error: unknown) => {
        throw asCtxError(error, path);
      });
      try {
        const counts = lines ? await appendLines(shell, file, journal, process.stdin) : await appendOne(file, options.role, text);
        if (options.sync === true) await file.sync();
        if (options.json === true) shell.terminal.json(counts);
        if (counts.refused > 0) shell.exit(EXIT.failed);
      } finally {
        await file.close();
      }
    });
}

interface Counts {
  readonly stored: number;
  readonly refused: number;
}

async function appendOne(file: FileHandle, role: string, words: readonly string[]): Promise<Counts> {
  const content = words.length > 0 ? words.join(' ') : await wholeStdin();
  await writeWhole(file, Buffer.from(`${JSON.stringify({ role, content })}\n`));
  return { stored: 1, refused: 0 };
}

/** Good lines go in runs; a line that cannot be stored goes alone, so that the mount keeps it and reports it. */
export async function appendLines(
  shell: Shell,
  file: FileHandle,
  journal: 'messages' | 'events',
  source: AsyncIterable<Buffer>,
): Promise<Counts> {
  const progress = shell.terminal.progress();
  let stored = 0;
  let refused = 0;
  for await (const batch of lineBatches(source, (line) => lineFault(journal, line) !== undefined)) {
    const first = stored + refused + 1;
    try {
      await writeWhole(file, batch.bytes);
      stored += batch.lines;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (batch.lines !== 1 || (code !== 'EINVAL' && code !== 'EFBIG')) throw error;
      refused += 1;
      const fault = code === 'EFBIG' ? 'too_long' : lineFault(journal, batch.bytes.subarray(0, -1));
      shell.terminal.note(
        `ctx: append.refused: line ${first} ${fault === undefined ? 'was refused' : FAULT_WORDS[fault]}; the session keeps it and an error event tells where`,
      );
    }
    progress.update(`${stored} lines stored, ${refused} refused`);
  }
  progress.done();
  return { stored, refused };
}

async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at);
    if (bytesWritten === 0) throw new CtxError('append.short', 'EIO', 'took no bytes', { next: 'run: ctx doctor' });
    at += bytesWritten;
  }
}

async function wholeStdin(): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin as AsyncIterable<Buffer>) pieces.push(piece);
  const text = Buffer.concat(pieces).toString('utf8');
  // A command's output ends in a newline that is no part of what it says.
  return text.endsWith('\n') ? text.slice(0, -1) : text;
}
