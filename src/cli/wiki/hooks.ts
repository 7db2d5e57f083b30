// ctx wiki hooks: for agents outside the mount: hooks and a skill for Claude Code, which call the same code as every other verb.
import { join, resolve } from 'node:path';
import type { Command } from 'commander';

import { HOOK_EVENTS, hookAnswer, skill, SKILL_BEGIN, withHooks, withoutHooks, type HookEvent } from '../../wiki/agent-hooks.ts';
import { heartbeatOf, queueState } from '../../wiki/lint-time.ts';
import { changeName } from '../../wiki/queue.ts';
import { usageError } from '../errors.ts';
import { examples, type Shell } from '../shell.ts';
import { changeSettings, removeSkill, writeSkill } from './hook-settings.ts';
import { recordOutside } from './outside-changes.ts';
import { home, lintWiki, plain, requireWiki, today } from './place.ts';

export function registerHooks(wiki: Command, shell: Shell): void {
  const hooks = wiki.command('hooks').description('hooks for agents outside the mount: install, uninstall, run');
  hooks.addHelpText(
    'after',
    examples(
      ['ctx wiki hooks install claude-code', 'in the project here'],
      ['ctx wiki hooks install claude-code --user', 'for every project'],
      ['ctx wiki hooks uninstall claude-code', 'ours go, those of others stay'],
    ),
  );
  hooks
    .command('install')
    .description('write SessionStart, Stop and PreCompact hooks and a skill')
    .argument('<agent>', 'claude-code')
    .option('-d, --dir <dir>', 'the wiki (default: the one here)')
    .option('--project <dir>', 'where the project is', '.')
    .option('--user', 'in the home directory instead')
    .addHelpText('after', examples(['ctx wiki hooks install claude-code -d ~/AI/wiki', 'a project that uses a wiki elsewhere']))
    .action((agent: string, options: Place & { dir?: string }) => {
      const { root } = requireWiki(options.dir);
      const directory = directoryOf(shell, agent, options);
      for (const path of [
        ...changeSettings(directory, (settings) => withHooks(settings, (event) => `ctx wiki hooks run ${event} -d ${quoted(root)}`)),
        ...writeSkill(directory, skill(root)),
      ])
        shell.terminal.line(plain(path));
      shell.terminal.note(`the same as tools of an agent: claude mcp add ctx-wiki -- ctx wiki mcp ${quoted(root)}`);
    });
  hooks
    .command('uninstall')
    .description('take our hooks and the skill away')
    .argument('<agent>', 'claude-code')
    .option('--project <dir>', 'where the project is', '.')
    .option('--user', 'in the home directory instead')
    .addHelpText('after', examples(['ctx wiki hooks uninstall claude-code --user', 'as they were installed']))
    .action((agent: string, options: Place) => {
      const directory = directoryOf(shell, agent, options);
      const changed = [...changeSettings(directory, withoutHooks), ...removeSkill(directory, SKILL_BEGIN)];
      for (const path of changed) shell.terminal.line(plain(path));
      if (changed.length === 0) shell.terminal.note(`${plain(directory)} has none of ours`);
    });
  hooks
    .command('run')
    .description('answer a hook: its input on stdin, the answer on stdout')
    .argument('<event>', HOOK_EVENTS.join(', '))
    .option('-d, --dir <dir>', 'the wiki (default: the one here)')
    .addHelpText('after', examples(['ctx wiki hooks run SessionStart -d ~/AI/wiki </dev/null', 'what a session is told']))
    .action(async (event: string, options: { dir?: string }) => {
      if (!(HOOK_EVENTS as readonly string[]).includes(event)) throw usageError(`${event} is no event`, `use ${HOOK_EVENTS.join(', ')}`);
      const given = await standardInput();
      const place = requireWiki(options.dir);
      // What is found when a session begins is not its work.
      const writer = event === 'SessionStart' ? undefined : { uid: shell.uid, pid: 0, ...sessionOf(given) };
      try {
        await recordOutside(place, writer, today(shell));
      } catch (error) {
        // An agent is never kept from its work by a queue that cannot be written.
        shell.terminal.note(`the update queue was not written: ${plain(String(error))}`);
      }
      const input = place.lintInput({ today: today(shell) });
      const [schema] = place.index.special('schema').filter(({ facts }) => facts.sketch.words > 30);
      const answer = hookAnswer(
        event as HookEvent,
        {
          root: place.root,
          schema: schema === undefined ? '' : (place.text(schema.path) ?? ''),
          index: input.indexText ?? '',
          lastLint: heartbeatOf(input.indexText ?? ''),
          gaps: (await lintWiki(shell, place)).open.filter(({ rule }) => rule === 'log-gap'),
          unlogged: queueState(input).waiting.map(changeName),
        },
        {
          stopHookActive: (given as { stop_hook_active?: unknown }).stop_hook_active === true,
          compacted: (given as { source?: unknown }).source === 'compact',
        },
      );
      shell.terminal.line(JSON.stringify(answer));
    });
}

interface Place {
  readonly project: string;
  readonly user?: boolean;
}

function directoryOf(shell: Shell, agent: string, { project, user }: Place): string {
  if (agent !== 'claude-code') throw usageError(`${agent} has no hooks that are known`, 'use claude-code');
  return join(user === true ? home(shell) : resolve(project), '.claude');
}

/** The session as the agent names it. */
function sessionOf(given: object): { readonly session?: string } {
  const id = (given as { session_id?: unknown }).session_id;
  return typeof id === 'string' && /^[\w.-]{1,64}$/.test(id) ? { session: `claude-code/${id}` } : {};
}

/** An agent always sends an object; whatever else stands there says nothing. */
async function standardInput(): Promise<object> {
  if (process.stdin.isTTY === true) return {};
  const parts: Buffer[] = [];
  for await (const part of process.stdin) parts.push(part as Buffer);
  try {
    const value = JSON.parse(Buffer.concat(parts).toString('utf8')) as unknown;
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
