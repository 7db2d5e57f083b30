// ctx resume: goes on where a session was left, on its saved state.
import type { Command } from 'commander';

import { runSession, withRunOptions, type RunOptions } from './run.ts';
import { examples, type Shell } from './shell.ts';

export function registerResume(program: Command, shell: Shell): void {
  withRunOptions(program.command('resume').description('go on where a session was left: answer what waits, then chat'))
    .addHelpText(
      'after',
      examples(
        ['ctx resume coder/default', 'answer the message that waits, then chat'],
        ['ctx resume coder/default --json < /dev/null', 'for programs: after a tool result was appended, say'],
      ),
    )
    .action((reference: string, options: RunOptions) => runSession(shell, reference, options, true));
}
