// All pages of a wiki and how they link, kept up as files change. An edit costs the page and the pages that name it.
import { placeOf, type Place, type WikiConfig } from './config.ts';
import type { Link } from './markdown.ts';
import { Namespace } from './namespace.ts';
import type { PageFacts } from './page.ts';
import { baseKey } from './paths.ts';
import { resolveLink, splitTarget, type Resolution } from './resolve.ts';
import { SimilarPages } from './similar.ts';

export interface ResolvedLink {
  readonly link: Link;
  readonly to: Resolution;
}

export interface IndexedPage {
  readonly path: string;
  readonly place: Place;
  readonly facts: PageFacts;
  readonly links: readonly ResolvedLink[];
  /** Pages and files that it links to, each once. */
  readonly targets: ReadonlySet<string>;
  /** Has a link above the root, or to what was not met. */
  readonly leaves: boolean;
  /** Has an embed. */
  readonly embeds: boolean;
}

/** A page with its facts, another file, or a file that has gone. */
export type FileChange =
  | { readonly path: string; readonly kind: 'page'; readonly facts: PageFacts }
  | { readonly path: string; readonly kind: 'file' }
  | { readonly path: string; readonly kind: 'gone' };

export class WikiIndex {
  readonly config: WikiConfig;
  readonly names: Namespace = new Namespace();
  readonly similar: SimilarPages = new SimilarPages();
  readonly #pages = new Map<string, IndexedPage>();
  readonly #files = new Set<string>();
  /** Base key → pages with a link of that key. */
  readonly #askers = new Map<string, Set<string>>();
  readonly #inbound = new Map<string, number>();
  #sorted: readonly IndexedPage[] | undefined;
  #curated: readonly IndexedPage[] | undefined;
  #special: readonly IndexedPage[] | undefined;

  constructor(config: WikiConfig) {
    this.config = config;
  }

  get(path: string): IndexedPage | undefined {
    return this.#pages.get(path);
  }

  /** In path order. */
  pages(): readonly IndexedPage[] {
    return (this.#sorted ??= [...this.#pages.values()].sort((a, b) => (a.path < b.path ? -1 : 1)));
  }

  /** Curated pages, in path order. */
  curated(): readonly IndexedPage[] {
    return (this.#curated ??= this.pages().filter(({ place }) => place === 'page'));
  }

  /** Pages with a part of their own: index, log, schema. */
  special(place: Place): readonly IndexedPage[] {
    return (this.#special ??= this.pages().filter((page) => page.place !== 'page')).filter((page) => page.place === place);
  }

  /** Files that are no pages. */
  files(): ReadonlySet<string> {
    return this.#files;
  }

  /** How many other pages link to it; raw material does not count. */
  inbound(path: string): number {
    return this.#inbound.get(path) ?? 0;
  }

  /** Returns the pages whose links were resolved again. */
  apply(changes: readonly FileChange[]): ReadonlySet<string> {
    const keys = new Set<string>();
    const again = new Set<string>();
    for (const change of changes) this.#change(change, keys, again);
    for (const key of keys) for (const path of this.#askers.get(key) ?? []) again.add(path);
    for (const path of again) this.#resolve(path);
    if (changes.length > 0 || again.size > 0) this.#sorted = this.#curated = this.#special = undefined;
    return again;
  }

  #change(change: FileChange, keys: Set<string>, again: Set<string>): void {
    const { path } = change;
    const old = this.#pages.get(path);
    const existed = old !== undefined || this.#files.has(path);
    const page = change.kind === 'page' ? change.facts : undefined;
    if (existed !== (change.kind !== 'gone')) {
      if (existed) this.names.removeFile(path);
      else this.names.addFile(path);
      keys.add(baseKey(path));
      // A link may lead to a directory.
      for (const part of path.split('/').slice(0, -1)) keys.add(baseKey(part));
    }
    if (change.kind === 'file') this.#files.add(path);
    else this.#files.delete(path);
    const before = old?.facts.aliases ?? [];
    const after = page?.aliases ?? [];
    for (const alias of before) if (!after.includes(alias)) this.#alias(alias, path, false, keys);
    for (const alias of after) if (!before.includes(alias)) this.#alias(alias, path, true, keys);
    if (old !== undefined && page !== undefined && !sameMembers(old.facts.markdown.anchors, page.markdown.anchors)) {
      // Links to its headings are looked at again.
      for (const name of [path, ...after]) keys.add(baseKey(name));
    }
    if (old !== undefined) this.#forget(old);
    if (page === undefined) {
      this.#pages.delete(path);
      this.similar.delete(path);
      again.delete(path);
      return;
    }
    const place = placeOf(path, this.config);
    for (const link of page.markdown.links) addTo(this.#askers, linkKey(link, path), path);
    if (place === 'page') this.similar.set(path, page.sketch);
    this.#pages.set(path, { path, place, facts: page, links: [], targets: new Set(), leaves: false, embeds: false });
    again.add(path);
  }

  #alias(alias: string, path: string, there: boolean, keys: Set<string>): void {
    if (there) this.names.addAlias(alias, path);
    else this.names.removeAlias(alias, path);
    keys.add(baseKey(alias));
  }

  #forget(page: IndexedPage): void {
    for (const target of page.targets) this.#count(page, target, -1);
    for (const { link } of page.links) {
      const key = linkKey(link, page.path);
      const set = this.#askers.get(key);
      if (set?.delete(page.path) === true && set.size === 0) this.#askers.delete(key);
    }
  }

  #resolve(path: string): void {
    const page = this.#pages.get(path);
    if (page === undefined) return;
    const links = page.facts.markdown.links.map((link) => ({ link, to: resolveLink(link, path, this.names) }));
    const targets = new Set<string>();
    for (const { to } of links) {
      if (to.kind === 'file') targets.add(to.path);
      // Whichever is meant, none of them is forgotten.
      if (to.kind === 'ambiguous') for (const candidate of to.candidates) targets.add(candidate);
    }
    for (const target of page.targets) this.#count(page, target, -1);
    for (const target of targets) this.#count(page, target, 1);
    this.#pages.set(path, {
      ...page,
      links,
      targets,
      leaves: links.some(({ to }) => to.kind === 'outside' || to.kind === 'missing'),
      embeds: links.some(({ link }) => link.kind === 'embed'),
    });
  }

  #count({ path, place }: IndexedPage, to: string, by: number): void {
    if (path === to || place === 'source' || place === 'ignored') return;
    const count = (this.#inbound.get(to) ?? 0) + by;
    if (count > 0) this.#inbound.set(to, count);
    else this.#inbound.delete(to);
  }
}

function sameMembers(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false;
  for (const member of a) if (!b.has(member)) return false;
  return true;
}

function linkKey(link: Link, from: string): string {
  const { path } = splitTarget(link);
  return baseKey(path === '' ? from : path);
}

function addTo(map: Map<string, Set<string>>, key: string, path: string): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([path]));
  else set.add(path);
}
