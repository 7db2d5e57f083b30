// What a verb is given: where to print, who asks, and where the mount and the store are.
import type { Command } from 'commander';

import type { Terminal } from './terminal.ts';

export interface Shell {
  readonly terminal: Terminal;
  readonly env: NodeJS.ProcessEnv;
  readonly uid: number;
  /** Sets the exit code that the process ends with when the verb itself did not fail. */
  exit(code: number): void;
}

/** A verb adds one command to the program. One verb a file: `src/cli/<verb>.ts` exports `register<Verb>`. */
export type RegisterVerb = (program: Command, shell: Shell) => void;

/** Examples under a command's help: pairs of a command line and what it does. */
export function examples(...pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([line]) => line.length));
  return `\nExamples:\n${pairs.map(([line, what]) => `  $ ${line.padEnd(width)}   ${what}`).join('\n')}\n`;
}
