// What lint says. Rule ids are stable: a release may add rules, never rename one (WIK-20).

/** `error`: something is wrong. `warning`: it will be. `advice`: it could be better. `info`: worth seeing. */
export type Level = 'error' | 'warning' | 'advice' | 'info';

interface RuleAbout {
  readonly level: Level;
  readonly about: string;
  readonly fix?: true;
}

export type Rule =
  | 'broken-link'
  | 'ambiguous-link'
  | 'outside-link'
  | 'empty-link'
  | 'link-spelling'
  | 'undefined-reference'
  | 'embed-cycle'
  | 'orphan'
  | 'unindexed'
  | 'duplicate'
  | 'near-duplicate'
  | 'stale'
  | 'not-reconciled'
  | 'frontmatter'
  | 'missing-type'
  | 'unknown-frontmatter'
  | 'bad-date'
  | 'tasks'
  | 'log-gap'
  | 'judgment'
  | 'log-rotation'
  | 'queue'
  | 'source-scan'
  | 'heartbeat'
  | 'loose-file'
  | 'page-count'
  | 'schema-length'
  | 'schema-copy'
  | 'runtime-audit'
  | 'expected-output'
  | 'memory-drift'
  | 'memory-only'
  | 'bucket'
  | 'domain-leak'
  | 'large-page'
  | 'binary-page'
  | 'unreadable'
  | 'bad-name'
  | 'symlink';

export const RULES: Readonly<Record<Rule, RuleAbout>> = {
  'broken-link': { level: 'error', about: 'a link to a page, heading or file that is not there', fix: true },
  'ambiguous-link': { level: 'error', about: 'a wikilink that several pages answer to' },
  'outside-link': { level: 'warning', about: 'a link that leaves the wiki: a clone does not have its target' },
  'empty-link': { level: 'warning', about: 'a link without a target' },
  'link-spelling': { level: 'warning', about: 'a link that differs from its file in case or in how accents are written', fix: true },
  'undefined-reference': { level: 'advice', about: '[text][label] whose label is defined nowhere' },
  'embed-cycle': { level: 'error', about: 'pages that embed each other in a circle' },
  orphan: { level: 'warning', about: 'a page that no page links to' },
  unindexed: { level: 'warning', about: 'a page that the index does not link to', fix: true },
  duplicate: { level: 'error', about: 'a page with the words of another one' },
  'near-duplicate': { level: 'warning', about: 'a page with most of the words of another one' },
  stale: { level: 'warning', about: 'a page past its stale_after, or not verified for long' },
  'not-reconciled': { level: 'warning', about: 'a plan older than a page it cites' },
  frontmatter: { level: 'error', about: 'frontmatter that cannot be read' },
  'missing-type': { level: 'advice', about: 'a page without type' },
  'unknown-frontmatter': { level: 'advice', about: 'a key of frontmatter that nothing knows' },
  'bad-date': { level: 'warning', about: 'a date that is none' },
  tasks: { level: 'info', about: 'an open task' },
  'log-gap': { level: 'warning', about: 'a change that the log does not mention' },
  judgment: { level: 'advice', about: 'a log entry without a Judgment: line' },
  'log-rotation': { level: 'advice', about: 'a log that has grown long', fix: true },
  queue: { level: 'warning', about: 'a change that waits in the update queue', fix: true },
  'source-scan': { level: 'warning', about: 'raw material that no page uses, or that is not as it was filed' },
  heartbeat: { level: 'warning', about: 'no lint for longer than planned', fix: true },
  'loose-file': { level: 'warning', about: 'a file at the root that belongs in a directory' },
  'page-count': { level: 'advice', about: 'fewer or more pages than a wiki is read best with' },
  'schema-length': { level: 'advice', about: 'a schema over its soft cap' },
  'schema-copy': { level: 'warning', about: 'two schemas that say different things' },
  'runtime-audit': { level: 'warning', about: 'runtime among knowledge' },
  'expected-output': { level: 'error', about: 'a scheduled job that did not produce its file' },
  'memory-drift': { level: 'warning', about: 'a copy that says something else than the wiki' },
  'memory-only': { level: 'advice', about: 'a copy with facts that the wiki has not' },
  bucket: { level: 'warning', about: 'a file or directory outside its bucket' },
  'domain-leak': { level: 'warning', about: 'a link from one domain into another' },
  'large-page': { level: 'warning', about: 'a page too long to be read in full' },
  'binary-page': { level: 'warning', about: 'a page that is not text' },
  unreadable: { level: 'error', about: 'a file that could not be read' },
  'bad-name': { level: 'warning', about: 'a file name that links cannot carry' },
  symlink: { level: 'warning', about: 'a symbolic link, which is not followed' },
};

export interface Finding {
  readonly rule: Rule;
  /** Path from the root of the wiki. */
  readonly file: string;
  /** 1-based; 1 where the whole file is meant. */
  readonly line: number;
  /** What the finding is about: a link's target, another page, a key. */
  readonly target: string;
  readonly message: string;
  /** What an answer to this finding holds for, where that is not the line or the page (see `triage.ts`). */
  readonly about?: string;
}

export function isRule(text: string): text is Rule {
  return Object.hasOwn(RULES, text);
}

/** Files in path order, then by line, rule and target. */
export function compareFindings(a: Finding, b: Finding): number {
  return order(a.file, b.file) || a.line - b.line || order(a.rule, b.rule) || order(a.target, b.target);
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
