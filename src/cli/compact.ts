// ctx compact: a model sums up a session's history; what it writes becomes events that the derived files fold in.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Option, type Command } from 'commander';

import { CtxError } from '../abi/errors.ts';
import { parsePolicy, type Policy } from '../context/policy.ts';
import { compact, COMPACT_FAILED_EVENT, type CompactReport } from '../engine/compact/compact.ts';
import { ContributedEvents, openMessages } from '../engine/compact/session-history.ts';
import { modelId } from '../engine/models.ts';
import { asCtxError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { chosenModel, driverFor } from './models-on-mount.ts';
import { requireSession } from './mounted.ts';
import { JournalAppender } from './session-target.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly model?: string;
  readonly all?: boolean;
  readonly json?: boolean;
  readonly background?: boolean;
}

/** CMP-5: what one run of the daemon reads at most; the rest is for the next. */
const BACKGROUND_BLOCKS = 8;

export function registerCompact(program: Command, shell: Shell): void {
  program
    .command('compact')
    .description('have a model record facts, decisions, todos and a summary; history is not touched')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .option('--model <name>', 'PROVIDER/NAME (default: compact.model of policy.yaml, then the default model)')
    .option('--all', 'also the newest messages, which do not fill a block of 64 yet')
    .option('--json', 'print a report')
    // The daemon's own way to run it (compact.mode: epoch).
    .addOption(new Option('--background').hideHelp())
    .addHelpText(
      'after',
      examples(['ctx compact coder/default', 'what is new in whole blocks'], ['ctx compact coder/default --all', 'everything so far']),
    )
    .action(async (reference: string, options: Options) => {
      const { directory, mounted } = await requireSession(shell, reference);
      const policy = parsePolicy(await readFile(join(directory, 'context/policy.yaml'), 'utf8'));
      const background = options.background === true;
      // It was asked for at an epoch's start, and the policy may be another one since.
      if (background && policy.compact.mode !== 'epoch') return;
      // Nobody is left to work for once the daemon is gone; what was recorded stays.
      if (background) endWithStdin();
      const model = await chosenModel(mounted, options.model ?? policy.compact.model);
      refuse(policy, model.driver !== 'llama', reference);
      const driver = driverFor(shell, model);
      const progress = shell.terminal.progress();
      const stop = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
      try {
        const events = new ContributedEvents(join(directory, 'events.jsonl'));
        const report = await compact({
          driver,
          model: modelId(model),
          messages: await openMessages(join(directory, 'messages.jsonl')),
          events: await events.since(),
          since: () => events.since(),
          maxInputTokens: policy.compact.maxInputTokens,
          open: options.all === true,
          ...(background ? { mostBlocks: BACKGROUND_BLOCKS } : {}),
          append: (added) => appendEvents(directory, added),
          onProgress: (done, total) => progress.update(`${done} of ${total} messages`),
          signal: stop.signal,
        });
        progress.done();
        if (options.json === true) shell.terminal.json(report);
        else show(shell, report);
      } catch (error) {
        progress.done();
        if (stop.signal.aborted) return shell.exit(EXIT.interrupted);
        if (background) await reportFailure(directory, modelId(model), error);
        throw error;
      } finally {
        await driver.close();
      }
    });
}

function endWithStdin(): void {
  process.stdin.resume().on('close', () => process.exit(EXIT.interrupted));
  // What only waits for its end keeps no program alive.
  process.stdin.unref();
}

type Event = Readonly<Record<string, unknown>>;

// Open for a moment only: nothing holds the mount while a model thinks.
async function appendEvents(directory: string, events: readonly Event[]): Promise<void> {
  const journals = await JournalAppender.open(directory);
  try {
    await journals.append({ file: 'events', bytes: Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join('')) });
  } finally {
    await journals.close();
  }
}

/** CMP-6: nobody watches a run of the daemon's: why it failed is in the session's events too. */
async function reportFailure(directory: string, model: string, thrown: unknown): Promise<void> {
  const error = asCtxError(thrown);
  const code = error instanceof CtxError ? error.code : 'compact.failed';
  const reason = error instanceof CtxError ? error.describe() : String(error);
  // The failure itself is what is told; a journal that takes no line has its own.
  await appendEvents(directory, [{ type: COMPACT_FAILED_EVENT, code, reason: reason.slice(0, 500), model }]).catch(() => undefined);
}

/** Off, and sending history elsewhere, are the session's own choices. */
function refuse(policy: Policy, remote: boolean, where: string): void {
  if (policy.compact.mode === 'off')
    throw new CtxError('compact.off', 'EPERM', 'its policy says compact.mode: off', {
      where,
      next: 'set compact: {mode: manual} in context/policy.yaml',
    });
  if (remote && !policy.remote.allow)
    throw new CtxError('compact.remote', 'EPERM', 'its policy allows no server to read its history', {
      where,
      next: 'set remote: {allow: true} in context/policy.yaml, or use a model file',
    });
}

function show(shell: Shell, { blocks, merges, recorded, dropped, waiting, left, notes }: CompactReport): void {
  const { terminal } = shell;
  const { facts, decisions, todo, summary } = recorded;
  terminal.line(
    `${facts} facts, ${decisions} decisions, ${todo} todos${summary ? ', a new summary' : ''}; ${blocks} blocks read, ${merges} summaries joined`,
  );
  for (const { what, reason } of dropped) terminal.note(`ctx: dropped: ${what}: ${reason}`);
  for (const note of notes) terminal.note(`ctx: ${note}`);
  if (left > 0) terminal.note(`ctx: ${left} messages are left for the next run`);
  if (waiting > 0) terminal.note(`ctx: ${waiting} messages wait for a block of 64 (--all takes them now)`);
}
