// ctx wiki tell: a command for each open finding that it was not run for yet: notices, and tasks in a tracker.
import type { Command } from 'commander';

import { runCommand } from '../../../mount/command.ts';
import { CtxError } from '../../abi/errors.ts';
import { appendToFile } from '../../wiki/write.ts';
import { usageError } from '../errors.ts';
import { examples, type Shell } from '../shell.ts';
import { lintWiki, now, plain, requireWiki } from './place.ts';

const TOLD_PATH = '.wiki/told.jsonl';
const MOST_RUNS = 50;
const LIMIT_MS = 60_000;

export function registerTell(wiki: Command, shell: Shell): void {
  wiki
    .command('tell')
    .description('run a command once for each open finding, with the finding in its environment')
    .argument('<command>', 'for the shell, in the directory of the wiki')
    .option('-d, --dir <dir>', 'the wiki (default: the one here)')
    .option('--level <level>', 'error, or warning (with errors)', 'warning')
    .addHelpText('after', examples(['ctx wiki tell "sh .wiki/adapters/notify.sh"', 'from cron, after ctx wiki lint --fix']))
    .action(async (command: string, options: { dir?: string; level: string }) => {
      if (options.level !== 'error' && options.level !== 'warning') throw usageError('--level is error or warning');
      const place = requireWiki(options.dir);
      const { open } = await lintWiki(shell, place);
      const told = toldOf(place.text(TOLD_PATH) ?? '', command);
      const due = open.filter(({ id, level }) => !told.has(id) && (level === 'error' || level === options.level));
      let failed = 0;
      for (const { id, rule, level, file, line, message } of due.slice(0, MOST_RUNS)) {
        const env = {
          FINDING_ID: id,
          FINDING_RULE: rule,
          FINDING_LEVEL: level,
          FINDING_FILE: plain(file),
          FINDING_LINE: `${line}`,
          FINDING_MESSAGE: plain(message),
        };
        const ended = await runCommand('sh', ['-c', 'cd "$1" && eval "$2"', 'sh', place.root, command], { timeoutMs: LIMIT_MS, env });
        if (ended.stdout.trim() !== '') shell.terminal.line(ended.stdout.split('\n').map(plain).join('\n').trimEnd());
        if (ended.status === 0) appendToFile(place.root, TOLD_PATH, `${JSON.stringify({ id, command, at: now(shell) })}\n`);
        else {
          failed += 1;
          shell.terminal.note(
            `${id}: ${ended.stderr.trim() === '' ? `ended with ${ended.status}` : plain(ended.stderr.trim()).slice(0, 400)}`,
          );
        }
      }
      shell.terminal.note(`${Math.min(due.length, MOST_RUNS) - failed} told, ${Math.max(0, due.length - MOST_RUNS)} left for the next run`);
      if (failed > 0)
        throw new CtxError('wiki.tell', 'EIO', `${failed} of them failed, and are tried again next time`, {
          where: command,
          next: 'see what it said above',
        });
    });
}

/** Ids of findings that this command was run for. */
function toldOf(text: string, command: string): ReadonlySet<string> {
  const ids = new Set<string>();
  for (const line of text.split('\n')) {
    try {
      const told = JSON.parse(line) as { id?: unknown; command?: unknown };
      if (typeof told.id === 'string' && told.command === command) ids.add(told.id);
    } catch {
      // A line that is none names nothing.
    }
  }
  return ids;
}
