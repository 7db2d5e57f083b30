// Where a link leads (abi-spec/wiki.md, "Links").
import type { Link } from './markdown.ts';
import type { Namespace } from './namespace.ts';
import { directoryOf, isPagePath, joinInside, nameOf } from './paths.ts';
import { foldName, headingWords, slugOf } from './slug.ts';

export type Resolution =
  /** Another address; never looked at. */
  | { readonly kind: 'external' }
  | { readonly kind: 'empty' }
  /** `spelling`: the path of the file differs from the link in case or in how accents are written. */
  | { readonly kind: 'file'; readonly path: string; readonly anchor: string | undefined; readonly spelling: boolean }
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'missing'; readonly path: string }
  | { readonly kind: 'ambiguous'; readonly candidates: readonly string[] }
  /** Above the root: the path as written, from the root. */
  | { readonly kind: 'outside'; readonly path: string };

/** A place that a template is still to fill. */
const PLACEHOLDER = /\{\{|\{%|<%/;
const SCHEME = /^(?:[a-z][a-z0-9+.-]+:|\/\/)/i;

/** The parts of a target: path (percent signs undone), and anchor without its `#`. */
export function splitTarget(link: Link): { readonly path: string; readonly anchor: string | undefined } {
  const { target } = link;
  const hash = target.indexOf('#');
  const written = hash < 0 ? target : target.slice(0, hash);
  const anchor = hash < 0 ? undefined : target.slice(hash + 1);
  const wiki = link.kind === 'wikilink' || link.kind === 'embed';
  const path = wiki ? written : written.replace(/\?.*$/s, '');
  return { path: wiki ? path.trim() : undone(path), anchor: anchor === undefined ? undefined : wiki ? anchor.trim() : undone(anchor) };
}

function undone(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Costs a few look-ups. `from` is the path of the page that has the link. */
export function resolveLink(link: Link, from: string, names: Namespace): Resolution {
  if (link.target.trim() === '') return { kind: 'empty' };
  const wiki = link.kind === 'wikilink' || link.kind === 'embed';
  if (PLACEHOLDER.test(link.target)) return { kind: 'external' };
  if (wiki ? /^[a-z][a-z0-9+.-]+:\/\//i.test(link.target) : SCHEME.test(link.target)) return { kind: 'external' };
  const { path, anchor } = splitTarget(link);
  if (path === '') return { kind: 'file', path: from, anchor, spelling: false };
  return wiki ? byName(path, anchor, from, names) : byPath(path, anchor, from, names);
}

/** Markdown: relative to the page, or from the root with a leading slash. */
function byPath(path: string, anchor: string | undefined, from: string, names: Namespace): Resolution {
  const joined = joinInside(path.startsWith('/') ? '' : directoryOf(from), path);
  if (joined === undefined) return { kind: 'outside', path };
  return at(joined, anchor, names, path.endsWith('/')) ?? { kind: 'missing', path: joined };
}

function at(path: string, anchor: string | undefined, names: Namespace, slash: boolean): Resolution | undefined {
  if (!slash) {
    if (names.has(path)) return { kind: 'file', path, anchor, spelling: false };
    const alike = names.alike(path);
    const [only] = alike;
    if (only !== undefined) {
      // With or without its extension is no other spelling.
      const exact = alike.find((other) => isPagePath(other) && other.startsWith(`${path}.`));
      return { kind: 'file', path: exact ?? only, anchor, spelling: exact === undefined };
    }
  }
  return path === '' || names.hasDirectory(path) ? { kind: 'directory', path } : undefined;
}

/** Wikilinks: path from the root, from the page's directory, then base name (or the end of a path), then alias. */
function byName(path: string, anchor: string | undefined, from: string, names: Namespace): Resolution {
  const relative = /^\.\.?\//.test(path);
  const directory = directoryOf(from);
  const fromRoot = relative ? undefined : at(joinInside('', path) ?? '', anchor, names, path.endsWith('/'));
  if (fromRoot?.kind === 'file') return loose(fromRoot);
  const inside = joinInside(directory, path);
  if (inside === undefined) return { kind: 'outside', path };
  const nearby = at(inside, anchor, names, path.endsWith('/'));
  if (nearby?.kind === 'file') return loose(nearby);
  if (relative) return nearby ?? { kind: 'missing', path: inside };
  const found = byEnding(path, names);
  if (found.length === 1) return { kind: 'file', path: found[0] as string, anchor, spelling: false };
  if (found.length > 1) return { kind: 'ambiguous', candidates: found };
  const aliased = names.aliased(path);
  if (aliased.length === 1) return { kind: 'file', path: aliased[0] as string, anchor, spelling: false };
  if (aliased.length > 1) return { kind: 'ambiguous', candidates: aliased };
  return fromRoot ?? nearby ?? { kind: 'missing', path };
}

/** Case is no part of a wikilink. */
function loose(found: Resolution): Resolution {
  return found.kind === 'file' ? { ...found, spelling: false } : found;
}

function byEnding(path: string, names: Namespace): readonly string[] {
  const named = names.named(path);
  const wanted = foldName(path);
  // A name with another extension (`[[photo.png]]`) is that file's whole name; a page is named without its own.
  const ending = named.filter((other) => {
    const folded = foldName(other);
    const bare = isPagePath(other) ? folded.slice(0, folded.lastIndexOf('.')) : folded;
    return [folded, bare].some((form) => form === wanted || form.endsWith(`/${wanted}`));
  });
  const pages = ending.filter(isPagePath);
  return pages.length > 0 && !/\.[a-z0-9]{1,5}$/i.test(nameOf(path)) ? pages : ending;
}

/** Whether a page has what the part behind `#` names: a slug, the text of a heading, an id, or a `^block`. `wiki`: also its words alone. */
export function hasAnchor(anchor: string, anchors: ReadonlySet<string>, wiki: boolean = false): boolean {
  const wanted = anchor.replace(/^user-content-/, '');
  if (wanted === '' || /^top$/i.test(wanted)) return true;
  // `#Outer#Inner` names a heading below another one.
  const last = wanted.includes('#') ? wanted.slice(wanted.lastIndexOf('#') + 1) : wanted;
  if (last.startsWith('^')) return anchors.has(last.toLowerCase());
  if (anchors.has(last.toLowerCase()) || anchors.has(slugOf(last)) || anchors.has(slugOf(undone(last).trim()))) return true;
  const words = headingWords(last);
  return wiki && words !== '' && (anchors.has(` ${words}`) || anchors.has(slugOf(words)));
}
