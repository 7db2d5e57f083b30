// ctx follow: transcripts that other agents are writing now, into sessions, as they grow. Ends on a signal.
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { access } from 'node:fs/promises';
import type { Command } from 'commander';

import type { Format, JournalImportState } from '../interop/index.ts';
import { asCtxError, describeFailure, usageError } from './errors.ts';
import { FORMAT_NAMES, requireFormat } from './import.ts';
import { requireMount, type Mounted } from './mounted.ts';
import { defaultReference, JournalAppender, openTarget } from './session-target.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly session?: string;
  readonly from?: string;
  readonly mine?: boolean;
  readonly quiet?: boolean;
}

const OWN_PLACES = ['.claude/projects', '.codex/sessions', '.gemini/tmp', '.pi/agent/sessions'];

export function registerFollow(program: Command, shell: Shell): void {
  program
    .command('follow')
    .description('import transcripts and keep importing what is added to them, until interrupted')
    .argument('[path...]', 'transcripts, or directories of them')
    .option('--session <session>', 'where to (default: one session a transcript, AGENT is its format)')
    .option('--from <format>', `format instead of detecting it: ${FORMAT_NAMES}`)
    .option('--mine', 'the places where Claude Code, Codex, Gemini CLI and pi keep sessions')
    .option('--quiet', 'say nothing about what arrives')
    .addHelpText(
      'after',
      examples(['ctx follow --mine', 'every own session, live'], ['ctx follow run.jsonl --session coder/live', 'one file']),
    )
    .action(async (given: readonly string[], options: Options) => {
      await requireFormat(options.from);
      const paths = given.map((path) => resolve(path));
      for (const path of paths) {
        await access(path).catch((error: unknown) => {
          throw asCtxError(error, path);
        });
      }
      if (options.mine === true) paths.push(...(await ownPlaces()));
      if (paths.length === 0) throw usageError('nothing to follow', 'name files or directories, or use --mine');
      const mounted = await requireMount(shell);
      await followInto(shell, mounted, paths, options);
    });
}

async function ownPlaces(): Promise<readonly string[]> {
  const found: string[] = [];
  for (const place of OWN_PLACES.map((name) => join(homedir(), name))) {
    if (
      await access(place).then(
        () => true,
        () => false,
      )
    )
      found.push(place);
  }
  return found;
}

interface Open {
  readonly reference: string;
  readonly journals: JournalAppender;
  readonly known: JournalImportState;
}

async function followInto(shell: Shell, mounted: Mounted, paths: readonly string[], options: Options): Promise<void> {
  const interop = await import('../interop/index.ts');
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  const sessions = new Map<string, Open>();
  const byPath = new Map<string, Open>();
  const from = options.from === undefined ? {} : { from: options.from as Format };

  const sessionOf = async (path: string): Promise<Open> => {
    const ready = byPath.get(path);
    if (ready !== undefined) return ready;
    const head = await interop.readHead(interop.fileSource(path));
    const about = interop.describeSource(head.bytes, path, { ...from, complete: head.complete });
    const reference = options.session ?? defaultReference(about, path);
    let open = sessions.get(reference);
    if (open === undefined) {
      const target = await openTarget(mounted, reference, about);
      const known = await interop.readImportState(
        ...['messages.jsonl', 'events.jsonl'].map((name) => interop.fileLines(join(target.directory, name))),
      );
      open = { reference, known, journals: await JournalAppender.open(target.directory) };
      sessions.set(reference, open);
    }
    byPath.set(path, open);
    return open;
  };

  try {
    await interop.follow(
      paths,
      async (path, lines) => {
        const { journals, reference } = await sessionOf(path);
        for await (const batch of interop.batchLines(lines)) await journals.append(batch);
        const messages = lines.filter((line) => line.file === 'messages').length;
        if (options.quiet !== true && messages > 0) shell.terminal.line(`${reference}\t${messages} messages`);
      },
      stop.signal,
      {
        ...from,
        stateOf: async (path) => (await sessionOf(path)).known,
        accepts: (path) =>
          (options.mine === true ? interop.isOwnTranscript(homedir(), path) : undefined) ?? /\.(jsonl|json|traj)$/.test(path),
        onError: (path, error) => shell.terminal.note(`ctx: ${path}: ${describeFailure(error, false)}`),
        onReady: () => shell.terminal.note('ctx: following; interrupt to stop'),
      },
    );
  } finally {
    for (const { journals } of sessions.values()) await journals.close();
  }
}
