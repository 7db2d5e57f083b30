// Findings of a wiki with the answers that it keeps.
import type { Finding } from './finding.ts';
import { FIRINGS_PATH, parseFirings, parseTriage, triage, TRIAGE_PATH, type PageText, type TriagedFinding } from './triage.ts';
import type { WikiDirectory } from './wiki-directory.ts';

export interface Linted {
  readonly findings: readonly Finding[];
  readonly open: readonly TriagedFinding[];
  readonly settled: readonly TriagedFinding[];
}

export function triaged(wiki: WikiDirectory, findings: readonly Finding[], today: string): Linted {
  const answers = parseTriage(wiki.text(TRIAGE_PATH) ?? '');
  const firings = parseFirings(wiki.text(FIRINGS_PATH) ?? '');
  const page = (path: string): PageText | undefined => {
    const known = wiki.index.get(path);
    if (known === undefined) return undefined;
    let lines: readonly string[] | undefined;
    return {
      digest: known.facts.digest,
      get lines() {
        return (lines ??= (wiki.text(path) ?? '').split('\n'));
      },
    };
  };
  return { findings, ...triage(findings, { answers, firings, today, page }) };
}
