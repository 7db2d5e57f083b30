// The page, the schemas and the cases against the program.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';

import { RULES } from '../../src/wiki/finding.ts';
import type { LinkKind } from '../../src/wiki/markdown.ts';
import { Namespace } from '../../src/wiki/namespace.ts';
import { hasAnchor, resolveLink, type Resolution } from '../../src/wiki/resolve.ts';
import { triage } from '../../src/wiki/triage.ts';
import { linted, page, scratch, TODAY } from './scratch.ts';

const read = (path: string): string => readFileSync(fileURLToPath(new URL(`../../abi-spec/${path}`, import.meta.url)), 'utf8');

interface Cases {
  readonly files: readonly string[];
  readonly aliases: Readonly<Record<string, readonly string[]>>;
  readonly anchors: Readonly<Record<string, readonly string[]>>;
  readonly cases: readonly (readonly [from: string, kind: LinkKind, target: string, result: string])[];
  readonly anchorCases: readonly (readonly [page: string, anchor: string, there: boolean])[];
}

function word(to: Resolution): string {
  return to.kind === 'file' ? `${to.path}${to.spelling ? ' spelling' : ''}` : to.kind;
}

describe('abi-spec/wiki.md', () => {
  it('WIK-8 every case of abi-spec/cases/wiki-links.json', () => {
    const { files, aliases, anchors, cases, anchorCases } = JSON.parse(read('cases/wiki-links.json')) as Cases;
    const names = new Namespace();
    for (const file of files) names.addFile(file);
    for (const [path, list] of Object.entries(aliases)) for (const alias of list) names.addAlias(alias, path);
    const ours = cases.map(([from, kind, target]) => [from, kind, target, word(resolveLink({ kind, target, line: 1 }, from, names))]);
    expect(ours).toEqual(cases);
    expect(anchorCases.map(([path, anchor]) => [path, anchor, hasAnchor(anchor, new Set(anchors[path]))])).toEqual(anchorCases);
  });

  it('WIK-20 the rules of the program are those of the page and the schema', () => {
    const rows = [...read('wiki.md').matchAll(/^\| `([a-z-]+)` \| (error|warning|advice|info) \| (.*?) \|$/gm)].map(
      ([, rule, level, about]) => [rule, level, about],
    );
    const ours = Object.entries(RULES).map(([rule, { level, about, fix }]) => [
      rule,
      level,
      `${about}${fix === true ? ' (fixed by `--fix`)' : ''}`,
    ]);
    expect(rows).toEqual(ours);
    const schema = JSON.parse(read('schema/wiki-finding.json')) as { properties: { rule: { enum: readonly string[] } } };
    expect(schema.properties.rule.enum).toEqual(Object.keys(RULES));
  });

  it('WIK-12 what --json prints is what the schema describes', () => {
    const root = scratch({ 'INDEX.md': '# i\n', 'a.md': page('x: [', '[b](c.md) [[d]]\n\n- [ ] do\n'), 'b.pdf': '' });
    const { open } = triage(linted(root), {
      answers: new Map(),
      firings: { counts: { 'broken-link c.md': 2 }, present: [] },
      today: TODAY,
      page: () => undefined,
    });
    const validate = new Ajv2020({ strict: true }).compile(JSON.parse(read('schema/wiki-finding.json')) as object);
    expect(open.some(({ guard }) => guard)).toBe(true);
    for (const finding of open) expect([validate(finding), validate.errors]).toEqual([true, null]);
  });
});
