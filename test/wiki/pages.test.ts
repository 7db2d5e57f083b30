import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDocument } from 'yaml';

import { FRONTMATTER_LIMITS, parseFrontmatter, splitPage } from '../../src/wiki/frontmatter.ts';
import { readMarkdown } from '../../src/wiki/markdown.ts';
import { MAX_PAGE_BYTES, readPage } from '../../src/wiki/page.ts';
import { WikiDirectory } from '../../src/wiki/wiki-directory.ts';
import { linted, scratch, TODAY, write } from './scratch.ts';

const valuesOf = (yaml: string): unknown => {
  const parsed = parseFrontmatter(yaml);
  return 'message' in parsed ? parsed.message : Object.fromEntries(parsed.values);
};

describe('frontmatter', () => {
  it('WIK-2 only a first line of --- opens it, and nothing in it is evaluated', () => {
    expect(splitPage('\n---\na: 1\n---\n').frontmatter).toBeUndefined();
    expect(splitPage('---js\nprocess.exit(1)\n---\n').frontmatter).toBeUndefined();
    expect(splitPage('--- \na: b\n---\nx').frontmatter).toBeUndefined();
    expect(splitPage('\ufeff---\r\na: b\r\n---\r\nx')).toMatchObject({ body: 'x', bodyLine: 3 });
    expect(splitPage('---\n---\nx')).toMatchObject({ body: 'x', bodyLine: 2, fault: undefined });
    expect(splitPage('---\nno end')).toMatchObject({ frontmatter: undefined, body: '---\nno end' });
    expect(valuesOf('a: !!js/function "function(){}"\nn: 0x10\nd: 2026-04-20\nyes: yes')).toEqual({
      a: 'function(){}',
      n: '0x10',
      d: '2026-04-20',
      yes: 'yes',
    });
    expect(valuesOf('__proto__: {polluted: yes}\nx: y')).toBeTypeOf('object');
    expect(({} as { polluted?: string }).polluted).toBeUndefined();
  });

  it('WIK-3 bombs, depth, size and nonsense are faults with a line, and the body is read all the same', () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 9 }, (_, i) => `${'bcdefghij'[i]}: &${'bcdefghij'[i]} [${Array(9).fill(`*${'abcdefghi'[i]}`).join(',')}]`).join('\n')}`;
    const faulty = [
      bomb,
      `a: ${'['.repeat(5_000)}`,
      `a: ${'{a: '.repeat(200)}`,
      `a: ${'x'.repeat(FRONTMATTER_LIMITS.sizeUnits)}`,
      'a: [b',
      'a: 1\na: 2',
      '- a list',
      '\ttab: x',
    ];
    for (const yaml of faulty) {
      const { fault, frontmatter, body } = splitPage(`---\n${yaml}\n---\n[x](y.md)\n`);
      expect([fault?.message, frontmatter]).toEqual([expect.any(String), undefined]);
      expect(body).toBe('[x](y.md)\n');
    }
    const { depth, keys, aliases } = FRONTMATTER_LIMITS;
    const nested = (levels: number): string => `a: ${'{a: '.repeat(levels - 1)}x${'}'.repeat(levels - 1)}`;
    const keyed = (count: number, value: string): string => Array.from({ length: count }, (_, i) => `k${i}: ${value}\n`).join('');
    const aliased = (count: number): string => `a: &a x\nb: [${Array(count).fill('*a').join(', ')}]`;
    for (const [limit, make] of [
      [depth, nested],
      [keys, (count: number): string => keyed(count, 'plain')],
      [keys, (count: number): string => keyed(count, '"quoted"')],
      [aliases, aliased],
    ] as const)
      expect([limit, limit + 1].map((count) => 'message' in parseFrontmatter(make(count)))).toEqual([false, true]);
  });

  it('the short way says what the YAML parser says', () => {
    const word = fc.stringMatching(/^[ -~]{0,12}$/);
    const line = fc.oneof(
      fc.tuple(fc.stringMatching(/^[a-z_]{1,5}$/), word).map(([key, value]) => `${key}: ${value}`),
      fc.tuple(fc.stringMatching(/^[a-z_]{1,5}$/), fc.array(word, { maxLength: 3 })).map(([key, items]) => `${key}: [${items.join(', ')}]`),
      word.map((item) => `  - ${item}`),
      fc.constantFrom('a:', 'b:', '', 'a: 2026-04-20T10:00:00Z', 'u: https://example.com/a?b'),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 5 }), (lines) => {
        const yaml = lines.join('\n');
        const document = parseDocument(yaml, { schema: 'failsafe', uniqueKeys: true, logLevel: 'silent', stringKeys: true });
        const ours = valuesOf(yaml);
        if (document.errors.length > 0 || yaml.includes('*')) return true;
        const theirs: unknown = document.toJS();
        if (typeof theirs !== 'object' || theirs === null || Array.isArray(theirs)) return true;
        expect(JSON.parse(JSON.stringify(ours))).toEqual(JSON.parse(JSON.stringify(theirs, (_, value: unknown) => value ?? '')));
        return true;
      }),
      { numRuns: 300 },
    );
  });
});

describe('Markdown', () => {
  const linksOf = (text: string): readonly string[] =>
    readMarkdown(text, 0).links.map(({ kind, target, line }) => `${line} ${kind} ${target}`);

  it('each kind of link is known by its kind, target and line', () => {
    expect(linksOf('[a](b.md "t\nu")\n[[c#d|e]] ![[f]]\n\n[g]: h.md\n\n![i](j.png)\n<kk:l>\n<a href=m>n</a>\n')).toEqual([
      '1 link b.md',
      '3 wikilink c#d',
      '3 embed f',
      '5 definition h.md',
      '7 image j.png',
      '8 link kk:l',
      '9 html m',
    ]);
  });

  it('tables, quotes and lists keep the line of what they hold', () => {
    expect(linksOf('| a |\n| - |\n| [[b\\|c]] |\n| [d](e) |\n\n> 1. x\n>    [f](g)\n')).toEqual(['3 wikilink b', '4 link e', '7 link g']);
  });

  it('hard breaks and soft breaks both count', () => {
    expect(readMarkdown('a  \nb\\\nc\n[y][nowhere]\n', 0).undefinedReferences).toEqual([{ label: 'nowhere', line: 4 }]);
  });

  it('headings are named as GitHub names them', () => {
    const { anchors } = readMarkdown('# A & B\n\n## A & B\n\n### `x` [y](z) *w*\n\nÜber\n----\n\n## Named {#here}\n', 0);
    expect([...anchors].sort()).toEqual([' a b', 'a--b', 'a--b-1', 'here', 'named', 'x-y-w', 'über'].sort());
  });
});

describe('hostile input', () => {
  it('WIK-4 a page of 10 MB is named, read in part, and costs no more than that part', () => {
    const line = '[x](gone.md) and more words\n';
    const facts = readPage(Buffer.from(line.repeat(Math.ceil((10 << 20) / line.length))));
    expect(facts.problem?.kind).toBe('large');
    expect(facts.markdown.links.length).toBeLessThanOrEqual(MAX_PAGE_BYTES / line.length);
    expect(facts.markdown.links.length).toBeGreaterThan(1_000);
  });

  // Quadratic time would be minutes here; what there is takes a second or two.
  it.each([
    '[',
    '[[',
    '![[a',
    '`',
    '*a[',
    '<a "',
    '<!--',
    '> ',
    '[a][b]',
    '[^a]: x\n',
    '[a]: x\n',
    '- ',
    '[a](',
    '|[a',
    '&[',
    'a^b',
    '[a\n',
    '$a[',
    '$[a] ',
    '\\$[',
    '\\\\$<',
    '%%[\n',
    '$$\n> %%\n',
    '- $$\n',
    '<h1>[',
  ])('WIK-4 a page of %j, over and over, is read in bounded time', (piece) => {
    const facts = readPage(Buffer.from(piece.repeat(Math.floor((150 << 10) / piece.length))));
    expect(facts.problem).toBeUndefined();
  });

  it('a line of thousands of brackets is named, and the lines around it are read', () => {
    const { links, unreadLines } = readMarkdown(`[a](b)\n${'['.repeat(9_000)}\n[c](d)\n`, 0);
    expect([links.map(({ target, line }) => [target, line]), unreadLines]).toEqual([
      [
        ['b', 1],
        ['d', 3],
      ],
      [2],
    ]);
  });

  it('WIK-5 binary files, bad names, links in circles and what cannot be read are findings', () => {
    const root = scratch({
      'good.md': '[bad](nowhere.md)\n',
      'binary.md': Uint8Array.from([0x23, 0, 1, 2]),
      'latin.md': Uint8Array.from([0x23, 0x20, 0xe9, 0x0a]),
      'two\nlines.md': '# x\n',
      '..hidden': '',
      '-rf.md': '# x\n',
      'brack[et].md': '# x\n',
      'deep/..md': '# x\n',
    });
    symlinkSync('.', join(root, 'circle'));
    symlinkSync('/etc/passwd', join(root, 'away.md'));
    symlinkSync('gone', join(root, 'dangling.md'));
    mkdirSync(join(root, 'directory.md'));
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff]), Buffer.from('.md')]), 'x');
    const rules = linted(root).map(({ rule, file }) => `${rule} ${file}`);
    expect(rules).toContain('broken-link good.md');
    expect(rules).toContain('binary-page binary.md');
    expect(rules).toContain('binary-page latin.md');
    expect(rules).toContain('bad-name two\nlines.md');
    expect(rules).toContain('bad-name -rf.md');
    expect(rules).toContain('bad-name brack[et].md');
    expect(rules.filter((rule) => rule.startsWith('symlink')).sort()).toEqual(['symlink away.md', 'symlink circle', 'symlink dangling.md']);
    expect(rules.filter((rule) => rule.startsWith('bad-name')).length).toBe(4);
    // What a link leads through is not followed, but it can be seen whether something is there.
    write(root, 'good.md', '[a](circle/binary.md) [b](away.md) [[away]] [c](dangling.md) [d](circle/none.md) [e](.git) [[.git]]\n');
    mkdirSync(join(root, '.git'));
    const targets = (outside: boolean): readonly string[] =>
      WikiDirectory.open(root)
        .lint({ today: TODAY, outside })
        .filter(({ rule }) => rule === 'broken-link')
        .map(({ target }) => target);
    expect(targets(true)).toEqual(['.git', 'circle/none.md', 'dangling.md']);
    expect(targets(false)).toEqual(['.git']);
  });

  it('a page that turns into a directory, or goes away, is gone', () => {
    const root = scratch({ 'a.md': '[b](b.md)\n', 'b.md': '# b\n' });
    const wiki = WikiDirectory.open(root);
    expect(wiki.lint({ today: TODAY })).toEqual([]);
    wiki.update(['b.md', 'never-there.md', 'a.md']);
    expect(wiki.lint({ today: TODAY })).toEqual([]);
  });
});
