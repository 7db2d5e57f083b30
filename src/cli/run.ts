// ctx run, ctx resume: a live chat with a session, on what is compiled of it. Both sides go to messages.jsonl.
import type { Command } from 'commander';

import type { CtxError } from '../abi/errors.ts';
import type { GenerateOutcome } from '../engine/types.ts';
import { jsonOutput, textOutput } from './chat-output.ts';
import { ChatSession } from './chat-session.ts';
import { chatOnTerminal } from './chat-terminal.ts';
import { lastRole, watchSession } from './chat-watch.ts';
import { usageError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { requireSource } from './image-judged.ts';
import { imageNamed, refuseForSessions, requireSessionNamed, type NamedImage } from './image-named.ts';
import { bindingNotes, instanceFor, shownInstance } from './image-run.ts';
import { chosenModel, driverFor } from './models-on-mount.ts';
import { requireSession } from './mounted.ts';
import type { Target } from './reference.ts';
import { examples, type Shell } from './shell.ts';

export interface RunOptions {
  readonly prompt?: string;
  readonly watch?: boolean;
  readonly model?: string;
  readonly maxTokens: string;
  readonly temperature: string;
  readonly seed?: string;
  readonly json?: boolean;
  /** Of an image. */
  readonly name?: string;
  readonly detach?: boolean;
}

export function registerRun(program: Command, shell: Shell): void {
  withRunOptions(
    program.command('run').description('talk with a model about a session, or about a new instance of an image; both sides are appended'),
  )
    .option('--name <session>', 'of an image: AGENT/SESSION of the new instance')
    .option('-d, --detach', 'of an image: start the instance, and say its name')
    .option('--watch', 'answer user messages that any program appends, until interrupted')
    .addHelpText(
      'after',
      examples(
        ['ctx run coder/default', 'a chat on this terminal'],
        ['ctx run coder/default -p "why does the build fail?"', 'one question, one answer'],
        ['git diff | ctx run coder/default --json', 'the question is stdin; events as JSON lines'],
        ['ctx run coder/default --watch', 'answer what other programs append'],
        ['ctx run quilt/customer-review', 'a new instance of an image'],
      ),
    )
    .action((reference: string, options: RunOptions) => runSession(shell, reference, options, false));
}

export function withRunOptions(command: Command): Command {
  return command
    .argument('<session>', 'AGENT/SESSION, a path on the mount, or an image')
    .option('-p, --prompt <text>', 'one message instead of a chat')
    .option('--model <name>', 'PROVIDER/NAME instead of the default model (ctx model ls)')
    .option('--max-tokens <n>', 'longest answer', '2048')
    .option('--temperature <t>', '0: always the likeliest token', '0.7')
    .option('--seed <n>', 'repeatable sampling')
    .option('--json', 'print events, one JSON object a line');
}

/** `resume`: a message that waits for its answer is answered first. */
export async function runSession(shell: Shell, reference: string, options: RunOptions, resume: boolean): Promise<void> {
  const limits = {
    maxTokens: numberOf('--max-tokens', options.maxTokens, 1, 1_000_000, true),
    temperature: numberOf('--temperature', options.temperature, 0, 10, false),
    ...(options.seed === undefined ? {} : { seed: numberOf('--seed', options.seed, 0, 2 ** 31, true) }),
  };
  const watching = options.watch === true;
  if (watching && options.prompt !== undefined) throw usageError('--watch and -p exclude each other');
  if (options.prompt?.trim() === '') throw nothingToSay();
  const named = await imageNamed(shell, reference);
  // Before a model is looked for: also for an instance that is there already.
  if (named !== undefined) requireSource(named.image.config, named.key);
  const interactive = !watching && options.prompt === undefined && process.stdin.isTTY === true;
  // Without anything to say an image is only started, as what runs in the background is.
  const piped =
    named === undefined || interactive || watching || resume
      ? options.prompt
      : (options.prompt ?? (options.detach === true ? '' : await stdinText()));
  const detached = named !== undefined && (options.detach === true || piped === '');
  const { mounted } = named ?? (await requireSessionNamed(shell, reference));
  if (named === undefined) refuseForSessions(reference, { '--detach': options.detach === true, '--name': options.name !== undefined });
  const model = detached ? undefined : await chosenModel(mounted, options.model);
  const instance = named === undefined ? undefined : await instanceFor(named, options.name, resume);
  if (named !== undefined && instance !== undefined) await showInstance(shell, named, instance, options.json === true, detached);
  if (model === undefined) return;
  const { directory } = await requireSession(shell, instance?.path ?? reference);
  const output = options.json === true ? jsonOutput(shell.terminal) : textOutput(shell.terminal, process.stdout.isTTY === true);
  const chat = await ChatSession.open(shell, directory, model, driverFor(shell, model), limits);
  try {
    const pending = resume && waits(await lastRole(directory));
    if (interactive || watching) await chat.ready();
    if (interactive) return await chatOnTerminal(shell, chat, output, pending);
    const stop = interrupted();
    if (watching) return await watchSession(shell, chat, output, stop);
    if (pending) ended(shell, await chat.answer(output, stop));
    const text = stop.aborted ? undefined : (piped ?? (resume ? undefined : await wholeStdin()));
    if (text !== undefined) ended(shell, await chat.say(text, output, stop));
    else if (!pending) shell.terminal.note('ctx: no message waits for an answer; give one with -p');
  } finally {
    await chat.close();
  }
}

/** A user's message, or the result of a tool that a caller ran. */
function waits(role: string | undefined): boolean {
  return role === 'user' || role === 'tool';
}

function ended(shell: Shell, outcome: GenerateOutcome): void {
  if (outcome.stop === 'aborted') shell.exit(EXIT.interrupted);
}

function interrupted(): AbortSignal {
  const stop = new AbortController();
  // A second signal ends the process in the ordinary way.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

async function wholeStdin(): Promise<string> {
  const text = await stdinText();
  if (text === '') throw nothingToSay();
  return text;
}

/** '' when there is nothing to say. */
async function stdinText(): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin as AsyncIterable<Buffer>) pieces.push(piece);
  const text = Buffer.concat(pieces).toString('utf8').replace(/\n$/, '');
  return text.trim() === '' ? '' : text;
}

async function showInstance(shell: Shell, named: NamedImage, target: Target, json: boolean, detached: boolean): Promise<void> {
  const shown = shownInstance(named, target);
  if (json) shell.terminal.line(JSON.stringify({ type: 'instance', ...shown }));
  else if (detached) shell.terminal.line(shown.instance);
  else shell.terminal.note(`instance: ${shown.instance}`);
  for (const note of await bindingNotes(named, target)) shell.terminal.note(`ctx: ${note}`);
}

function nothingToSay(): CtxError {
  return usageError('nothing to say', 'give a message with -p, or pipe it in');
}

function numberOf(name: string, text: string, least: number, most: number, whole: boolean): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!(value >= least && value <= most) || (whole && !Number.isInteger(value)))
    throw usageError(`${name} ${text} is not ${whole ? 'a whole' : 'a'} number from ${least} to ${most}`);
  return value;
}
