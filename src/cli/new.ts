// ctx new: a session with its whole skeleton (one mkdir on the mount makes it).
import { mkdir, readFile, writeFile } from 'node:fs/promises';
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
      const files = await wanted(options, mounted.cwd);
      await mkdir(dirname(directory), { recursive: true });
      await mkdir(directory).catch((error: unknown) => {
        throw asCtxError(error, reference);
      });
      for (const [file, bytes] of files)
        await writeFile(join(directory, file), bytes).catch((error: unknown) => {
          throw asCtxError(error, join(directory, file));
        });
      if (options.json === true) shell.terminal.json({ session: path, directory });
      else shell.terminal.line(directory);
    });
}

/** What goes into the new session, all of it read and judged before there is one: a refusal leaves nothing behind. */
async function wanted(options: Options, here: string): Promise<readonly (readonly [string, Buffer])[]> {
  const { validateControl } = await import('../session/controls.ts');
  const read = async (file: string): Promise<Buffer> =>
    readFile(resolve(here, file)).catch((error: unknown) => {
      throw asCtxError(error, file);
    });
  const { cwd, budget, meta, policy, tools } = options;
  const controls: (readonly [string, Buffer])[] = [];
  // Without --cwd the mount takes the working directory of whoever made the session: ours.
  if (cwd !== undefined) controls.push(['cwd', Buffer.from(`${resolve(here, cwd)}\n`)]);
  if (budget !== undefined) controls.push(['context/budget', Buffer.from(`${budget}\n`)]);
  if (meta !== undefined) controls.push(['meta.json', Buffer.from(`${meta}\n`)]);
  if (policy !== undefined) controls.push(['context/policy.yaml', await read(policy)]);
  if (tools !== undefined) controls.push(['context/tools.json', await read(tools)]);
  for (const [file, bytes] of controls) validateControl(file, bytes);
  const pins = (options.pin ?? []).map(async (file) => [join('context/pinned', basename(file)), await read(file)] as const);
  return [...controls, ...(await Promise.all(pins))];
}
