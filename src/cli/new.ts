// ctx new: a session with its whole skeleton (one mkdir on the mount makes it).
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../abi/errors.ts';
import { asCtxError } from './errors.ts';
import { requireMount } from './mounted.ts';
import { parseReference } from './reference.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly cwd?: string;
  readonly budget?: string;
  readonly pin?: readonly string[];
  readonly policy?: string;
  readonly tools?: string;
  readonly meta?: string;
  readonly json?: boolean;
}

export function registerNew(program: Command, shell: Shell): void {
  program
    .command('new')
    .description('make a session')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .option('--cwd <dir>', 'working directory of the agent (default: here)')
    .option('--budget <tokens>', 'context budget; 0 is unlimited')
    .option('--pin <file...>', 'copy files into context/pinned')
    .option('--policy <file>', 'context/policy.yaml')
    .option('--tools <file>', 'context/tools.json: tool schemas')
    .option('--meta <json>', 'meta.json: an object')
    .option('--json', 'print the session and its path')
    .addHelpText(
      'after',
      examples(
        ['ctx new coder/default', 'an empty session'],
        ['ctx new coder/fix --budget 8000 --pin AGENTS.md', 'a budget, and a file that is always packed'],
      ),
    )
    .action(async (reference: string, options: Options) => {
      const mounted = await requireMount(shell);
      const { path, rest } = parseReference(reference, mounted);
      const directory = join(mounted.root, path);
      if (rest !== '')
        throw new CtxError('cli.reference', 'EINVAL', 'names a file inside a session', { where: reference, next: 'name a session' });
      await mkdir(dirname(directory), { recursive: true });
      await mkdir(directory).catch((error: unknown) => {
        throw asCtxError(error, reference);
      });
      await fill(directory, options, mounted.cwd);
      if (options.json === true) shell.terminal.json({ session: path, directory });
      else shell.terminal.line(directory);
    });
}

// Control files are validated by the write itself: a refused value leaves the default in place and is reported.
async function fill(directory: string, options: Options, here: string): Promise<void> {
  const put = async (file: string, text: string): Promise<void> => {
    const path = join(directory, file);
    await writeFile(path, text).catch((error: unknown) => {
      throw asCtxError(error, path);
    });
  };
  // Without --cwd the mount takes the working directory of whoever made the session: ours.
  if (options.cwd !== undefined) await put('cwd', `${resolve(here, options.cwd)}\n`);
  if (options.budget !== undefined) await put('context/budget', `${options.budget}\n`);
  if (options.meta !== undefined) await put('meta.json', `${options.meta}\n`);
  if (options.policy !== undefined) await copyFile(resolve(here, options.policy), join(directory, 'context/policy.yaml'));
  if (options.tools !== undefined) await copyFile(resolve(here, options.tools), join(directory, 'context/tools.json'));
  for (const file of options.pin ?? []) await copyFile(resolve(here, file), join(directory, 'context/pinned', basename(file)));
}
