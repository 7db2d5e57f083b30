// ctx wiki ingest: files raw material with its provenance, and proposes which pages to work it into.
import type { Command } from 'commander';

import { examples, type Shell } from '../shell.ts';
import { draft, openDrafter } from './drafting.ts';
import { fileMaterial, proposeTasks, saveProposal } from './filing.ts';
import { readMaterial } from './material.ts';
import { plain, requireWiki } from './place.ts';

interface IngestArguments {
  readonly dir?: string;
  readonly draft?: boolean;
  readonly model?: string;
  readonly json?: boolean;
}

export function registerIngest(wiki: Command, shell: Shell): void {
  wiki
    .command('ingest')
    .description('file raw material under sources/, and propose page changes for review')
    .argument('<what...>', 'files, or sessions (AGENT/SESSION; AGENT/SESSION:12-40 for some of its messages)')
    .option('-d, --dir <dir>', 'the wiki (default: the one here)')
    .option('--draft', 'have the model of the mounted store write the changes; they wait for review all the same')
    .option('--model <name>', 'PROVIDER/NAME of a model, to draft with')
    .option('--json', 'print an array')
    .addHelpText(
      'after',
      examples(
        ['ctx wiki ingest meeting.txt', 'file it, and see what it touches'],
        ['ctx wiki ingest coder/default:120-180', 'what was said in a session'],
        ['ctx wiki ingest --draft meeting.txt', 'a model writes what the pages should say'],
        ['ctx wiki review', 'then accept or reject'],
      ),
    )
    .action(async (given: readonly string[], options: IngestArguments) => {
      const { terminal } = shell;
      const place = requireWiki(options.dir);
      const drafter = options.draft === true || options.model !== undefined ? await openDrafter(shell, options.model) : undefined;
      const stop = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
      const done: object[] = [];
      try {
        for (const what of given) {
          const material = await readMaterial(shell, what);
          const { source, repeated } = fileMaterial(shell, place, material);
          place.refresh();
          if (options.json !== true) terminal.line(repeated ? `${plain(source.path)} (filed before)` : plain(source.path));
          const drafted = drafter === undefined ? undefined : await draft(shell, place, drafter, material, source, stop.signal);
          const proposal = drafted?.proposal ?? (repeated ? undefined : proposeTasks(shell, place, material, source));
          if (proposal !== undefined) saveProposal(place, proposal);
          const pages = proposal?.changes.map(({ path }) => path) ?? [];
          done.push({
            source: source.path,
            digest: source.digest,
            origin: source.origin,
            filed: !repeated,
            proposal: proposal?.id ?? null,
            pages,
            ...(drafted === undefined ? {} : { drafted: drafted.proposal !== undefined, dropped: drafted.dropped }),
          });
          if (options.json === true) continue;
          for (const { what: said, reason } of drafted?.dropped ?? []) terminal.note(`dropped: ${plain(said)}: ${plain(reason)}`);
          for (const note of drafted?.notes ?? []) terminal.note(note);
          if (proposal !== undefined)
            terminal.line(`  proposal ${proposal.id}: ${pages.map(plain).join(', ')}; see: ctx wiki review ${proposal.id}`);
          else if (!repeated) terminal.note('no page is about it; write one, and link to the source');
        }
      } finally {
        await drafter?.driver.close();
      }
      if (options.json === true) terminal.json(done);
    });
}
