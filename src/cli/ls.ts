// ctx ls: sessions, newest first.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';

import { isObjectName, sessionRelativePath, type SessionOwner, type SessionPath } from '../abi/names.ts';
import { usageError } from './errors.ts';
import { agoWords, sizeWords } from './figures.ts';
import { requireMount, type Mounted } from './mounted.ts';
import { referenceOf } from './reference.ts';
import { examples, type Shell } from './shell.ts';

interface Row {
  readonly reference: string;
  readonly path: string;
  readonly state: string;
  readonly updatedMs: number;
  readonly historyBytes: number;
}

export function registerLs(program: Command, shell: Shell): void {
  program
    .command('ls')
    .description('list sessions, newest first')
    .argument('[agent]', 'only this agent')
    .option('--names', 'print references only')
    .option('--json', 'print an array')
    .addHelpText(
      'after',
      examples(
        ['ctx ls', 'all sessions of this user and the shared ones'],
        ['ctx ls coder', 'one agent'],
        ['ctx ls --names | head -1', 'the newest'],
      ),
    )
    .action(async (agent: string | undefined, options: { names?: boolean; json?: boolean }) => {
      if (agent !== undefined && !isObjectName(agent)) throw usageError(`${JSON.stringify(agent)} is not an agent name`, 'run: ctx ls');
      const mounted = await requireMount(shell);
      const rows = await sessions(mounted, agent);
      const { terminal } = shell;
      if (options.json === true) terminal.json(rows.map(shown));
      else if (options.names === true) for (const row of rows) terminal.line(row.reference);
      else table(shell, rows, agent);
    });
}

/** Every session this user may see. Costs one stat and one small read a session. */
export async function sessions(mounted: Mounted, onlyAgent?: string): Promise<readonly Row[]> {
  const owners: SessionOwner[] = [{ home: mounted.uid }];
  for (const name of await names(join(mounted.root, 'shared'))) owners.push({ shared: name });
  const rows: Row[] = [];
  for (const owner of owners) {
    const top = join(mounted.root, 'home' in owner ? `home/${owner.home}` : `shared/${owner.shared}`, 'agent');
    for (const agent of onlyAgent === undefined ? await names(top) : [onlyAgent]) {
      for (const session of await names(join(top, agent, 'session'))) {
        if (session === 'index') continue;
        const row = await describe({ owner, agent, session }, mounted);
        if (row !== undefined) rows.push(row);
      }
    }
  }
  return rows.sort((a, b) => b.updatedMs - a.updatedMs || (a.path < b.path ? -1 : 1));
}

async function describe(session: SessionPath, mounted: Mounted): Promise<Row | undefined> {
  const path = sessionRelativePath(session);
  const directory = join(mounted.root, path);
  try {
    const [messages, state] = await Promise.all([stat(join(directory, 'messages.jsonl')), readFile(join(directory, 'state'), 'utf8')]);
    return {
      reference: referenceOf(session, mounted.uid),
      path,
      state: state.trim(),
      updatedMs: Math.trunc(messages.mtimeMs),
      historyBytes: messages.size,
    };
  } catch (error) {
    // A session that goes away while it is listed is not an error.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function names(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter(isObjectName);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return [];
    throw error;
  }
}

function shown({ reference, path, state, updatedMs, historyBytes }: Row): Record<string, unknown> {
  return { reference, path, state, updated: new Date(updatedMs).toISOString(), history_bytes: historyBytes };
}

function table(shell: Shell, rows: readonly Row[], agent: string | undefined): void {
  const { terminal } = shell;
  if (rows.length === 0) {
    const of = agent === undefined ? 'no sessions yet; run:' : `no sessions of ${agent}; run: ctx ls, or`;
    terminal.note(`${of} ctx new ${agent ?? 'AGENT'}/SESSION, or ctx import FILE --session ${agent ?? 'AGENT'}/SESSION`);
    return;
  }
  const width = Math.max(7, ...rows.map((row) => row.reference.length));
  terminal.line(terminal.style('bold', `${'SESSION'.padEnd(width)}  STATE      HISTORY  UPDATED`));
  for (const row of rows) {
    const state = row.state.padEnd(9);
    const shown = row.state === 'active' ? terminal.style('green', state) : row.state === 'error' ? terminal.style('red', state) : state;
    terminal.line(
      `${row.reference.padEnd(width)}  ${shown}  ${sizeWords(row.historyBytes).padStart(8)}  ${agoWords(Date.now() - row.updatedMs)}`,
    );
  }
}
