// ctx: parses the command line, runs one verb, and turns what it throws into one line and an exit code.
import { readFileSync } from 'node:fs';
import { CommanderError, type Command } from 'commander';

import type { CtxError } from '../abi/errors.ts';
import { describeFailure, usageError } from './errors.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { createProgram } from './program.ts';
import type { Shell } from './shell.ts';
import { openTerminal } from './terminal.ts';
import { loadWikiVerbs } from './wiki.ts';

export async function run(args: readonly string[]): Promise<void> {
  let exitCode: number = EXIT.ok;
  const shell: Shell = {
    terminal: openTerminal(),
    env: process.env,
    uid: process.getuid?.() ?? 0,
    exit: (code) => {
      exitCode = code;
    },
  };
  const program = await createProgram(shell, packageVersion(), args);
  await loadWikiVerbs(program, shell, args[0]);
  settings(program, program.name());
  try {
    if (args.length === 0) {
      program.outputHelp();
      exitCode = EXIT.usage;
    } else {
      await program.parseAsync(args, { from: 'user' });
    }
  } catch (error) {
    if (error instanceof CommanderError) {
      exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    } else {
      shell.terminal.note(`ctx: ${describeFailure(error, (process.env['CTX_DEBUG'] ?? '') !== '')}`);
      exitCode = exitCodeOf(error);
    }
  }
  process.exitCode = exitCode;
}

// Commander prints its own message and then throws: its exit code 1 for wrong usage becomes ours.
function settings(command: Command, path: string): void {
  command.exitOverride().configureOutput({ outputError: (text, write) => write(`ctx: ${describeFailure(misused(text, path), false)}\n`) });
  for (const inner of command.commands) settings(inner, `${path} ${inner.name()}`);
}

/** CLI-6: one line, with the next step. `text` may be two: the error, and what was meant perhaps. */
function misused(text: string, path: string): CtxError {
  const [what = '', ...more] = text
    .replace(/^error: /, '')
    .trim()
    .split(/\.?\s*\n\s*/);
  return usageError([what, ...more].join(' '), `see: ${path} --help`);
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
