// What the tools of the MCP server say, as text within bounds.
import { readFileSync } from 'node:fs';

import { CtxError } from '../../abi/errors.ts';
import { openCounter } from '../../tokens/counter.ts';
import type { TokenCounter } from '../../tokens/types.ts';
import { domainOf } from '../../wiki/config.ts';
import { chooseMemory } from '../../wiki/memory.ts';
import { memoryPages } from '../../wiki/memory-pages.ts';
import type { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { placeInside } from '../../wiki/write.ts';
import type { Shell } from '../shell.ts';
import { fileMaterial, proposeTasks, saveProposal } from './filing.ts';
import type { Drafting } from './mcp-drafting.ts';
import { lintWiki } from './place.ts';

export const MOST_SOURCE_CHARS: number = 1 << 20;
const MOST_ANSWER_CHARS = 64 * 1024;
const MOST_LEFT = 8;

let counter: TokenCounter | undefined;

export function queryText(place: WikiDirectory, question: string, budgetTokens: number, plans: readonly string[], domain?: string): string {
  for (const plan of plans) known(place, plan, domain);
  const { count } = (counter ??= openCounter());
  const memory = chooseMemory(memoryPages(place, plans, domain), question, budgetTokens, (text) => count.call(counter, text));
  const items = memory.items.map(({ path, heading, startLine, endLine, reason, text }) => {
    const lines = startLine === undefined ? '' : `:${startLine}-${endLine ?? startLine}`;
    return `<page path=${JSON.stringify(`${path}${lines}`)}${heading === undefined || heading === '' ? '' : ` section=${JSON.stringify(heading)}`} reason=${JSON.stringify(reason)}>\n${text.trimEnd()}\n</page>\n`;
  });
  const left = memory.left.slice(0, MOST_LEFT).map(({ path, reason }) => `left out: ${path} (${reason})\n`);
  const found = memory.items.some(({ kind }) => kind !== 'schema' && kind !== 'index');
  return `${items.join('')}${left.join('')}${found ? '' : 'no page answers this\n'}`;
}

export function pageText(place: WikiDirectory, path: string, fromLine: number, domain?: string): string {
  const lines = wikiPage(place, path, domain).split('\n');
  if (fromLine > lines.length) throw new CtxError('wiki.line', 'EINVAL', `has ${lines.length} lines`, { where: path });
  let chars = 0;
  let end = fromLine - 1;
  while (end < lines.length && (chars += (lines[end] as string).length + 1) <= MOST_ANSWER_CHARS) end += 1;
  // One line longer than an answer.
  if (end === fromLine - 1)
    return `${(lines[end] as string).slice(0, MOST_ANSWER_CHARS)}\n[line ${fromLine} is cut; next: from_line ${fromLine + 1}]\n`;
  const text = lines.slice(fromLine - 1, end).join('\n');
  return end === lines.length ? text : `${text}\n[${lines.length - end} more lines; next: from_line ${end + 1}]\n`;
}

/** A text file of the wiki, through no symbolic link. */
export function wikiPage(place: WikiDirectory, path: string, domain?: string): string {
  known(place, path, domain);
  const bytes = readFileSync(placeInside(place.root, path));
  if (bytes.includes(0)) throw new CtxError('wiki.binary', 'EINVAL', 'is not text', { where: path });
  return bytes.toString('utf8');
}

/** With a domain, pages of other ones are not there. */
export function isOffered(place: WikiDirectory, path: string, domain: string | undefined): boolean {
  return place.has(path) && (domain === undefined || [undefined, domain].includes(domainOf(path, place.config)));
}

function known(place: WikiDirectory, path: string, domain: string | undefined): void {
  if (isOffered(place, path, domain)) return;
  throw new CtxError('wiki.page', 'ENOENT', 'is no file of this wiki', {
    where: path,
    next: 'name it as query and lint do: by its path in the wiki',
  });
}

export async function ingestText(
  shell: Shell,
  place: WikiDirectory,
  { text, name, origin }: { readonly text: string; readonly name: string; readonly origin: string },
  drafting?: Drafting,
): Promise<string> {
  const extension = /\.[A-Za-z0-9]{1,8}$/.exec(name)?.[0] ?? '.md';
  // Whoever started the server chose the model for what agents hand in.
  const material = { origin, bytes: Buffer.from(text), text, name, extension, remoteAllowed: true };
  const { source, repeated } = fileMaterial(shell, place, material);
  if (repeated) return `${source.path} (filed before)\n`;
  place.refresh();
  const proposal = proposeTasks(shell, place, material, source);
  if (proposal === undefined) return `filed ${source.path}; no page is about it\n`;
  saveProposal(place, proposal);
  const pages = proposal.changes.map(({ path }) => path).join(', ');
  const drafted = await drafting?.draft(place, material, source, proposal);
  return `filed ${source.path}\nproposal ${proposal.id} waits for review: ${pages}\n${drafted ?? ''}`;
}

export async function lintText(
  shell: Shell,
  place: WikiDirectory,
  { file, rule, limit }: { readonly file?: string | undefined; readonly rule?: string | undefined; readonly limit: number },
  domain?: string,
): Promise<string> {
  const { open } = await lintWiki(shell, place);
  const asked = open
    .filter((finding) => [undefined, domain].includes(domain === undefined ? undefined : domainOf(finding.file, place.config)))
    .filter((finding) => (file === undefined || finding.file === file) && (rule === undefined || finding.rule === rule));
  const rows = asked
    .slice(0, limit)
    .map(({ level, rule: of, file: where, line, message }) => `${level} ${of} ${where}:${line} ${message.slice(0, 400)}\n`);
  const more = asked.length > rows.length ? `${asked.length - rows.length} more\n` : '';
  return asked.length === 0 ? 'nothing is open\n' : `${rows.join('')}${more}`;
}
