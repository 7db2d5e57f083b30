// What lint can put right without a judgment. Each fix is the whole new text of a file, for exactly the text it was made from.
import type { Digest } from '../abi/digest.ts';
import { digestOf } from '../abi/digest.ts';
import type { Finding } from './finding.ts';
import type { LintInput } from './lint-input.ts';
import { heartbeatOf, queueState } from './lint-time.ts';
import { destinationOf, linkTo } from './link-text.ts';
import { parseLog } from './log.ts';
import { directoryOf, isPagePath } from './paths.ts';
import { formatDone, QUEUE_PATH } from './queue.ts';
import { hasAnchor, splitTarget } from './resolve.ts';
import type { ResolvedLink, WikiIndex } from './wiki-index.ts';

export interface FileFix {
  readonly path: string;
  /** Of the text that it replaces; undefined for a new file, and for text that is only added at the end. */
  readonly base: Digest | undefined;
  readonly text: string;
  readonly append?: true;
  /** One sentence for each thing that was put right. */
  readonly what: readonly string[];
}

export interface FixInput extends LintInput {
  text(path: string): string | undefined;
  /** RFC 3339. */
  readonly now: string;
}

export function fixes(findings: readonly Finding[], input: FixInput): readonly FileFix[] {
  const links = linkFixes(findings, input);
  const [index] = indexFix(findings, input, links);
  const rest = index === undefined ? links : [...links.filter(({ path }) => path !== index.path), index];
  return [...rest, ...rotationFixes(findings, input), ...queueFix(input)];
}

function linkFixes(findings: readonly Finding[], { index, text }: FixInput): readonly FileFix[] {
  const byFile = new Map<string, Finding[]>();
  for (const finding of findings)
    if (finding.rule === 'link-spelling' || finding.rule === 'broken-link')
      byFile.set(finding.file, [...(byFile.get(finding.file) ?? []), finding]);
  const fixed: FileFix[] = [];
  for (const [path, list] of byFile) {
    const before = text(path);
    const page = index.get(path);
    if (before === undefined || page === undefined || digestOf(before) !== page.facts.digest) continue;
    // Of the log nothing is edited: an entry would be another one, and tell of what came after it.
    if (page.place === 'log') continue;
    const lines = before.split('\n');
    const what: string[] = [];
    for (const { line, target } of list) {
      const link = page.links.find((each) => each.link.line === line && each.link.target === target);
      const better = link === undefined ? undefined : betterTarget(path, link, index);
      const here = lines[line - 1];
      // Only where the line has it once as a destination, as it was read.
      const places = here === undefined ? [] : destinations(here, target);
      const [at] = places;
      if (better === undefined || here === undefined || at === undefined || places.length > 1) continue;
      lines[line - 1] = here.slice(0, at) + better + here.slice(at + target.length);
      what.push(`line ${line}: ${target} → ${better}`);
    }
    if (what.length > 0) fixed.push({ path, base: page.facts.digest, text: lines.join('\n'), what });
  }
  return fixed;
}

/** Where a line has a text between the signs that bound a destination. */
function destinations(line: string, target: string): readonly number[] {
  const found: number[] = [];
  for (let at = line.indexOf(target); at >= 0; at = line.indexOf(target, at + 1))
    if (/[(<\s]/.test(line[at - 1] ?? '') && /[)>\s]/.test(line[at + target.length] ?? ' ')) found.push(at);
  return found;
}

/** The file as it is spelt, or the only page of that name, where a missing one can only mean that. */
function betterTarget(from: string, { link, to }: ResolvedLink, index: WikiIndex): string | undefined {
  if (link.kind === 'wikilink' || link.kind === 'embed' || link.kind === 'html') return undefined;
  const { path: written, anchor } = splitTarget(link);
  let found: string | undefined;
  if (to.kind === 'file' && to.spelling) found = to.path;
  else if (to.kind === 'missing') {
    const named = index.names.named(written);
    found = named.length === 1 && isPagePath(written) ? named[0] : undefined;
    const facts = found === undefined ? undefined : index.get(found)?.facts;
    if (facts === undefined || (anchor !== undefined && !hasAnchor(anchor, facts.markdown.anchors))) return undefined;
  }
  if (found === undefined) return undefined;
  return `${destinationOf(relativePath(directoryOf(from), found))}${link.target.includes('#') ? link.target.slice(link.target.indexOf('#')) : ''}`;
}

function relativePath(directory: string, to: string): string {
  const from = directory === '' ? [] : directory.split('/');
  const parts = to.split('/');
  let same = 0;
  while (same < from.length && same < parts.length - 1 && from[same] === parts[same]) same += 1;
  return [...from.slice(same).map(() => '..'), ...parts.slice(same)].join('/');
}

const UNSORTED = '## Not yet sorted';

/** Links to pages that the index lacks, and the day of this lint on its first lines. */
function indexFix(findings: readonly Finding[], { index, text, today }: FixInput, links: readonly FileFix[]): readonly FileFix[] {
  const [entry] = index.special('index');
  const read = entry === undefined ? undefined : text(entry.path);
  if (entry === undefined || read === undefined || digestOf(read) !== entry.facts.digest) return [];
  const spelt = links.find(({ path }) => path === entry.path);
  const before = spelt?.text ?? read;
  const missing = findings.filter(({ rule }) => rule === 'unindexed').map(({ file }) => file);
  const what = [...(spelt?.what ?? []), ...missing.map((path) => `links to ${path}`)];
  let after = stampHeartbeat(before, today);
  what.push(`last lint: ${today}`);
  if (missing.length > 0) {
    const items = missing.map((path) => {
      return `- ${linkTo(index.get(path)?.facts.title ?? path, path)}\n`;
    });
    const list = items.join('');
    const base = after.endsWith('\n') ? after : `${after}\n`;
    const at = base.indexOf(`${UNSORTED}\n`);
    after =
      at < 0
        ? `${base}\n${UNSORTED}\n\n${list}`
        : `${base.slice(0, at + UNSORTED.length + 1)}\n${list}${base.slice(at + UNSORTED.length + 1).replace(/^\n/, '')}`;
  }
  return after === read ? [] : [{ path: entry.path, base: entry.facts.digest, text: after, what }];
}

/** Puts the day of a lint on the first lines of an index page. */
export function stampHeartbeat(indexText: string, day: string): string {
  const last = heartbeatOf(indexText);
  const lines = indexText.split('\n');
  if (last !== undefined) {
    const at = lines.findIndex((line) => /^\W*last lint\W+\d{4}-\d{2}-\d{2}/i.test(line));
    lines[at] = (lines[at] ?? '').replace(last, day);
    return lines.join('\n');
  }
  const heading = lines.findIndex((line) => line.startsWith('# '));
  lines.splice(heading + 1, 0, ...(heading < 0 ? [`Last lint: ${day}`, ''] : ['', `Last lint: ${day}`]));
  return lines.join('\n');
}

/** Entries of earlier years move to `log/<year>.md`, in their order. */
function rotationFixes(findings: readonly Finding[], { text, today }: FixInput): readonly FileFix[] {
  const fixed: FileFix[] = [];
  for (const { file } of findings.filter(({ rule }) => rule === 'log-rotation')) {
    const before = text(file);
    if (before === undefined) continue;
    const year = today.slice(0, 4);
    const entries = parseLog(before, file);
    const first = entries[0]?.line;
    const old = entries.filter(({ day }) => day.slice(0, 4) < year);
    if (first === undefined || old.length === 0) continue;
    const head = before
      .split('\n')
      .slice(0, first - 1)
      .join('\n');
    const kept = entries.filter(({ day }) => day.slice(0, 4) >= year);
    const joined = (list: readonly { readonly text: string }[]): string => list.map((entry) => `${entry.text.trimEnd()}\n`).join('\n');
    for (const each of [...new Set(old.map(({ day }) => day.slice(0, 4)))].sort()) {
      const path = `log/${each}.md`;
      const there = text(path);
      const moved = joined(old.filter(({ day }) => day.startsWith(each)));
      fixed.push({
        path,
        base: there === undefined ? undefined : digestOf(there),
        text: there === undefined ? `# Log of ${each}\n\n${moved}` : `${there.trimEnd()}\n\n${moved}`,
        what: [`entries of ${each} from ${file}`],
      });
    }
    // The log loses its old entries last: a stop in between leaves them twice, never nowhere.
    fixed.push({ path: file, base: digestOf(before), text: `${head}\n${joined(kept)}`, what: [`${old.length} entries moved to log/`] });
  }
  return fixed;
}

function queueFix(input: FixInput): readonly FileFix[] {
  const { done } = queueState(input);
  if (done.size === 0) return [];
  const text = [...done].map((id) => formatDone(id, input.now)).join('');
  return [{ path: QUEUE_PATH, base: undefined, text, append: true, what: [`${done.size} changes that the log has`] }];
}
