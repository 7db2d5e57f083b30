// ctx wiki status: heartbeat, log gap, queue, proposals, git. What somebody who opens the wiki wants to know first.
import { relative } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../../abi/errors.ts';
import { gapLine, logGaps } from '../../wiki/lint-report.ts';
import { heartbeatOf, queueState } from '../../wiki/lint-time.ts';
import type { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { examples, type Shell } from '../shell.ts';
import { gitCommit, gitState } from './git.ts';
import { queueGaps } from './outside-changes.ts';
import { author, lintWiki, plain, requireWiki, today } from './place.ts';
import { proposals } from './review.ts';

/** WIK-70 */
async function keepGaps(shell: Shell, place: WikiDirectory): Promise<void> {
  if (place.logPath() === undefined) return;
  const input = place.lintInput({ today: today(shell) });
  const queued = new Set(queueState(input).waiting.map(({ path }) => path));
  const gaps = logGaps(input, (await lintWiki(shell, place)).open).filter(({ path }) => !queued.has(path) && place.has(path));
  queueGaps(
    place,
    gaps.map(({ path }) => path),
    { uid: shell.uid },
  );
}

export function registerStatus(wiki: Command, shell: Shell): void {
  wiki
    .command('status')
    .description('last lint, log gap, queue, proposals, git')
    .argument('[dir]', 'the wiki (default: the one here)')
    .option('--commit [message]', 'commit what changed, and say who did')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(['ctx wiki status', 'how the wiki is'], ['ctx wiki status --commit "log the new port"', 'commit what changed']),
    )
    .action(async (directory: string | undefined, options: { commit?: string | true; json?: boolean }) => {
      const { terminal } = shell;
      const place = requireWiki(directory);
      let git = await gitState(place.root);
      if (options.commit !== undefined) {
        if (git === undefined)
          throw new CtxError('wiki.git', 'ENOENT', 'is in no git repository', { where: place.root, next: 'run: git init' });
        if (git.changed.length > 0) await keepGaps(shell, place);
        const message =
          options.commit === true ? `wiki: ${git.changed.slice(0, 3).join(', ')}${git.changed.length > 3 ? ', …' : ''}` : options.commit;
        if (git.changed.length > 0 && !(await gitCommit(place.root, `${message}\n\nCommitted-by: ctx wiki status, for ${author(shell)}`)))
          throw new CtxError('wiki.git', 'EIO', 'git did not commit', { where: place.root, next: 'run: git status' });
        git = await gitState(place.root);
      }
      const { open } = await lintWiki(shell, place);
      const input = place.lintInput({ today: today(shell) });
      const gaps = logGaps(input, open);
      const gap = gapLine(gaps);
      const waiting = queueState(input).waiting.length;
      const count = (level: string): number => open.filter((finding) => finding.level === level).length;
      const state = {
        root: place.root,
        pages: place.index.curated().length,
        last_lint: heartbeatOf(input.indexText ?? '') ?? null,
        log_gap: gaps.map(({ path }) => path),
        queue: waiting,
        proposals: proposals(place).length,
        findings: { error: count('error'), warning: count('warning'), advice: count('advice'), info: count('info') },
        git: git === undefined ? null : { head: git.head ?? null, branch: git.branch, changed: git.changed },
      };
      if (options.json === true) return terminal.json(state);
      terminal.line(`${plain(relative(process.cwd(), place.root) || '.')}: ${state.pages} pages, last lint ${state.last_lint ?? 'never'}`);
      if (gap !== undefined) terminal.line(terminal.style('red', gap));
      if (waiting > 0) terminal.line(`${waiting} changes wait in .update-queue`);
      if (state.proposals > 0) terminal.line(`${state.proposals} proposals wait: ctx wiki review`);
      terminal.line(`${state.findings.error} errors, ${state.findings.warning} warnings, ${state.findings.advice} advice: ctx wiki lint`);
      if (git === undefined) terminal.line('no git: nothing can be undone');
      else
        terminal.line(
          `git: ${git.branch}${git.head === undefined ? '' : ` at ${git.head}`}, ${git.changed.length === 0 ? 'clean' : `${git.changed.length} changed: ${git.changed.slice(0, 5).map(plain).join(', ')}`}`,
        );
      return undefined;
    });
}
