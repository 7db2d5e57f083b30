// ctx wiki ingest: files raw material with its provenance, and proposes which pages to work it into.
import { readFileSync, statSync } from 'node:fs';
import { extname, join, resolve } from 'node:path';
import type { Command } from 'commander';

import { digestOf } from '../../abi/digest.ts';
import { CtxError } from '../../abi/errors.ts';
import { propose, sourceName, type FiledSource } from '../../wiki/ingest.ts';
import { memoryPages } from '../../wiki/memory-pages.ts';
import { readPage } from '../../wiki/page.ts';
import { proposalPath } from '../../wiki/proposal.ts';
import { PROVENANCE_NAME, type WikiDirectory } from '../../wiki/wiki-directory.ts';
import { appendToFile, replaceFile } from '../../wiki/write.ts';
import { requireSession } from '../mounted.ts';
import { examples, type Shell } from '../shell.ts';
import { author, now, plain, requireWiki, today } from './place.ts';

const MAX_SOURCE_BYTES = 64 * 1024 * 1024;

interface Material {
  readonly origin: string;
  readonly bytes: Buffer;
  readonly name: string;
  readonly extension: string;
}

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
        const { source, repeated } = file(shell, place, material);
        place.refresh();
        const proposal = repeated ? undefined : proposeFor(shell, place, material, source);
        done.push({
          source: source.path,
          digest: source.digest,
          origin: source.origin,
          filed: !repeated,
          proposal: proposal?.id ?? null,
          pages: proposal?.pages ?? [],
        });
        if (options.json === true) continue;
        terminal.line(repeated ? `${plain(source.path)} (filed before)` : plain(source.path));
        if (proposal !== undefined)
          terminal.line(`  proposal ${proposal.id}: ${proposal.pages.map(plain).join(', ')}; see: ctx wiki review ${proposal.id}`);
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

/** The bytes stay as they are; the same bytes are filed once. */
function file(
  shell: Shell,
  place: WikiDirectory,
  { origin, bytes, name, extension }: Material,
): { readonly source: FiledSource; readonly repeated: boolean } {
  const digest = digestOf(bytes);
  const known = place.provenance().find((record) => record.digest === digest);
  const common = { digest, origin, time: now(shell), by: author(shell) };
  if (known !== undefined) return { source: { ...common, ...known, digest }, repeated: true };
  const { sources } = place.config;
  for (let copy = 1; ; copy += 1) {
    const path = `${sources}/${sourceName(today(shell), copy === 1 ? name : `${name.replace(/\.[A-Za-z0-9]{1,8}$/, '')}-${copy}`, extension)}`;
    if (!replaceFile(place.root, path, bytes, undefined)) continue;
    const source = { path, ...common };
    // After the bytes: a stop in between leaves a file that lint asks about, never a record of nothing.
    appendToFile(place.root, `${sources}/${PROVENANCE_NAME}`, `${JSON.stringify(source)}\n`);
    return { source, repeated: false };
  }
}

function proposeFor(
  shell: Shell,
  place: WikiDirectory,
  material: Material,
  source: FiledSource,
): { readonly id: string; readonly pages: readonly string[] } | undefined {
  if (material.bytes.includes(0)) return undefined;
  const text = material.bytes.toString('utf8');
  const title =
    (extname(source.path) === '.md' ? readPage(material.bytes).title : undefined) ?? source.path.slice(source.path.lastIndexOf('/') + 1);
  const proposal = propose({
    source,
    text,
    title,
    pages: memoryPages(place).pages,
    pageText: (path) => place.text(path),
    day: today(shell),
    by: author(shell),
    at: now(shell),
  });
  if (proposal === undefined) return undefined;
  replaceFile(place.root, proposalPath(proposal.id), `${JSON.stringify(proposal, null, 1)}\n`, undefined);
  return { id: proposal.id, pages: proposal.changes.map(({ path }) => path) };
}
