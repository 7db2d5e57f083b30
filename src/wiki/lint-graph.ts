// Findings about pages among pages: who links to whom, and who says what another one says.
import type { Finding } from './finding.ts';
import type { WikiIndex } from './wiki-index.ts';

export function orphanFindings(index: WikiIndex): readonly Finding[] {
  const found: Finding[] = [];
  for (const { path } of index.curated())
    if (index.inbound(path) === 0) found.push({ rule: 'orphan', file: path, line: 1, target: path, message: 'no page links to it' });
  return found;
}

export function unindexedFindings(index: WikiIndex): readonly Finding[] {
  const [entry] = index.special('index');
  if (entry === undefined) return [];
  const found: Finding[] = [];
  for (const { path } of index.curated())
    if (!entry.targets.has(path))
      found.push({ rule: 'unindexed', file: path, line: 1, target: entry.path, message: `${entry.path} does not link to it` });
  return found;
}

export function duplicateFindings(index: WikiIndex): readonly Finding[] {
  const found: Finding[] = [];
  for (const [first = '', ...copies] of index.similar.duplicates())
    for (const copy of copies)
      found.push({ rule: 'duplicate', file: copy, line: 1, target: first, message: `says word for word what ${first} says` });
  return found;
}

/** Of one page; each pair is told once, at the later path. */
export function nearDuplicateFindings(index: WikiIndex, path: string): readonly Finding[] {
  const near = index.similar.near(path);
  if (near.length === 0) return [];
  return near
    .filter((other) => other.path < path)
    .map((other) => ({
      rule: 'near-duplicate' as const,
      file: path,
      line: 1,
      target: other.path,
      message: `shares about ${Math.round(other.share * 100)} % of its words with ${other.path}`,
    }));
}

/** Circles of embeds, each told once, at its first path. Linear in pages and embeds; no recursion. */
export function embedCycleFindings(index: WikiIndex): readonly Finding[] {
  const embeds = new Map<string, readonly string[]>();
  for (const page of index.pages()) {
    if (!page.embeds) continue;
    const targets = page.links.flatMap(({ link, to }) =>
      link.kind === 'embed' && to.kind === 'file' && index.get(to.path) !== undefined ? [to.path] : [],
    );
    if (targets.length > 0) embeds.set(page.path, targets);
  }
  const found: Finding[] = [];
  const done = new Set<string>();
  for (const start of embeds.keys()) {
    if (done.has(start)) continue;
    const trail: { readonly path: string; next: number }[] = [{ path: start, next: 0 }];
    const on = new Map([[start, 0]]);
    for (let top = trail.at(-1); top !== undefined; top = trail.at(-1)) {
      const next = embeds.get(top.path)?.[top.next++];
      if (next === undefined) {
        done.add(top.path);
        on.delete(top.path);
        trail.pop();
        continue;
      }
      const since = on.get(next);
      if (since !== undefined) found.push(circle(trail.slice(since).map(({ path }) => path)));
      else if (!done.has(next)) {
        on.set(next, trail.length);
        trail.push({ path: next, next: 0 });
      }
    }
  }
  return found;
}

function circle(paths: readonly string[]): Finding {
  const [first = ''] = [...paths].sort();
  const at = paths.indexOf(first);
  const round = [...paths.slice(at), ...paths.slice(0, at), first];
  return { rule: 'embed-cycle', file: first, line: 1, target: round[1] ?? first, message: `embeds itself: ${round.join(' → ')}` };
}
