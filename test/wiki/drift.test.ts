// Copies against the wiki: the labelled cases, and what must hold for any text.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { CanonicalFacts, driftOf } from '../../src/wiki/drift.ts';
import { compareCopies, knownOf } from '../../src/wiki/lint-outside.ts';
import { WikiDirectory } from '../../src/wiki/wiki-directory.ts';
import { scratch } from './scratch.ts';

interface Cases {
  readonly pages: Readonly<Record<string, string>>;
  readonly root: string;
  /** Verdict, line, page that says what is so (null: none does). */
  readonly cases: readonly {
    readonly name: string;
    readonly copy: string;
    readonly expect: readonly (readonly [string, number, (string | null)?])[];
  }[];
}

const { pages, root, cases } = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../abi-spec/cases/wiki-drift.json', import.meta.url)), 'utf8'),
) as Cases;

describe('copies of knowledge', () => {
  const home = scratch(
    Object.fromEntries(Object.entries({ 'INDEX.md': '# I\n', ...pages }).map(([path, text]) => [`${root.slice(2)}/${path}`, text])),
  );
  const wiki = WikiDirectory.open(join(home, root.slice(2)));
  const texts = wiki.index.curated().map(({ path }) => ({ path, text: wiki.text(path) ?? '' }));

  it('WIK-24 of the labelled copies every contradiction, stale fact and fact of their own is told, and nothing else', () => {
    const said = cases.map(({ name, copy }) => {
      const found = driftOf(copy, new CanonicalFacts(texts, [copy], knownOf(wiki, home)));
      return { name, found: found.map(({ kind, line, page }) => [kind, line, ...(kind === 'only' ? [] : [page ?? null])]) };
    });
    expect(said).toEqual(cases.map(({ name, expect: found }) => ({ name, found })));
  });

  it('WIK-24 the pages themselves, compared with their own wiki, differ in nothing', () => {
    const reports = compareCopies(wiki, [{ path: join(home, root.slice(2)), name: 'itself', kind: 'copy', confirmed: undefined }], home);
    expect(reports.length).toBeGreaterThan(4);
    expect(reports.flatMap(({ drifts }) => drifts.filter(({ kind }) => kind !== 'copied'))).toEqual([]);
  });

  it('WIK-24 whatever a copy holds, it is compared within its length, and what is said of it stands in it', () => {
    const canonical = new CanonicalFacts(texts, [], knownOf(wiki, home));
    const piece = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 30 }),
      fc.constantFrom(
        ...Object.values(pages).flatMap((text) => text.split('\n')),
        '`',
        '```',
        '|',
        'port 1',
        '~/a/b',
        '/'.repeat(200),
        '1.'.repeat(200),
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
        const copy = parts.join('\n');
        for (const { line, said } of driftOf(copy, canonical)) expect(copy.split('\n')[line - 1]).toContain(said);
      }),
      { numRuns: 200 },
    );
    const long = `${'a/'.repeat(50_000)}\n${'The gateway 1.'.repeat(5000)}\n${'x-'.repeat(50_000)}: 3\n${'['.repeat(50_000)}\n`;
    const startedMs = performance.now();
    driftOf(long, canonical);
    expect(performance.now() - startedMs).toBeLessThan(20_000);
  });
});
