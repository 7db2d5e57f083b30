// What lies outside the wiki and is declared in it: copies of knowledge, files of scheduled jobs, buckets. Reads only what is declared.
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

import type { Buckets, DeclaredCopy } from './config.ts';
import { schemaMark, schemaSince } from './confirm.ts';
import { CanonicalFacts, driftOf, type Drift } from './drift.ts';
import type { KnownWiki } from './drift-known.ts';
import { outputFindings } from './expected-output.ts';
import type { Finding } from './finding.ts';
import { daysBetween } from './lint-time.ts';
import { MAX_PAGE_BYTES } from './page.ts';
import { PAST } from './page-search.ts';
import { nameOf, withoutExtension } from './paths.ts';
import type { WikiDirectory } from './wiki-directory.ts';

export interface Surroundings {
  readonly home: string;
  readonly nowMs: number;
  readonly today: string;
}

export interface CopyReport {
  readonly copy: DeclaredCopy;
  readonly path: string;
  readonly drifts: readonly Drift[];
}

const MAX_COPIES = 500;
/** A copy that nobody has confirmed for this long is asked about. */
const CONFIRM_DAYS = 90;

export function outsideFindings(wiki: WikiDirectory, surroundings: Surroundings): readonly Finding[] {
  const { config } = wiki;
  const { home, nowMs, today } = surroundings;
  const place = (path: string): string => absolute(path, wiki.root, home);
  return [
    ...config.outputs.flatMap((output) => outputFindings(output, place, nowMs, today)),
    ...(config.buckets === undefined ? [] : bucketFindings(config.buckets, home)),
    ...copyFindings(wiki, surroundings),
  ];
}

/** Every declared copy that exists, compared with the curated pages. */
export function compareCopies(wiki: WikiDirectory, copies: readonly DeclaredCopy[], home: string): readonly CopyReport[] {
  if (copies.length === 0) return [];
  const found = copies.flatMap((copy) =>
    expand(absolute(copy.path, wiki.root, home))
      .flatMap(markdownFiles)
      .slice(0, MAX_COPIES)
      .map((path) => ({ copy, path, text: textOf(path) ?? '' })),
  );
  const pages = wiki.index.curated().map(({ path }) => ({ path, text: wiki.text(path)?.slice(0, MAX_PAGE_BYTES) ?? '' }));
  const texts = found.map(({ text }) => text);
  const canonical = new CanonicalFacts(pages, texts, knownOf(wiki, home));
  return found.map(({ copy, path, text }) => ({ copy, path, drifts: driftOf(text, canonical) }));
}

/** What can be said of the wiki without reading a page. */
export function knownOf({ index, root, config }: WikiDirectory, home: string): KnownWiki {
  const curated = index.curated();
  const past = new Map<string, { readonly page: string; readonly status: string }>();
  for (const { path, facts } of curated) {
    const status = facts.status?.toLowerCase() ?? '';
    const isProject = config.projectTypes.includes(facts.type ?? '') || path.startsWith('projects/');
    if (!isProject || !PAST.has(status)) continue;
    for (const name of [facts.title ?? '', ...facts.aliases, withoutExtension(nameOf(path))])
      past.set(name.toLowerCase(), { page: path, status });
  }
  const inHome = root.startsWith(`${home}/`) ? [`~/${root.slice(home.length + 1)}`] : [];
  const [entry] = index.special('index');
  return {
    pages: new Map([...index.pages().map(({ path }) => path), ...index.files()].map((path) => [path.toLowerCase(), path])),
    count: curated.length,
    past,
    names: [root, ...inHome, basename(root)].map((name) => name.toLowerCase()),
    ...(entry === undefined ? {} : { index: entry.path }),
  };
}

function copyFindings(wiki: WikiDirectory, { home, today }: Surroundings): readonly Finding[] {
  const found: Finding[] = [];
  for (const { copy, path, drifts } of compareCopies(wiki, wiki.config.copies, home)) {
    const claim = copy.kind === 'forwarded' ? 'claims' : 'says';
    for (const { kind, line, said, page, pageLine, says = '' } of drifts) {
      if (kind !== 'differs' && kind !== 'stale') continue;
      const where = page === undefined ? '' : `${page}:${pageLine}`;
      const but = kind === 'stale' ? says : `${where} says "${brief(says)}"`;
      const message = `${claim} "${brief(said)}", but ${but}; the wiki wins`;
      found.push({ rule: 'memory-drift', file: path, line, target: where, message, about: `${said}\0${says}` });
    }
    const only = drifts.filter(({ kind }) => kind === 'only');
    if (only[0] !== undefined)
      found.push({
        rule: 'memory-only',
        file: path,
        line: only[0].line,
        target: copy.path,
        message: `${claim} ${only.length === 1 ? 'a fact' : `${only.length} facts`} that the wiki has not ("${brief(only[0].said)}"): ingest, or remove (ctx wiki drift)`,
        about: only.map(({ said }) => said).join('\0'),
      });
  }
  for (const copy of wiki.config.copies) {
    const age = copy.confirmed === undefined ? undefined : daysBetween(copy.confirmed, today);
    const since = schemaSince(wiki, copy);
    if (age !== undefined && age <= CONFIRM_DAYS && since === undefined) continue;
    const why =
      age === undefined ? 'nobody has confirmed' : `was last confirmed ${copy.confirmed}${since === undefined ? '' : `; ${since}`}`;
    found.push({
      rule: 'memory-drift',
      file: '.wiki/config.yaml',
      line: 1,
      target: copy.path,
      message: `${copy.name} holds a copy that ${why} (ctx wiki drift --confirm '${copy.name}')`,
      // An answer holds for this schema, too.
      about: `${copy.path} ${copy.confirmed ?? ''}${since === undefined ? '' : ` ${schemaMark(wiki)}`}`,
    });
  }
  return found;
}

function bucketFindings({ root, allowed, unsearched, scopes, runtime }: Buckets, home: string): readonly Finding[] {
  const base = absolute(root, '/', home);
  const found: Finding[] = [];
  const say = (file: string, message: string): void => void found.push({ rule: 'bucket', file, line: 1, target: root, message });
  let names: readonly { readonly name: string; readonly directory: boolean }[];
  try {
    names = readdirSync(base, { withFileTypes: true }).map((entry) => ({ name: entry.name, directory: entry.isDirectory() }));
  } catch {
    say(root, 'is the root of all buckets, and cannot be read');
    return found;
  }
  for (const { name, directory } of [...names].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (name.startsWith('.')) continue;
    if (!directory) say(join(root, name), 'is a loose file; every file lives in a bucket');
    else if (allowed.length > 0 && !allowed.includes(name) && lstatSync(join(base, name, '.git'), { throwIfNoEntry: false }) === undefined)
      say(join(root, name), `is no bucket (${allowed.join(', ')}) and no repository`);
  }
  const within = (inner: string, outer: string): boolean => `${absolute(inner, '/', home)}/`.startsWith(`${absolute(outer, '/', home)}/`);
  for (const place of unsearched)
    for (const scope of scopes) if (within(place, scope)) say(place, `lies within ${scope}, and would be found by every search there`);
  for (const place of runtime) if (within(place, root)) say(place, `is runtime within ${root}; knowledge and runtime live apart`);
  return found;
}

export function absolute(path: string, root: string, home: string): string {
  return path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : resolve(root, path);
}

/** `*` stands for one name. */
function expand(pattern: string): readonly string[] {
  let places = ['/'];
  for (const part of pattern.split('/').filter((name) => name !== '')) {
    if (!part.includes('*')) places = places.map((place) => join(place, part));
    else {
      const matcher = new RegExp(
        `^${part
          .split('*')
          .map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
          .join('.*')}$`,
      );
      places = places.flatMap((place) =>
        namesIn(place)
          .filter((name) => matcher.test(name))
          .map((name) => join(place, name)),
      );
    }
    if (places.length > MAX_COPIES) places = places.slice(0, MAX_COPIES);
  }
  return places;
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function markdownFiles(path: string): readonly string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isFile() === true) return [path];
  if (stat?.isDirectory() !== true) return [];
  return namesIn(path)
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(path, name))
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path).subarray(0, MAX_PAGE_BYTES).toString('utf8');
  } catch {
    return undefined;
  }
}

function brief(text: string): string {
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}
