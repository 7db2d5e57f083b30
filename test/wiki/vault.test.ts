// The labelled vault: every kind of link, and everything that only looks like one.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

import type { Finding } from '../../src/wiki/finding.ts';
import { WikiDirectory } from '../../src/wiki/wiki-directory.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/wiki/', import.meta.url));
const LINK_RULES = new Set([
  'broken-link',
  'ambiguous-link',
  'link-spelling',
  'outside-link',
  'empty-link',
  'undefined-reference',
  'embed-cycle',
]);

type Label = Pick<Finding, 'rule' | 'file' | 'line' | 'target'>;
const keyOf = ({ rule, file, line, target }: Label): string => `${rule} ${file}:${line} ${target}`;

describe('the labelled vault', () => {
  const wiki = WikiDirectory.open(`${FIXTURES}vault`);
  const labels = JSON.parse(readFileSync(`${FIXTURES}labels.json`, 'utf8')) as readonly Label[];
  const found = wiki.lint({ today: '2026-03-03', outside: true }).filter(({ rule }) => LINK_RULES.has(rule));

  it('WIK-11 every labelled link is found, and nothing else is', () => {
    expect(wiki.index.pages().length).toBeGreaterThanOrEqual(60);
    expect(labels.filter(({ rule }) => rule === 'broken-link').length).toBeGreaterThanOrEqual(60);
    expect([...new Set(found.map(keyOf))].sort()).toEqual(labels.map(keyOf).sort());
  });

  it('WIK-7 code, comments, scripts, footnotes and escaped brackets hold no link', () => {
    const noise = found.filter(({ file, target }) => file.startsWith('noise/') && /^(?:nope(?:\.md|\.png)?|word\.md|1, 2.*)$/.test(target));
    expect(noise).toEqual([]);
    // Nothing was simply passed over: the same pages have links that were found.
    expect(found.filter(({ file }) => file === 'noise/html.md').length).toBe(labels.filter(({ file }) => file === 'noise/html.md').length);
  });

  it('WIK-13 a second look reads nothing again and says the same', () => {
    const again = wiki.refresh().filter((path) => path.endsWith('.md'));
    expect(wiki.lint({ today: '2026-03-03', outside: true }).filter(({ rule }) => LINK_RULES.has(rule))).toEqual(found);
    // Files written just before the first look may be read once more; then no longer.
    expect(again.length === 0 || wiki.refresh().length <= again.length).toBe(true);
  });
});
