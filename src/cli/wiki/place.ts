// Which wiki a verb is about, and what it finds there.
import { existsSync, lstatSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../../abi/errors.ts';
import { triaged, type Linted } from '../../wiki/triaged.ts';
import type { Uncommitted } from '../../wiki/lint-input.ts';
import { LogMentions, parseLog } from '../../wiki/log.ts';
import { outsideFindings } from '../../wiki/lint-outside.ts';
import { WikiDirectory } from '../../wiki/wiki-directory.ts';
import type { Shell } from '../shell.ts';
import { gitState, gitText } from './git.ts';

const MARKS = ['.wiki/config.yaml', 'INDEX.md', 'index.md'];

/** The directory named, else the nearest one above that is a wiki, else `wiki/` here, else here. */
export function wikiRoot(given: string | undefined): string {
  if (given !== undefined) {
    if (statSync(given, { throwIfNoEntry: false })?.isDirectory() === true) return resolve(given);
    throw new CtxError('wiki.root', existsSync(given) ? 'ENOTDIR' : 'ENOENT', existsSync(given) ? 'is not a directory' : 'does not exist', {
      where: given,
      next: 'name the directory of the wiki',
    });
  }
  for (let place = process.cwd(); ; place = dirname(place)) {
    if (MARKS.some((mark) => existsSync(join(place, mark)))) return place;
    if (place === dirname(place)) break;
  }
  return existsSync(resolve('wiki', 'INDEX.md')) ? resolve('wiki') : process.cwd();
}

/** As {@link wikiRoot}, and it must be a wiki: somebody is about to write to it. */
export function requireWiki(given: string | undefined): WikiDirectory {
  const root = wikiRoot(given);
  if (!MARKS.some((mark) => existsSync(join(root, mark))))
    throw new CtxError('wiki.none', 'ENOENT', 'is no wiki', { where: root, next: 'run: ctx wiki init, or ctx wiki adopt' });
  return WikiDirectory.open(root);
}

/** `2026-04-20`, in UTC; `CTX_TODAY` holds it still. */
export function today(shell: Shell): string {
  const given = shell.env['CTX_TODAY'];
  return given !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(given) ? given : new Date().toISOString().slice(0, 10);
}

/** Under `CTX_TODAY` the day is that one. */
export function now(shell: Shell): string {
  return `${today(shell)}T${new Date().toISOString().slice(11)}`;
}

export function home(shell: Shell): string {
  return shell.env['HOME'] ?? '/';
}

/** What changed since the last commit, and what the log says since; undefined without git, and in what is no wiki. */
async function uncommitted(wiki: WikiDirectory): Promise<Uncommitted | undefined> {
  const log = wiki.logPath();
  const state = log === undefined ? undefined : await gitState(wiki.root);
  if (log === undefined || state?.head === undefined) return undefined;
  const committed = new Set(parseLog((await gitText(wiki.root, log)) ?? '', log).map(({ text }) => text.trim()));
  const since = parseLog(wiki.text(log) ?? '', log).filter(({ text }) => !committed.has(text.trim()));
  const loggedMs = modifiedMs(wiki.root, log) + LOG_SLACK_MS;
  const later = state.changed.filter((path) => modifiedMs(wiki.root, path) > loggedMs);
  return { paths: state.changed, later: new Set(later), mentions: new LogMentions(since) };
}

/** What is written in one go (a checkout, a copy) has times this close. */
const LOG_SLACK_MS = 2000;

function modifiedMs(root: string, path: string): number {
  return lstatSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

export async function lintWiki(shell: Shell, wiki: WikiDirectory): Promise<Linted> {
  const day = today(shell);
  const outside = outsideFindings(wiki, { home: home(shell), nowMs: Date.parse(now(shell)), today: day });
  const changes = await uncommitted(wiki);
  const options = { today: day, outside: true, outsideFindings: outside, ...(changes === undefined ? {} : { uncommitted: changes }) };
  return triaged(wiki, wiki.lint(options), day);
}

/** Who answers and files, as records name them. */
export function author(shell: Shell): string {
  return shell.env['USER'] ?? shell.env['LOGNAME'] ?? `uid ${shell.uid}`;
}

/** Text of others on a terminal: no control characters but the ones we write. */
export function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (sign) => `\\x${sign.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

export type RegisterWikiVerb = (wiki: Command, shell: Shell) => void;
