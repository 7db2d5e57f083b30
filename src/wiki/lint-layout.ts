// Findings about how the wiki is laid out: what lies where, how much of it, and what its raw material became.
import type { Finding } from './finding.ts';
import { isWiki, type LintInput } from './lint-input.ts';
import { isPagePath, joinInside, nameOf } from './paths.ts';
import { foldName } from './slug.ts';
import type { WikiIndex } from './wiki-index.ts';

/** Files that people and tools put at the root of a repository, and what editors of vaults keep beside pages. */
const ROOT_FILES = /^(?:\.|licen[cs]e|readme|makefile|contributing|codeowners)|\.(?:canvas|base)$/i;
/** What belongs to a runtime, never to knowledge. */
const RUNTIME =
  /(?:^|\/)(?:settings(?:\.local)?\.json|\.credentials\.json|\.mcp\.json|\.env(?:\.[a-z]+)?|id_(?:rsa|ed25519)|history\.jsonl|[0-9a-f-]{36}\.jsonl)$|\.(?:sock|pid|sqlite-wal|log)$/i;

export function layoutFindings(input: LintInput): readonly Finding[] {
  if (!isWiki(input.index)) return [];
  return [...looseFiles(input.index), ...pageCount(input.index), ...schemaFindings(input), ...runtimeFiles(input.index)];
}

function looseFiles(index: WikiIndex): readonly Finding[] {
  const found: Finding[] = [];
  for (const path of index.files())
    if (!path.includes('/') && !ROOT_FILES.test(path) && !RUNTIME.test(path))
      found.push({ rule: 'loose-file', file: path, line: 1, target: path, message: 'lies at the root; raw material belongs in sources/' });
  return found;
}

function pageCount(index: WikiIndex): readonly Finding[] {
  const count = index.curated().length;
  const { pagesMin, pagesMax } = index.config;
  const file = index.special('index')[0]?.path ?? index.config.index[0] ?? 'INDEX.md';
  if (count >= pagesMin && count <= pagesMax) return [];
  const message =
    count < pagesMin
      ? `${count} pages; ${pagesMin} to ${pagesMax} are read best`
      : `${count} pages; more than ${pagesMax} are hard to keep true`;
  return [{ rule: 'page-count', file, line: 1, target: String(count), message, about: '' }];
}

function schemaFindings({ index }: LintInput): readonly Finding[] {
  const schemas = index.special('schema');
  const found: Finding[] = [];
  for (const { path, facts } of schemas)
    if (facts.lineCount > index.config.schemaLines)
      found.push({
        rule: 'schema-length',
        file: path,
        line: index.config.schemaLines + 1,
        target: String(facts.lineCount),
        message: `has ${facts.lineCount} lines (soft cap ${index.config.schemaLines}); knowledge belongs in pages`,
      });
  // A schema of a few words that names the other one is a pointer to it.
  const full = schemas.filter(({ facts }) => facts.sketch.words > 30);
  const [first, ...more] = full;
  for (const other of more)
    if (first !== undefined && other.facts.digest !== first.facts.digest)
      found.push({
        rule: 'schema-copy',
        file: other.path,
        line: 1,
        target: first.path,
        message: `says something else than ${first.path}; keep one, and let the other be a pointer (@${first.path})`,
      });
  return found;
}

function runtimeFiles(index: WikiIndex): readonly Finding[] {
  const found: Finding[] = [];
  for (const path of index.files())
    if (RUNTIME.test(path) && !path.startsWith(`${index.config.sources}/`))
      found.push({
        rule: 'runtime-audit',
        file: path,
        line: 1,
        target: nameOf(path),
        message: 'is runtime; knowledge and runtime live apart',
      });
  return found;
}

/** Raw material: what no page uses, what changed after it was filed, what pages name that is not there. */
export function sourceFindings({ index, provenance, sourceDigests }: LintInput): readonly Finding[] {
  if (!isWiki(index)) return [];
  const { sources } = index.config;
  const inside = `${foldName(sources)}/`;
  const used = new Set<string>();
  const found: Finding[] = [];
  for (const { path, facts } of index.curated()) {
    for (const resource of facts.sources) {
      if (/^[a-z][a-z0-9+.-]+:/i.test(resource) || !resource.includes('/')) continue;
      const inWiki = [joinInside('', resource), joinInside(path.split('/').slice(0, -1).join('/'), resource)].find(
        (candidate) => candidate !== undefined && index.names.has(candidate),
      );
      if (inWiki !== undefined) used.add(inWiki);
      else if (
        foldName(resource)
          .replace(/^\.?\//, '')
          .startsWith(inside)
      )
        found.push({
          rule: 'source-scan',
          file: path,
          line: facts.frontmatter?.lines.get('sources') ?? 1,
          target: resource,
          message: `names the source ${resource}, which is not there`,
        });
    }
  }
  const everything = [
    ...[...index.files()].filter((file) => foldName(file).startsWith(inside)),
    ...index.special('source').map(({ path }) => path),
  ];
  for (const path of everything.sort())
    if (!used.has(path) && index.inbound(path) === 0 && !/(?:^|\/)(?:readme\.md|provenance\.jsonl|\.[^/]*)$/i.test(path))
      found.push({ rule: 'source-scan', file: path, line: 1, target: path, message: 'is raw material that no page uses yet' });
  for (const record of provenance) {
    const now = sourceDigests.get(record.path);
    if (now !== undefined && now !== record.digest)
      found.push({
        rule: 'source-scan',
        file: record.path,
        line: 1,
        target: record.digest,
        message: `is not as it was filed on ${record.time.slice(0, 10)}; raw material does not change`,
        about: now,
      });
  }
  return found;
}

/** Names that a link cannot carry, or that lead programs astray. */
export function nameFinding(path: string): Finding | undefined {
  const odd = /[\n\r\t\0-\x1f\x7f]/.test(path)
    ? 'a control character'
    : /(?:^|\/)(?:-|\s)|\s(?:\/|$)/.test(path)
      ? 'a dash or space at an edge'
      : undefined;
  const wiki = odd === undefined && isPagePath(path) && /[[\]|#^]/.test(nameOf(path)) ? 'a character that wikilinks cannot carry' : odd;
  return wiki === undefined ? undefined : { rule: 'bad-name', file: path, line: 1, target: path, message: `its name has ${wiki}` };
}
