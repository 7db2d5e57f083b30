// ctx search SESSION --in retrieval/NAME: the sections of bound documents that answer, by the index that wikis are searched with.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { readDocuments } from '../wiki/documents.ts';
import { searchPages } from '../wiki/page-search.ts';
import type { Terminal } from './terminal.ts';
import { plain } from './wiki/place.ts';

const BOUND = /^(?:retrieval|memory)\/[^/]+(?:\/|$)/;
const MOST_EXCERPT = 160;

export interface DocumentHit {
  readonly path: string;
  readonly start_line: number;
  readonly end_line: number;
  readonly heading: string;
  readonly score: number;
  readonly excerpt: string;
}

/** Below the session; `.` parts and links out are the mount's to refuse. */
export async function searchDocuments(
  directory: string,
  place: string,
  query: string,
  limit: number,
): Promise<{ readonly hits: readonly DocumentHit[]; readonly left: readonly string[] }> {
  const root = join(directory, place);
  const found = BOUND.test(place) && !place.split('/').includes('..') ? await stat(root).catch(() => undefined) : undefined;
  if (found?.isDirectory() !== true)
    throw new CtxError('search.not_bound', 'ENOENT', 'is no directory that the session binds', {
      where: place,
      next: `name one of ls ${join(directory, 'retrieval')} ${join(directory, 'memory')}, such as retrieval/NAME`,
    });
  const { pages, left } = readDocuments(root);
  const hits = searchPages(pages, query, limit).flatMap(({ page, score, sections }) =>
    sections.slice(0, 1).map(({ section }) => ({
      path: `${place.replace(/\/+$/, '')}/${page.path}`,
      start_line: section.startLine,
      end_line: section.endLine,
      heading: section.heading,
      score,
      excerpt: section.text.replace(/\s+/g, ' ').trim().slice(0, MOST_EXCERPT),
    })),
  );
  return { hits, left: left.map(({ path, reason }) => `${path} ${reason}`) };
}

export function showDocuments(terminal: Terminal, hits: readonly DocumentHit[]): void {
  for (const { path, start_line: first, end_line: last, excerpt } of hits)
    terminal.line(`${terminal.style('cyan', plain(`${path}:${first}-${last}`))} ${plain(excerpt)}`);
}
