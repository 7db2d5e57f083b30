// ctx: parses the command line, runs one verb, and turns what it throws into one line and an exit code.
import { readFileSync } from 'node:fs';
import { CommanderError, type Command } from 'commander';

import { describeFailure } from './errors.ts';
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
  settings(program);
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
function settings(command: Command): void {
  command.exitOverride().configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'ctx: cli.usage: ')) });
  for (const inner of command.commands) settings(inner);
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
