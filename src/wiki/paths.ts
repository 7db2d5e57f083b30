// Paths inside a wiki: `/` between names, no leading slash, never above the root.
import { foldName } from './slug.ts';

/** Joined from a directory of the wiki; undefined when it leads above the root. */
export function joinInside(directory: string, path: string): string | undefined {
  const parts = directory === '' ? [] : directory.split('/');
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join('/');
}

export function directoryOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

const PAGE_NAME = /\.(?:md|markdown|mdown|mkd)$/i;

export function isPagePath(path: string): boolean {
  return PAGE_NAME.test(path);
}

/** A path as wikilinks name it: without `.md`. */
export function withoutExtension(path: string): string {
  return path.replace(PAGE_NAME, '');
}

/** What a link and a page that it may mean have in common: the folded last name, without `.md`. */
export function baseKey(path: string): string {
  return foldName(withoutExtension(nameOf(path.endsWith('/') ? path.replace(/\/+$/, '') : path)));
}
