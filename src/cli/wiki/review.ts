// ctx wiki review: proposed changes as a diff, accepted or rejected by a person.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../../abi/errors.ts';
import { digestOf } from '../../abi/digest.ts';
import { logEntry } from '../../wiki/log.ts';
import { parseProposal, proposalDiff, proposalPath, PROPOSALS_DIRECTORY, type Proposal } from '../../wiki/proposal.ts';
import type { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { appendToFile, replaceFile } from '../../wiki/write.ts';
import { usageError } from '../errors.ts';
import { examples, type Shell } from '../shell.ts';
import { plain, requireWiki, today } from './place.ts';

interface ReviewArguments {
  readonly dir?: string;
  readonly accept?: boolean;
  readonly reject?: boolean;
  readonly judgment?: string;
  readonly json?: boolean;
}

export function registerReview(wiki: Command, shell: Shell): void {
  wiki
    .command('review')
    .description('proposed page changes: list, show as a diff, accept, reject')
    .argument('[id]', 'a proposal')
    .option('-d, --dir <dir>', 'the wiki (default: the one here)')
    .option('--accept', 'write the changes, and a log entry')
    .option('--reject', 'drop the proposal')
    .option('--judgment <text>', 'why: the Judgment: line of the log entry')
    .option('--json', 'print an array')
    .addHelpText(
      'after',
      examples(
        ['ctx wiki review', 'what waits'],
        ['ctx wiki review 3f2a90c1', 'its diff'],
        ['ctx wiki review 3f2a90c1 --accept --judgment "supersedes the old limits"', 'write it'],
      ),
    )
    .action((id: string | undefined, options: ReviewArguments) => {
      const { terminal } = shell;
      const place = requireWiki(options.dir);
      const all = proposals(place);
      const text = (path: string): string | undefined => place.text(path);
      if (id === undefined) {
        if (options.accept === true || options.reject === true) throw usageError('which proposal?', 'name its id: ctx wiki review');
        if (options.json === true) terminal.json(all.map((each) => ({ ...each, diff: proposalDiff(each, text) })));
        else for (const each of all) terminal.line(`${each.id}\t${each.at.slice(0, 10)}\t${plain(each.about)}`);
        if (all.length === 0 && options.json !== true) terminal.note('nothing waits for review');
        return;
      }
      const proposal = all.find((each) => each.id === id);
      if (proposal === undefined)
        throw new CtxError('wiki.proposal', 'ENOENT', 'is no proposal', { where: id, next: 'run: ctx wiki review' });
      if (options.accept === true && options.reject === true) throw usageError('--accept or --reject, not both');
      if (options.accept === true) accept(shell, place, proposal, options.judgment);
      else if (options.reject === true) {
        rmSync(join(place.root, proposalPath(id)));
        terminal.line(`rejected ${id}`);
      } else if (options.json === true) terminal.json({ ...proposal, diff: proposalDiff(proposal, text) });
      else {
        terminal.line(proposalDiff(proposal, text).split('\n').map(plain).join('\n').trimEnd());
        if (proposal.log.judgment !== '') terminal.note(`suggested: --judgment ${JSON.stringify(plain(proposal.log.judgment))}`);
      }
    });
}

export function proposals(place: WikiDirectory): readonly Proposal[] {
  let names: readonly string[];
  try {
    names = readdirSync(join(place.root, PROPOSALS_DIRECTORY));
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => parseProposal(place.text(`${PROPOSALS_DIRECTORY}/${name}`) ?? '') ?? [])
    .sort((a, b) => (a.at < b.at ? -1 : 1));
}

/** All changes or none: every page is looked at before the first is written. */
function accept(shell: Shell, place: WikiDirectory, proposal: Proposal, judgment: string | undefined): void {
  if (judgment === undefined || judgment.trim() === '') throw usageError('say why with --judgment TEXT', 'the log entry needs it');
  const changed = proposal.changes.filter(({ path, base }) => {
    const bytes = place.bytes(path);
    return (bytes === undefined ? null : digestOf(bytes)) !== base;
  });
  if (changed.length > 0)
    throw new CtxError('wiki.changed', 'ESTALE', `${changed.map(({ path }) => path).join(', ')} changed since the proposal was made`, {
      where: proposal.id,
      next: 'reject it, and ingest again',
    });
  for (const { path, text, base } of proposal.changes) {
    if (!replaceFile(place.root, path, text, base ?? undefined))
      throw new CtxError('wiki.changed', 'ESTALE', `${path} changed while the proposal was accepted; what was written before it stays`, {
        where: proposal.id,
        next: 'run: ctx wiki status',
      });
  }
  const log = place.logPath() ?? 'log.md';
  appendToFile(place.root, log, logEntry(today(shell), proposal.log.title, proposal.log.changes, judgment));
  rmSync(join(place.root, proposalPath(proposal.id)));
  shell.terminal.line(`accepted ${proposal.id}: ${proposal.changes.map(({ path }) => plain(path)).join(', ')}, and ${log}`);
}
