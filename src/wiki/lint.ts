// Lint: a pure function of the index and what it is given. What a page's bytes decide is remembered; the rest is one pass over pages.
import { compareFindings, type Finding } from './finding.ts';
import { duplicateFindings, embedCycleFindings, nearDuplicateFindings, orphanFindings, unindexedFindings } from './lint-graph.ts';
import { isWiki, type LintInput } from './lint-input.ts';
import { layoutFindings, nameFinding, sourceFindings } from './lint-layout.ts';
import { linkFindings } from './lint-links.ts';
import { pageFindings } from './lint-page.ts';
import {
  heartbeatFindings,
  judgmentFindings,
  logGapFindings,
  queueFindings,
  reconcileFindings,
  rotationFindings,
  staleFindings,
} from './lint-time.ts';
import type { IndexedPage } from './wiki-index.ts';

/** Findings of pages, by the page as it is: an edit makes a new one, and so does a change of what it links to. */
export class LintMemo {
  readonly #pages = new WeakMap<IndexedPage, { readonly wiki: boolean; readonly findings: readonly Finding[] }>();

  of(page: IndexedPage, wiki: boolean, make: () => readonly Finding[]): readonly Finding[] {
    const known = this.#pages.get(page);
    // Links to what no page is are looked up each time: it changes without notice.
    if (known !== undefined && known.wiki === wiki && !page.leaves) return known.findings;
    const findings = make();
    this.#pages.set(page, { wiki, findings });
    return findings;
  }
}

/** In order of file, line, rule, target; rules that are switched off are left out. */
export function lint(input: LintInput, memo: LintMemo = new LintMemo()): readonly Finding[] {
  const { index } = input;
  const wiki = isWiki(index);
  const found: Finding[] = [];
  for (const page of index.pages()) for (const finding of memo.of(page, wiki, () => ofPage(page, wiki, input))) found.push(finding);
  for (const { path } of index.curated()) for (const finding of nearDuplicateFindings(index, path)) found.push(finding);
  for (const path of index.files()) {
    const finding = nameFinding(path);
    if (finding !== undefined) found.push(finding);
  }
  const rest: readonly (readonly Finding[])[] = [
    duplicateFindings(index),
    embedCycleFindings(index),
    staleFindings(input),
    reconcileFindings(input),
    queueFindings(input),
    input.walk,
    input.outside,
    ...(wiki ? wikiFindings(input) : []),
  ];
  for (const findings of rest) for (const finding of findings) found.push(finding);
  const { off } = index.config;
  return (off.size === 0 ? found : found.filter(({ rule }) => !off.has(rule))).sort(compareFindings);
}

function wikiFindings(input: LintInput): readonly (readonly Finding[])[] {
  const { index } = input;
  return [
    orphanFindings(index),
    unindexedFindings(index),
    logGapFindings(input),
    judgmentFindings(input),
    rotationFindings(input),
    heartbeatFindings(input),
    sourceFindings(input),
    layoutFindings(input),
  ];
}

function ofPage(page: IndexedPage, wiki: boolean, input: LintInput): readonly Finding[] {
  const name = nameFinding(page.path);
  // Raw material is as it came; what is ignored is nobody's page.
  const links = wiki && (page.place === 'source' || page.place === 'ignored') ? [] : linkFindings(page, input);
  return [...(name === undefined ? [] : [name]), ...pageFindings(page, wiki, input.index.config.frontmatterKeys), ...links];
}
