import { createServer } from 'node:net';
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { aboutEvent, tellsEvent } from '../../src/wiki/event-words.ts';
import { RULES } from '../../src/wiki/finding.ts';
import { entryId, LogMentions } from '../../src/wiki/log.ts';
import { formatChange } from '../../src/wiki/queue.ts';
import { WikiDirectory } from '../../src/wiki/wiki-directory.ts';
import { linted, LONG, page, scratch, TODAY, write } from './scratch.ts';

const LOGGED = '# Log\n\n## 2026-04-10 begin\n\n- a.md b.md c.md plan.md\n- Judgment: so\n';
const said = (root: string, ...rules: readonly string[]): readonly string[] =>
  linted(root, ...rules).map(({ file, line, target }) => `${file}:${line} ${target}`);

describe('domains', () => {
  it('WIK-65 a link from one domain into another is told, one into what is common is not', () => {
    const root = scratch({
      '.wiki/config.yaml': 'domains: [acme, globex]\n',
      'INDEX.md': '# I\n\n[a](acme/a.md) [g](globex/g.md) [c](common.md)\n',
      'common.md': '# C\n\n[a](acme/a.md)\n',
      'acme/a.md': '# A\n\n[g](../globex/g.md) [c](../common.md) [b](b.md)\n',
      'acme/b.md': '# B\n\n[a](a.md)\n',
      'globex/g.md': '# G\n',
    });
    expect(linted(root, 'domain-leak').map(({ file, line, target }) => `${file}:${line} ${target}`)).toEqual([
      'acme/a.md:3 ../globex/g.md',
    ]);
  });
});

describe('pages among pages', () => {
  it('orphans and unindexed pages are told, in a wiki only', () => {
    const files = { 'a.md': '[b](b.md)\n', 'b.md': '# b\n' };
    expect(said(scratch(files), 'orphan', 'unindexed')).toEqual([]);
    const root = scratch({ ...files, 'INDEX.md': '[b](b.md)\n' });
    expect(said(root, 'orphan')).toEqual(['a.md:1 a.md']);
    expect(said(root, 'unindexed')).toEqual(['a.md:1 INDEX.md']);
  });

  it('WIK-35 equal words are a duplicate, mostly equal words a near one, and other words neither', () => {
    const changed = LONG.split(' ')
      .map((word, i) => (i === 60 ? 'changed' : word))
      .join(' ');
    const other = LONG.split(' ').reverse().join(' ');
    const root = scratch({ 'a.md': LONG, 'b.md': `# ${LONG.toUpperCase()}`, 'c.md': changed, 'd.md': other });
    expect(said(root, 'duplicate')).toEqual(['b.md:1 a.md']);
    expect(said(root, 'near-duplicate')).toEqual(['c.md:1 a.md', 'c.md:1 b.md']);
  });

  it('sources that no page uses, that are missing, and that were edited are told', () => {
    const root = scratch({
      'INDEX.md': '[a](a.md)\n',
      'a.md': page('type: x\nsources: [sources/used.txt, sources/gone.txt]'),
      'sources/used.txt': 'x',
      'sources/loose.txt': 'x',
      'sources/provenance.jsonl': `${JSON.stringify({ path: 'sources/used.txt', digest: 'sha256-0', origin: '/x', time: '2026-04-01T00:00:00Z' })}\n`,
    });
    expect(said(root, 'source-scan').map((text) => text.slice(0, 40))).toEqual([
      'a.md:3 sources/gone.txt',
      'sources/loose.txt:1 sources/loose.txt',
      'sources/used.txt:1 sha256-0',
    ]);
  });
});

describe('what ages', () => {
  it('WIK-21 a page is stale past its stale_after, or when nobody looked at it for long', () => {
    const root = scratch({
      'a.md': page('stale_after: 2026-04-19'),
      'b.md': page('stale_after: 2026-04-20\nlast_updated: 2020-01-01'),
      'c.md': page('last_updated: 2025-01-01\nverified:\n  - by: me\n    at: 2026-04-01'),
      'd.md': page('last_updated: 2025-01-01'),
    });
    expect(said(root, 'stale')).toEqual(['a.md:2 stale_after', 'd.md:2 last_updated']);
  });

  it('WIK-22 a plan is not reconciled when a page it cites changed after it was', () => {
    const root = scratch({
      'plan.md': page('type: plan\nlast_updated: 2026-04-15\nlast_reconciled: 2026-04-01', '[a](a.md) [b](b.md)\n'),
      'a.md': page('type: project\nlast_updated: 2026-04-02'),
      'b.md': page('type: project\nlast_updated: 2026-04-01'),
    });
    expect(said(root, 'not-reconciled')).toEqual(['plan.md:4 a.md']);
  });

  it('WIK-53 an entry tells of what it is newer than, also when it was edited, and in the time zone of its writer', () => {
    const entry = '## 2026-04-20 first\n\n- [[a]]\n- Judgment: x\n';
    const waits = (logged: readonly string[] | undefined, log: string): boolean => {
      const change = {
        id: '1',
        time: '2026-04-20T23:30:00Z',
        path: 'a.md',
        op: 'write',
        ...(logged === undefined ? {} : { logged }),
      } as const;
      const root = scratch({ 'INDEX.md': '# i\n', 'log.md': log, 'a.md': page('type: x'), '.update-queue': formatChange(change) });
      return said(root, 'queue').some((text) => text.startsWith('a.md'));
    };
    expect(waits([], entry)).toBe(false);
    expect(waits(undefined, entry)).toBe(false);
    expect(waits([entryId(entry)], entry)).toBe(true);
    expect(waits([entryId(entry)], `${entry}\n## 2026-04-20 second\n\n- a.md again\n`)).toBe(false);
    // The same words again are another entry.
    expect(waits([entryId(entry)], `${entry}\n${entry}`)).toBe(false);
    expect(waits([entryId(entry), `${entryId(entry)}-2`], `${entry}\n${entry}`)).toBe(true);
    expect(waits([entryId(entry)], entry.replace('[[a]]', '[[a]], and once more'))).toBe(false);
    expect(waits([], entry.replace('04-20', '04-19'))).toBe(false);
    expect(waits([], entry.replace('04-20', '04-18'))).toBe(true);
    expect(waits(undefined, entry.replace('04-20', '04-19'))).toBe(true);
  });

  it('WIK-49 an entry tells of an event by its kind and some of its words, or by more of them', () => {
    const about = (event: object): string | undefined => aboutEvent(event as Record<string, unknown>);
    expect(about({ type: 'deploy', to: 'prod', version: '1.4', time: 'x', session: 'y' })).toBe('prod 1.4');
    expect(about({ type: 'context.decision', decision: { decision: 'use NATS', source: 'messages:3' } })).toBe('use NATS');
    expect(about({ type: 'deploy' })).toBe(undefined);
    const cases: readonly (readonly [string, string | undefined, string, boolean])[] = [
      ['deploy', undefined, 'deployed again', true],
      ['deploy', 'prod 1.4', 'deployed to prod', true],
      ['deploy', 'prod 1.4', 'deployed to the test machine', false],
      ['deploy', 'prod', 'the database of prod is large', false],
      ['decision', 'use NATS for the queue', 'chose NATS over Kafka', true],
      ['decision', 'use NATS for the queue', 'the queue is NATS now', true],
      ['decision', 'use NATS for the queue', 'decided on a name for the dog', false],
      ['correction', 'port is 8443', 'the port was wrong', true],
      ['debugging', undefined, 'an entry about nothing', false],
    ];
    expect(cases.map(([what, words, entry]) => tellsEvent(entry, what, words))).toEqual(cases.map(([, , , told]) => told));
  });

  it('WIK-18 a change that no later log entry names is a gap', () => {
    const files = { 'INDEX.md': '# i\n', 'log.md': LOGGED };
    const gaps = (last: string, more = ''): readonly string[] => {
      const root = scratch({ ...files, 'a.md': page(`title: The Gateway\nlast_updated: ${last}`), 'log.md': LOGGED + more });
      return said(root, 'log-gap');
    };
    expect(gaps('2026-04-10')).toEqual([]);
    expect(gaps('2026-04-11')).toEqual(['a.md:3 2026-04-11']);
    expect(gaps('2026-04-11', '\n## 2026-04-12 x\n\n- [[a]]\n')).toEqual([]);
    expect(gaps('2026-04-11', '\n## 2026-04-12 x\n\n- the gateway moved\n')).toEqual([]);
    expect(gaps('2026-04-11', '\n## 2026-04-12 x\n\n- something else entirely\n')).toEqual(['a.md:3 2026-04-11']);
    // Older than the log itself.
    expect(gaps('2026-04-01')).toEqual([]);
  });

  it('WIK-18 a page that was written after the log is a gap, though an entry since the last commit names it', () => {
    const root = scratch({ 'INDEX.md': '# i\n', 'log.md': LOGGED, 'a.md': page('type: x') });
    const wiki = WikiDirectory.open(root);
    const mentions = new LogMentions(wiki.log());
    const gaps = (later: readonly string[]): readonly string[] =>
      wiki
        .lint({ today: TODAY, uncommitted: { paths: ['a.md'], later: new Set(later), mentions } })
        .filter(({ rule }) => rule === 'log-gap')
        .map(({ message }) => message);
    expect(gaps([])).toEqual([]);
    expect(gaps(['a.md'])).toEqual([expect.stringContaining('since the log was written')]);
  });

  it('entries without a judgment, long logs and an old last lint are told', () => {
    const root = scratch({
      'INDEX.md': '# I\n\nLast lint: 2026-04-01\n',
      'log.md': `${LOGGED}\n## 2026-04-12 x\n\n- y\n`,
      '.wiki/config.yaml': 'log_bytes: 50\n',
    });
    expect(said(root, 'judgment', 'heartbeat', 'log-rotation')).toEqual([
      'INDEX.md:1 2026-04-01',
      'log.md:1 log.md',
      'log.md:8 2026-04-12',
    ]);
  });

  it('WIK-19 the queue holds each change once, until the log names it', () => {
    const change = (id: string, path: string, time: string): string =>
      `${JSON.stringify({ id, path, time, op: 'write', session: 'coder/s1', uid: 7 })}\n`;
    const root = scratch({
      'INDEX.md': '# i\n',
      'log.md': LOGGED,
      '.update-queue': `${change('1', 'a.md', '2026-04-10T10:00:00Z')}${change('2', 'x.md', '2026-04-10T10:00:00Z')}${change('2', 'x.md', '2026-04-10T10:00:00Z')}nonsense\n{"done":"9"}\n{"id":"torn`,
    });
    expect(said(root, 'queue')).toEqual(['.update-queue:1 ', '.update-queue:4 ', 'x.md:1 2']);
    write(root, 'log.md', `${LOGGED}\n## 2026-04-10 x\n\n- x.md\n- Judgment: y\n`);
    expect(linted(root, 'queue').map(({ message }) => message.split(':')[0])).toEqual([
      '2 changes are in the log and can leave the queue',
      'is no change',
    ]);
  });
});

describe('layout', () => {
  it('loose files, runtime, long schemas and schemas that differ are told', () => {
    const words = Array.from({ length: 40 }, (_, i) => `rule${i}`).join('\n');
    const root = scratch({
      'INDEX.md': '# i\n',
      'stray.pdf': 'x',
      'settings.json': '{}',
      LICENSE: 'x',
      'AGENTS.md': `${words}\n${words}\n${words}\n`,
      'CLAUDE.md': words,
    });
    expect(said(root, 'loose-file', 'runtime-audit', 'schema-length', 'schema-copy')).toEqual([
      'AGENTS.md:81 120',
      'CLAUDE.md:1 AGENTS.md',
      'settings.json:1 settings.json',
      'stray.pdf:1 stray.pdf',
    ]);
    write(root, 'CLAUDE.md', '@AGENTS.md\n');
    expect(said(root, 'schema-copy')).toEqual([]);
  });

  it('unknown keys, wrong dates and pages without type are told', () => {
    const root = scratch({
      'INDEX.md': '# i\n',
      'a.md': page('last_udpated: 2026-04-01\nstale_after: soon\nmine: x'),
      '.wiki/config.yaml': 'frontmatter_keys: [mine]\n',
    });
    expect(linted(root, 'unknown-frontmatter').map(({ message }) => message)).toEqual([
      'last_udpated is no key that anything reads; is last_updated meant?',
    ]);
    expect(said(root, 'bad-date', 'missing-type')).toEqual(['a.md:1 type', 'a.md:3 stale_after']);
  });

  it('rules can be switched off, and a slip in the configuration is an error that names it', () => {
    const root = scratch({ 'INDEX.md': '# i\n', '.wiki/config.yaml': 'off: [page-count, heartbeat]\n' });
    expect(linted(root)).toEqual([]);
    for (const yaml of ['off: [page-cuont]\n', 'pages_mni: 3\n', 'pages_min: few\n', 'a: [', 'expected_outputs:\n  - job: x\n']) {
      write(root, '.wiki/config.yaml', yaml);
      expect(() => WikiDirectory.open(root)).toThrow(expect.objectContaining({ code: 'wiki.config', errno: 'EINVAL' }));
    }
  });

  it('WIK-12 every finding has rule, file, line, target and message, and its rule is a known one', () => {
    const root = scratch({ 'INDEX.md': '# i\n', 'a.md': page('x: [', '[b](c.md) [[d]]\n'), 'b.pdf': '' });
    const findings = linted(root);
    expect(findings.length).toBeGreaterThan(4);
    for (const finding of findings) {
      expect(Object.keys(RULES)).toContain(finding.rule);
      expect(finding).toMatchObject({
        file: expect.any(String),
        line: expect.any(Number),
        target: expect.any(String),
        message: expect.any(String),
      });
      expect(finding.line).toBeGreaterThanOrEqual(1);
    }
  });

  it('what is no regular file is told, and never waited for', async () => {
    const root = scratch({ 'a.md': '[b](b.md)\n' });
    const server = createServer();
    await new Promise<void>((ready) => server.listen(join(root, 'b.md'), ready));
    expect(said(root)).toEqual(['a.md:1 b.md', 'b.md:1 ']);
    await new Promise((closed) => server.close(closed));
  });
});

describe('keeping up', () => {
  const NAMES = ['a.md', 'b.md', 'c.md', 'd/a.md', 'd/e.md', 'x.png', 'INDEX.md', 'log.md'] as const;
  const bodies = fc.constantFrom(
    '# A\n',
    '# B\n\n[a](a.md) [[b]] [[e#B]]\n',
    '[x](d/) [y](D/E.md) ![z](x.png) [[Twin]]\n',
    '---\naliases: [Twin]\n---\n[q](#a) [r](../b.md#b)\n',
    '---\naliases: [twin, e]\nlast_updated: 2026-04-12\n---\n# E\n[[a]] ![[b]]\n',
    '![[a]] ![[c]] [[d/a]] [b](b.md#a)\n',
    '## 2026-04-12 a\n\n- b.md\n',
    `# Long\n${LONG}\n`,
    `# Longer\n${LONG} more\n`,
  );
  const edit = fc.oneof(
    fc.tuple(fc.constant('write' as const), fc.constantFrom(...NAMES), bodies),
    fc.tuple(fc.constant('remove' as const), fc.constantFrom(...NAMES), fc.constant('')),
    fc.tuple(fc.constant('move' as const), fc.constantFrom(...NAMES), fc.constantFrom(...NAMES)),
  );

  it('WIK-13 after any edits lint says what a lint from scratch says', () => {
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 10 }), fc.boolean(), (edits, told) => {
        const root = scratch({ 'a.md': '# A\n\n[b](b.md)\n', 'b.md': '# B\n' });
        const wiki = WikiDirectory.open(root);
        for (const [what, name, more] of edits) {
          const touched: string[] = [name];
          if (what === 'write') write(root, name, more);
          else if (what === 'remove') rmSync(join(root, name), { force: true });
          else if (wiki.bytes(name) !== undefined) {
            write(root, more, '');
            renameSync(join(root, name), join(root, more));
            touched.push(more);
          }
          if (told) wiki.update(touched);
          else wiki.refresh();
          wiki.lint({ today: TODAY });
        }
        expect(wiki.lint({ today: TODAY })).toEqual(WikiDirectory.open(root).lint({ today: TODAY }));
      }),
      { numRuns: 60 },
    );
  });

  it('WIK-13 an edit resolves again the page, and the pages that name what changed', () => {
    const root = scratch({ 'a.md': '# A\n', 'b.md': '[a](a.md#a)\n', 'c.md': '[b](b.md)\n' });
    const wiki = WikiDirectory.open(root);
    const before = new Map(wiki.index.pages().map((each) => [each.path, each]));
    const again = (): readonly string[] =>
      wiki.index
        .pages()
        .filter((each) => before.get(each.path) !== each)
        .map(({ path }) => path);
    write(root, 'c.md', '[b](b.md) more\n');
    wiki.update(['c.md']);
    expect(again()).toEqual(['c.md']);
    write(root, 'a.md', '# Another\n');
    wiki.update(['a.md']);
    expect(again()).toEqual(['a.md', 'b.md', 'c.md']);
    expect(wiki.lint({ today: TODAY }).map(({ rule, file }) => [rule, file])).toEqual([['broken-link', 'b.md']]);
  });
});
