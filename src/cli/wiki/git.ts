// git, as a program of its own: what it says about a wiki, and commits that say who made them.
import { runCommand, type CommandResult } from '../../../mount/command.ts';
import { CtxError } from '../../abi/errors.ts';
import { QUEUE_PATH } from '../../wiki/queue.ts';

const LIMIT_MS = 30_000;
/** Of the wiki; the queue is nothing that a clone is to have. */
const EVERYTHING: readonly string[] = ['--', '.', `:(exclude)${QUEUE_PATH}`];

export interface GitState {
  readonly head: string | undefined;
  readonly branch: string;
  /** Paths from the root of the wiki that differ from the last commit. */
  readonly changed: readonly string[];
}

/** Undefined when there is no git, or the directory is in no repository. */
export async function gitState(root: string): Promise<GitState | undefined> {
  const status = await git(root, ['status', '--porcelain=v1', '-z', '--no-renames', '--untracked-files=all', ...EVERYTHING]);
  if (status === undefined || status.status !== 0) return undefined;
  const prefix = (await git(root, ['rev-parse', '--show-prefix']))?.stdout.trim() ?? '';
  const head = await git(root, ['rev-parse', '--short', 'HEAD']);
  const branch = await git(root, ['symbolic-ref', '--short', '-q', 'HEAD']);
  const changed: string[] = [];
  const parts = status.stdout.split('\0');
  for (const part of parts)
    if (part.length >= 4) changed.push(part.slice(3).startsWith(prefix) ? part.slice(3 + prefix.length) : part.slice(3));
  return { head: head?.status === 0 ? head.stdout.trim() : undefined, branch: branch?.stdout.trim() ?? '', changed };
}

/** A file as the last commit has it; undefined when it has none. */
export async function gitText(root: string, path: string): Promise<string | undefined> {
  const shown = await git(root, ['show', `HEAD:./${path}`]);
  return shown?.status === 0 ? shown.stdout : undefined;
}

/** A new repository; undefined when git is not installed. */
export async function gitInit(root: string): Promise<boolean> {
  const made = await git(root, ['init', '-q']);
  if (made === undefined) return false;
  if (made.status !== 0) throw new CtxError('wiki.git', 'EIO', `git init failed: ${made.stderr.trim()}`, { where: root });
  return true;
}

/** `paths`: not all that {@link gitState} has as changed, but these, which are there. */
export async function gitCommit(root: string, message: string, paths?: readonly string[]): Promise<boolean> {
  const what = paths === undefined ? EVERYTHING : ['--', ...paths];
  // It adds nothing and fails where it is told to leave out what it ignores.
  const ignored = (await git(root, ['check-ignore', '--quiet', QUEUE_PATH]))?.status === 0;
  const added = await git(root, ['add', '--all', ...(ignored && paths === undefined ? ['--', '.'] : what)]);
  if (added === undefined || added.status !== 0) return false;
  const known = (await git(root, ['config', 'user.email']))?.stdout.trim() ?? '';
  const identity = known === '' ? ['-c', 'user.name=ctx', '-c', 'user.email=ctx@localhost'] : [];
  const made = await git(root, [...identity, 'commit', '-q', '-m', message, ...what]);
  return made?.status === 0;
}

async function git(root: string, args: readonly string[]): Promise<CommandResult | undefined> {
  const result = await runCommand('git', ['-C', root, ...args], { timeoutMs: LIMIT_MS });
  return result.missing ? undefined : result;
}
