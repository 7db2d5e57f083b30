// A question on a terminal. Without a terminal the answer is no, and the caller says how to say yes.
import { createInterface } from 'node:readline/promises';

import type { Shell } from './shell.ts';

export async function confirm(shell: Shell, question: string): Promise<boolean> {
  if (!shell.terminal.interactive) {
    shell.terminal.note(`${question} (no terminal to ask on; use --yes)`);
    return false;
  }
  const line = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await line.question(`${question} [y/N] `)).trim());
  } finally {
    line.close();
  }
}
