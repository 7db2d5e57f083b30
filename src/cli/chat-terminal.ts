// The interactive chat: a line is a message. Ctrl-C stops an answer and keeps what came; Ctrl-D ends.
import { createInterface } from 'node:readline';

import type { ChatOutput } from './chat-output.ts';
import type { ChatSession } from './chat-session.ts';
import { describeFailure } from './errors.ts';
import type { Shell } from './shell.ts';

const PROMPT = '> ';

/** `pending`: the newest message is a user's and is answered before anything is asked. */
export async function chatOnTerminal(shell: Shell, chat: ChatSession, output: ChatOutput, pending: boolean): Promise<void> {
  const line = createInterface({ input: process.stdin, output: process.stderr, prompt: PROMPT });
  let answering: AbortController | undefined;
  // readline has the terminal in raw mode: Ctrl-C arrives here, not as a signal.
  line.on('SIGINT', () => {
    if (answering !== undefined) answering.abort();
    else {
      shell.terminal.note('(Ctrl-D ends)');
      line.prompt();
    }
  });
  const turn = async (work: (signal: AbortSignal) => Promise<unknown>): Promise<void> => {
    answering = new AbortController();
    try {
      await work(answering.signal);
    } catch (error) {
      if (!answering.signal.aborted) shell.terminal.note(`ctx: ${describeFailure(error, false)}`);
    } finally {
      answering = undefined;
    }
  };
  shell.terminal.note(shell.terminal.style('dim', 'ctx: a line is a message; Ctrl-C stops an answer, Ctrl-D ends'));
  if (pending) await turn((signal) => chat.answer(output, signal));
  line.prompt();
  // Lines typed or pasted while an answer streams wait for their turn.
  for await (const text of line) {
    if (text.trim() !== '') await turn((signal) => chat.say(text, output, signal));
    line.prompt();
  }
}
