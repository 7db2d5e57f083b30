// ctx compact: a model sums up a session's history; what it writes becomes events that the derived files fold in.
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';

import { CtxError } from '../abi/errors.ts';
import { digestOf } from '../abi/digest.ts';
import { viewMessage } from '../abi/records.ts';
import { parsePolicy, type Policy } from '../context/policy.ts';
import type { CompactMessage } from '../engine/compact/blocks.ts';
import { compact, type CompactReport } from '../engine/compact/compact.ts';
import { modelId } from '../engine/models.ts';
import { EXIT } from './exit-codes.ts';
import { chosenModel, driverFor } from './models-on-mount.ts';
import { requireSession } from './mounted.ts';
import { JournalAppender } from './session-target.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly model?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

export function registerCompact(program: Command, shell: Shell): void {
  program
    .command('compact')
    .description('have a model record facts, decisions, todos and a summary; history is not touched')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .option('--model <name>', 'PROVIDER/NAME (default: compact.model of policy.yaml, then the default model)')
    .option('--all', 'also the newest messages, which do not fill a block of 64 yet')
    .option('--json', 'print a report')
    .addHelpText(
      'after',
      examples(['ctx compact coder/default', 'what is new in whole blocks'], ['ctx compact coder/default --all', 'everything so far']),
    )
    .action(async (reference: string, options: Options) => {
      const { directory, mounted } = await requireSession(shell, reference);
      const policy = parsePolicy(await readFile(join(directory, 'context/policy.yaml'), 'utf8'));
      const model = await chosenModel(mounted, options.model ?? policy.compact.model);
      refuse(policy, model.driver !== 'llama', reference);
      const driver = driverFor(shell, model);
      const journals = await JournalAppender.open(directory);
      const progress = shell.terminal.progress();
      const stop = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
      try {
        const report = await compact({
          driver,
          model: modelId(model),
          messages: await readMessages(join(directory, 'messages.jsonl')),
          events: await readEvents(join(directory, 'events.jsonl')),
          maxInputTokens: policy.compact.maxInputTokens,
          open: options.all === true,
          append: (events) =>
            journals.append({ file: 'events', bytes: Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join('')) }),
          onProgress: (done, total) => progress.update(`${done} of ${total} messages`),
          signal: stop.signal,
        });
        progress.done();
        if (options.json === true) shell.terminal.json(report);
        else show(shell, report);
      } catch (error) {
        progress.done();
        if (stop.signal.aborted) shell.exit(EXIT.interrupted);
        else throw error;
      } finally {
        await driver.close();
        await journals.close();
      }
    });
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

async function* lines(path: string): AsyncGenerator<string> {
  yield* createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Infinity });
}

async function readMessages(path: string): Promise<readonly CompactMessage[]> {
  const messages: CompactMessage[] = [];
  for await (const raw of lines(path)) {
    const view = viewMessage(JSON.parse(raw) as Record<string, unknown>);
    const calls = view.toolCalls.map(({ name, arguments: given }) => `[call ${name} ${given}]`);
    const results = view.toolResults.map(({ text }) => text);
    const text = [view.text, ...calls, ...results].filter((piece) => piece !== '').join('\n');
    messages.push({ line: messages.length + 1, role: view.role, text, digest: digestOf(raw) });
  }
  return messages;
}

/** Only what compaction itself and contributors wrote. */
async function readEvents(path: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const events: Readonly<Record<string, unknown>>[] = [];
  for await (const raw of lines(path)) if (raw.includes('"context.')) events.push(JSON.parse(raw) as Readonly<Record<string, unknown>>);
  return events;
}

function show(shell: Shell, { blocks, merges, recorded, dropped, waiting, notes }: CompactReport): void {
  const { terminal } = shell;
  const { facts, decisions, todo, summary } = recorded;
  terminal.line(
    `${facts} facts, ${decisions} decisions, ${todo} todos${summary ? ', a new summary' : ''}; ${blocks} blocks read, ${merges} summaries joined`,
  );
  for (const { what, reason } of dropped) terminal.note(`ctx: dropped: ${what}: ${reason}`);
  for (const note of notes) terminal.note(`ctx: ${note}`);
  if (waiting > 0) terminal.note(`ctx: ${waiting} messages wait for a block of 64 (--all takes them now)`);
}
