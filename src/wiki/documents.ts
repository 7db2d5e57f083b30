// Documents of any kind in a directory, as search takes pages (IMG-94). Text is cut at headings of Markdown and into pieces of bounded
// length; what is binary, and what is over the bounds, is left out and named.
import { isUtf8 } from 'node:buffer';
import { realpathSync } from 'node:fs';

import type { SearchPage } from './page-search.ts';
import { MAX_PAGE_BYTES } from './page.ts';
import { nameOf, withoutExtension } from './paths.ts';
import { readInside } from './read-inside.ts';
import type { Section } from './sections.ts';
import { codeOf, walk } from './walk.ts';

/** Of one directory: a second or two of reading. */
const MAX_BYTES = 256 << 20;
const MOST_LINES = 60;
const HEADING = /^#{1,3}\s+(.*?)\s*#*$/;

export interface Documents {
  readonly pages: readonly SearchPage[];
  readonly left: readonly { readonly path: string; readonly reason: string }[];
}

/** Reads every document once, in the order of their paths. */
export function readDocuments(directory: string): Documents {
  const root = realpathSync(directory);
  const { files, findings } = walk(root);
  const left = findings.map(({ file, message }) => ({ path: file, reason: message }));
  const pages: SearchPage[] = [];
  let sizeBytes = 0;
  for (const [path, file] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const leave = (reason: string): void => void left.push({ path, reason });
    sizeBytes += file.sizeBytes;
    if (sizeBytes > MAX_BYTES) leave(`lies behind the first ${MAX_BYTES} bytes of the directory`);
    else
      try {
        const bytes = readInside(root, path);
        const part = bytes.subarray(0, MAX_PAGE_BYTES);
        if (part.includes(0) || (part.length === bytes.length && !isUtf8(part))) leave('is no text');
        else pages.push(pageOf(path, part.toString('utf8').replace(/\n$/, '')));
        if (part.length < bytes.length) leave(`only its first ${MAX_PAGE_BYTES} bytes were read`);
      } catch (error) {
        leave(`cannot be read: ${codeOf(error)}`);
      }
  }
  return { pages, left };
}

function pageOf(path: string, text: string): SearchPage {
  const sections = sectionsOf(text.split('\n'));
  const name = withoutExtension(nameOf(path));
  return { path, title: sections[0]?.heading || name, names: [name], tags: [], status: undefined, sections, links: [] };
}

function sectionsOf(lines: readonly string[]): readonly Section[] {
  const sections: Section[] = [];
  let heading = '';
  let start = 0;
  const end = (at: number): void => {
    const text = lines.slice(start, at).join('\n');
    if (text.trim() !== '') sections.push({ heading, startLine: start + 1, endLine: at, text });
    start = at;
  };
  for (const [at, line] of lines.entries()) {
    const next = HEADING.exec(line)?.[1];
    if (next !== undefined || at - start >= MOST_LINES) end(at);
    if (next !== undefined) heading = next;
  }
  end(lines.length);
  return sections;
}
