// ctx wiki ingest: files raw material with its provenance, and proposes which pages to work it into.
import { readFileSync, statSync } from 'node:fs';
import { extname, join, resolve } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../../abi/errors.ts';
import { requireSession } from '../mounted.ts';
import { examples, type Shell } from '../shell.ts';
import { fileMaterial, proposeTasks, saveProposal, type Material } from './filing.ts';
import { plain, requireWiki } from './place.ts';

const MAX_SOURCE_BYTES = 64 * 1024 * 1024;

export function registerIngest(wiki: Command, shell: Shell): void {
  wiki
    .command('ingest')
    .description('file raw material under sources/, and propose page changes for review')
    .argument('<what...>', 'files, or sessions (AGENT/SESSION, or AGENT/SESSION:12-40 for a range of messages)')
    .option('-d, --dir <dir>', 'the wiki (default: the one here)')
    .option('--json', 'print an array')
    .addHelpText(
      'after',
      examples(
        ['ctx wiki ingest meeting.txt', 'file it, and see what it touches'],
        ['ctx wiki ingest coder/default:120-180', 'what was said in a session'],
        ['ctx wiki review', 'then accept or reject'],
      ),
    )
    .action(async (given: readonly string[], options: { dir?: string; json?: boolean }) => {
      const { terminal } = shell;
      const place = requireWiki(options.dir);
      const done: object[] = [];
      for (const what of given) {
        const material = await read(shell, what);
        const { source, repeated } = fileMaterial(shell, place, material);
        place.refresh();
        const proposal = repeated ? undefined : proposeTasks(shell, place, material, source);
        if (proposal !== undefined) saveProposal(place, proposal);
        const pages = proposal?.changes.map(({ path }) => path) ?? [];
        done.push({
          source: source.path,
          digest: source.digest,
          origin: source.origin,
          filed: !repeated,
          proposal: proposal?.id ?? null,
          pages,
        });
        if (options.json === true) continue;
        terminal.line(repeated ? `${plain(source.path)} (filed before)` : plain(source.path));
        if (proposal !== undefined)
          terminal.line(`  proposal ${proposal.id}: ${pages.map(plain).join(', ')}; see: ctx wiki review ${proposal.id}`);
        else if (!repeated) terminal.note('no page is about it; write one, and link to the source');
      }
      if (options.json === true) terminal.json(done);
    });
}

async function read(shell: Shell, what: string): Promise<Material> {
  const stat = statSync(what, { throwIfNoEntry: false });
  if (stat?.isFile() === true) {
    if (stat.size > MAX_SOURCE_BYTES)
      throw new CtxError('wiki.large', 'EFBIG', `is longer than ${MAX_SOURCE_BYTES} bytes`, { where: what });
    return { origin: resolve(what), bytes: readFileSync(what), name: what, extension: extname(what).slice(0, 9) };
  }
  const [, reference, first, last] = /^(.+?\/.+?)(?::(\d+)-(\d+))?$/.exec(what) ?? [];
  if (stat !== undefined || reference === undefined)
    throw new CtxError('wiki.source', 'ENOENT', 'is no file and no session', { where: what, next: 'name a file, or AGENT/SESSION' });
  const { directory, path } = await requireSession(shell, reference);
  const lines = readFileSync(join(directory, 'messages.jsonl'), 'utf8').split('\n');
  const chosen = first === undefined ? lines : lines.slice(Number(first) - 1, Number(last));
  const range = first === undefined ? '' : `:${first}-${last}`;
  const text = chosen.join('\n').trimEnd();
  return {
    origin: `session:${path}/messages.jsonl${range}`,
    bytes: Buffer.from(text === '' ? '' : `${text}\n`),
    name: reference.replaceAll('/', '-') + range.replace(':', '-'),
    extension: '.jsonl',
  };
}
