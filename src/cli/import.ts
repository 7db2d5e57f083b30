// ctx import: other agents' transcripts into sessions, whole and without repeating what is there.
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../abi/errors.ts';
import type { Format, JournalImportState, SourceDescription, TranscriptSource } from '../interop/index.ts';
import { asCtxError, usageError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import type { ImageImportOptions } from './image-import.ts';
import { requireMount, type Mounted } from './mounted.ts';
import { defaultReference, JournalAppender, openTarget, type SessionTarget } from './session-target.ts';
import { examples, type Shell } from './shell.ts';

interface Options extends ImageImportOptions {
  readonly session?: string;
  readonly from?: string;
  readonly episode?: string;
  readonly split?: boolean;
  readonly mine?: boolean;
  readonly list?: boolean;
}

interface Outcome {
  readonly file: string;
  readonly format: Format;
  readonly source: string;
  readonly session: string;
  readonly directory: string;
  readonly messages: number;
  readonly events: number;
  readonly created: boolean;
}

export const FORMAT_NAMES = 'claude-code, codex, gemini, openai, swe-agent, pi, sharegpt, atif, text';

export function registerImport(program: Command, shell: Shell): void {
  program
    .command('import')
    .description('bring transcripts of other agents in, or images that ctx export wrote; again adds only what is new')
    .argument('[file...]', 'transcripts, directories of them, or image archives; - is a transcript on stdin')
    .option('--session <session>', 'where to (default: one session a transcript, AGENT is its format)')
    .option('--from <format>', `format instead of detecting it: ${FORMAT_NAMES}`)
    .option('--episode <n>', 'one conversation of a file that holds many (from 0)')
    .option('--split', 'each conversation of such a file into a session of its own: SESSION-0, SESSION-1, …')
    .option('--mine', "this user's own transcripts (Claude Code, Codex, Gemini CLI, pi)")
    .option('--list', 'say what would be imported, and where to')
    .option('--as <name>', 'NAME[:TAG] of the image in an archive')
    .option('--identity <file...>', 'age identities that open an encrypted archive')
    .option('--passphrase-file <file>', 'the passphrase that opens it (default: CTX_PASSPHRASE, or asked for)')
    .option('--json', 'print what was imported')
    .addHelpText(
      'after',
      examples(
        ['ctx import chat.json --session coder/old', 'the format is found in the content'],
        ['ctx import --mine', 'all own transcripts, a session each'],
        ['ctx import results.json --split --session tau/airline', 'a benchmark: one session an episode'],
        ['ctx import review.tar', 'images from a file of ctx export'],
      ),
    )
    .action(async (files: readonly string[], options: Options) => {
      await requireFormat(options.from);
      const episode = options.episode === undefined ? undefined : Number(options.episode);
      if (episode !== undefined && !(Number.isInteger(episode) && episode >= 0))
        throw usageError(`--episode ${options.episode ?? ''} is not a number from 0`);
      if (options.split === true && options.session === undefined) throw usageError('--split needs --session', 'its name gets -0, -1, …');
      const { archives, others } = await sorted(files, options);
      const images = await importArchives(shell, archives, options);
      if (archives.length > 0 && others.length === 0 && options.mine !== true)
        return options.json === true ? shell.terminal.json(images) : undefined;
      const paths = await transcriptPaths(others, options);
      if (paths.length === 0) throw nothingFound(files, options);
      const outcomes: Outcome[] = [];
      let failures = 0;
      // --list plans and stops, so that it also works before anything is mounted.
      const mounted = options.list === true ? undefined : await requireMount(shell);
      const states = new Map<string, JournalImportState>();
      for (const path of paths) {
        try {
          const run = { shell, mounted, path, options, states, ...(episode === undefined ? {} : { episode }) };
          outcomes.push(...(await importOne(run)));
        } catch (error) {
          if (paths.length === 1) throw asCtxError(error, path);
          failures++;
          const known = asCtxError(error, path);
          shell.terminal.note(`ctx: ${known instanceof CtxError ? known.describe() : String(known)}`);
        }
      }
      if (options.json === true) shell.terminal.json([...images, ...outcomes]);
      else for (const outcome of outcomes) shell.terminal.line(describe(outcome, options.list === true));
      if (failures > 0) shell.exit(EXIT.failed);
    });
}

/** Archives of images apart from transcripts; `--from` says that nothing is an archive. */
async function sorted(
  files: readonly string[],
  options: Options,
): Promise<{ readonly archives: readonly string[]; readonly others: readonly string[] }> {
  if (options.from !== undefined || options.session !== undefined || options.list === true) return { archives: [], others: files };
  const { isArchive } = await import('./image-import.ts');
  const archives = await Promise.all(files.map(async (file) => file !== '-' && (await isArchive(resolve(file)))));
  return { archives: files.filter((_file, at) => archives[at]), others: files.filter((_file, at) => archives[at] !== true) };
}

/** One after another: what the first brings in stays when the second is refused. */
async function importArchives(shell: Shell, archives: readonly string[], options: Options): Promise<readonly object[]> {
  const done: object[] = [];
  if (archives.length === 0) return done;
  const { describeImported, importImages } = await import('./image-import.ts');
  for (const archive of archives)
    for (const imported of await importImages(shell, resolve(archive), options)) {
      done.push({ image: imported.key, digest: imported.digest, replaces: imported.replaces ?? null, file: archive });
      if (options.json !== true) shell.terminal.line(describeImported(imported));
    }
  return done;
}

/** `--from` names a format that there is. */
export async function requireFormat(from: string | undefined): Promise<void> {
  if (from === undefined) return;
  const { FORMATS } = await import('../interop/index.ts');
  if (!(FORMATS as readonly string[]).includes(from)) throw usageError(`${from} is not a format`, `use one of ${FORMAT_NAMES}`);
}

function nothingFound(files: readonly string[], options: Options): CtxError {
  if (files.length === 0 && options.mine !== true) return usageError('nothing to import', 'name files, or use --mine');
  const where = files.length > 0 ? files.join(', ') : 'the places of Claude Code, Codex, Gemini CLI and pi';
  return new CtxError('import.none', 'ENOENT', 'hold no transcripts (.jsonl, .json, .traj)', { where, next: 'name the files themselves' });
}

function describe(outcome: Outcome, listed: boolean): string {
  if (listed) return `${outcome.file}\t${outcome.format}\t${outcome.session}`;
  const added = outcome.messages + outcome.events === 0 ? 'nothing new' : `${outcome.messages} messages, ${outcome.events} events`;
  return `${outcome.session}\t${added}\t${outcome.format}\t${outcome.file}`;
}

async function transcriptPaths(files: readonly string[], options: Options): Promise<readonly string[]> {
  const paths: string[] = [];
  if (options.mine === true) {
    const { discoverTranscripts } = await import('../interop/index.ts');
    paths.push(...(await discoverTranscripts(homedir())).map((found) => found.path));
  }
  for (const file of files) {
    if (file === '-') {
      paths.push(file);
      continue;
    }
    const path = resolve(file);
    const facts = await stat(path).catch((error: unknown) => {
      throw asCtxError(error, file);
    });
    if (!facts.isDirectory()) paths.push(path);
    else
      for (const name of (await readdir(path, { recursive: true })).sort())
        if (/\.(jsonl|json|traj)$/.test(name) && !(await isEmpty(join(path, name)))) paths.push(join(path, name));
  }
  return paths;
}

/** What an agent has not written to yet; one that is named is an error instead. */
async function isEmpty(path: string): Promise<boolean> {
  const facts = await stat(path).catch(() => undefined);
  return facts?.isFile() === true && facts.size === 0;
}

interface Run {
  readonly shell: Shell;
  readonly mounted: Mounted | undefined;
  readonly path: string;
  readonly options: Options;
  readonly episode?: number;
  /** What each session holds, read once however many transcripts go there. */
  readonly states: Map<string, JournalImportState>;
}

async function importOne(run: Run): Promise<readonly Outcome[]> {
  const { describeSource, fileSource, readHead } = await import('../interop/index.ts');
  const source =
    run.path === '-'
      ? await pipeSource(process.stdin)
      : (await isPipe(run.path))
        ? await pipeSource(createReadStream(run.path))
        : fileSource(run.path);
  const head = await readHead(source);
  if (head.bytes.length === 0) throw new CtxError('import.empty', 'EINVAL', 'is empty; nothing was imported', { where: source.path });
  const from = run.options.from === undefined ? {} : { from: run.options.from as Format };
  const about = describeSource(head.bytes, source.path, { ...from, complete: head.complete });
  const reference = run.options.session ?? defaultReference(about, run.path);
  if (run.mounted === undefined) {
    return [
      {
        file: run.path,
        format: about.format,
        source: about.source,
        session: reference,
        directory: '',
        messages: 0,
        events: 0,
        created: false,
      },
    ];
  }
  if (run.options.split !== true) return [await importInto(run, run.mounted, source, about, reference, run.episode)];
  const outcomes: Outcome[] = [];
  for (let episode = 0, count = await episodes(source, about); episode < count; episode++) {
    outcomes.push(await importInto(run, run.mounted, source, about, `${reference}-${episode}`, episode));
  }
  return outcomes;
}

async function importInto(
  run: Run,
  mounted: Mounted,
  source: TranscriptSource,
  about: SourceDescription,
  reference: string,
  episode?: number,
): Promise<Outcome> {
  const { batchLines, fileLines, planImport, readImportState } = await import('../interop/index.ts');
  const target: SessionTarget = await openTarget(mounted, reference, about);
  let known = run.states.get(target.path);
  if (known === undefined) {
    const files = target.created ? [] : ['messages.jsonl', 'events.jsonl'];
    known = await readImportState(...files.map((name) => fileLines(join(target.directory, name))));
    run.states.set(target.path, known);
  }
  const counts = { messages: 0, events: 0 };
  const progress = run.shell.terminal.progress();
  const journals = await JournalAppender.open(target.directory);
  try {
    const from = run.options.from === undefined ? {} : { from: run.options.from as Format };
    for await (const batch of batchLines(planImport(source, known, { ...from, ...(episode === undefined ? {} : { episode }) }))) {
      await journals.append(batch);
      counts[batch.file] += batch.lines;
      progress.update(`${reference}: ${counts.messages} messages`);
    }
    await journals.sync();
  } finally {
    progress.done();
    await journals.close();
  }
  return {
    file: run.path,
    format: about.format,
    source: about.source,
    session: reference,
    directory: target.directory,
    ...counts,
    created: target.created,
  };
}

async function episodes(source: TranscriptSource, about: SourceDescription): Promise<number> {
  const { episodeCount } = await import('../interop/index.ts');
  if (about.layout !== 'document')
    throw new CtxError('interop.one_conversation', 'EINVAL', 'holds one conversation', { where: source.path, next: 'leave --split out' });
  const parts: Uint8Array[] = [];
  for await (const part of source.open()) parts.push(part);
  return episodeCount(Buffer.concat(parts).toString('utf8'), about.format);
}

/** Read whole: what cannot be read twice cannot be checked against what was imported before. */
/** A FIFO, as a shell's `<(command)` is: read once, from its start. */
async function isPipe(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFIFO() === true;
}

async function pipeSource(pipe: AsyncIterable<unknown>): Promise<TranscriptSource> {
  const { bytesSource } = await import('../interop/index.ts');
  const parts: Buffer[] = [];
  for await (const part of pipe as AsyncIterable<Buffer>) parts.push(part);
  return bytesSource('stdin', Buffer.concat(parts));
}
