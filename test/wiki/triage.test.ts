import { execFile } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

import { digestOf } from '../../src/abi/digest.ts';
import { fixes, stampHeartbeat, type FileFix } from '../../src/wiki/fix.ts';
import { heartbeatOf } from '../../src/wiki/lint-time.ts';
import { compactQueue, formatChange, formatDone, parseQueue } from '../../src/wiki/queue.ts';
import { parseFirings, parseTriage, recordFirings, triage, type TriagedFinding } from '../../src/wiki/triage.ts';
import { WikiDirectory } from '../../src/wiki/wiki-directory.ts';
import { appendToFile, replaceFile } from '../../src/wiki/write.ts';
import { page, scratch, TODAY, write } from './scratch.ts';

describe('answers', () => {
  const open = (root: string, records: string, today: string = TODAY): readonly TriagedFinding[] => {
    const wiki = WikiDirectory.open(root);
    const of = (path: string): { digest: string; lines: string[] } | undefined => {
      const facts = wiki.index.get(path)?.facts;
      return facts === undefined ? undefined : { digest: facts.digest, lines: (wiki.text(path) ?? '').split('\n') };
    };
    return triage(wiki.lint({ today }), { answers: parseTriage(records), firings: parseFirings(''), today, page: of }).open;
  };
  const record = (finding: TriagedFinding | undefined, answer: string, until?: string): string =>
    `${JSON.stringify({ ...finding, answer, until })}\nnonsense\n`;

  it('WIK-14 an answer holds while the line moves about, and ends when the line says something else', () => {
    const root = scratch({ 'a.md': '# A\n\nSee [b](gone.md).\n' });
    const [finding] = open(root, '');
    expect(finding?.rule).toBe('broken-link');
    const killed = record(finding, 'kill');
    expect(open(root, killed)).toEqual([]);
    write(root, 'a.md', '# A\n\nMore words before.\n\nSee [b](gone.md).\n');
    expect(open(root, killed)).toEqual([]);
    write(root, 'a.md', '# A\n\nSee [another b](gone.md).\n');
    expect(open(root, killed).length).toBe(1);
  });

  it('WIK-14 a deferred finding comes back on its day, one to do stays in sight', () => {
    const root = scratch({ 'a.md': '[b](gone.md)\n' });
    const [finding] = open(root, '');
    const deferred = record(finding, 'defer', '2026-04-27');
    expect([open(root, deferred).length, open(root, deferred, '2026-04-26').length, open(root, deferred, '2026-04-27').length]).toEqual([
      0, 0, 1,
    ]);
    expect(open(root, `${deferred}${record(finding, 'do')}`)).toMatchObject([{ answer: 'do' }]);
  });

  it('WIK-15 a finding that fires twice is worth a guard; one that stays has fired once', () => {
    const gone = { rule: 'broken-link', file: 'a.md', line: 1, target: 'x.md', message: '' } as const;
    const once = recordFirings(parseFirings(''), [gone]);
    const stays = recordFirings(once, [gone]);
    expect(stays).toEqual(once);
    const again = recordFirings(recordFirings(stays, []), [gone]);
    const elsewhere = recordFirings(once, [gone, { ...gone, file: 'b.md' }]);
    const guard = (firings: typeof once): unknown =>
      triage([gone], { answers: new Map(), firings, today: TODAY, page: () => undefined }).open[0]?.guard;
    expect([once, stays, again, elsewhere].map(guard)).toEqual([undefined, undefined, true, true]);
    expect(parseFirings(JSON.stringify(again))).toEqual(again);
  });
});

describe('fixes', () => {
  const fixed = (root: string): readonly FileFix[] => {
    const wiki = WikiDirectory.open(root);
    const input = wiki.lintInput({ today: TODAY });
    return fixes(wiki.lint({ today: TODAY }), { ...input, text: (path) => wiki.text(path), now: `${TODAY}T00:00:00Z` });
  };
  const apply = (root: string): void => {
    for (const { path, text, base, append } of fixed(root)) {
      if (append === true) appendToFile(root, path, text);
      else expect(replaceFile(root, path, text, base)).toBe(true);
    }
  };

  it('WIK-16 what needs no judgment is put right, and a second pass has nothing to do', () => {
    const root = scratch({
      'INDEX.md': '# I\n\n- [b](Sub/b.md)\n',
      'log.md': `# Log\n\n## 2024-01-01 old\n\n- a\n- Judgment: x\n\n## 2025-02-02 older\n\n- Judgment: y\n\n## 2026-01-01 new\n\n- [a](A.md)\n- Judgment: z\n`,
      'a.md': page(
        'type: x',
        '[one](SUB/b.md#b) and [two](b.md#b "t") but [three](c.md), `[four](SUB/b.md)`\n\n[five](./two%20Words.md)\n',
      ),
      'sub/b.md': '# b\n\n[a](../a.md)\n',
      'two words.md': '# t\n',
      '50% (what?) #1.md': '# a `b`\\\n',
      'c:d.md': '---\ntitle: "[x] <y> `z"\n---\n',
      '.wiki/config.yaml': 'log_bytes: 60\n',
    });
    apply(root);
    const text = (path: string): string => readFileSync(join(root, path), 'utf8');
    expect(text('a.md')).toContain('[two](sub/b.md#b "t") but [three](c.md), `[four](SUB/b.md)`\n\n[five](two%20words.md)');
    expect(text('a.md')).toContain('[one](sub/b.md#b)');
    expect(text('INDEX.md')).toContain(`Last lint: ${TODAY}\n\n- [b](sub/b.md)\n`);
    expect(text('INDEX.md')).toContain(
      '## Not yet sorted\n\n- [a b\\\\](<50%25 (what%3F) %231.md>)\n- [a.md](a.md)\n- [\\[x\\] \\<y> \\`z](./c:d.md)\n- [t](<two words.md>)\n',
    );
    expect([text('log/2024.md'), text('log/2025.md'), text('log.md')]).toEqual([
      '# Log of 2024\n\n## 2024-01-01 old\n\n- a\n- Judgment: x\n',
      '# Log of 2025\n\n## 2025-02-02 older\n\n- Judgment: y\n',
      '# Log\n\n## 2026-01-01 new\n\n- [a](A.md)\n- Judgment: z\n',
    ]);
    expect(fixed(root)).toEqual([]);
    expect(
      WikiDirectory.open(root)
        .log()
        .map(({ day }) => day),
    ).toEqual(['2026-01-01', '2024-01-01', '2025-02-02']);
  });

  it('WIK-17 the day of the last lint is kept on the first lines, and nowhere twice', () => {
    const stamped = stampHeartbeat('# I\n\ntext\n', '2026-04-01');
    expect([heartbeatOf(stamped), heartbeatOf(stampHeartbeat(stamped, '2026-05-01'))]).toEqual(['2026-04-01', '2026-05-01']);
    expect(stampHeartbeat(stamped, '2026-05-01').match(/last lint/gi)).toHaveLength(1);
    expect(heartbeatOf(stampHeartbeat('no heading', '2026-04-01'))).toBe('2026-04-01');
  });

  it('WIK-16 a file that somebody changed meanwhile is left alone', () => {
    const root = scratch({ 'a.md': 'one\n' });
    expect(replaceFile(root, 'a.md', 'two\n', digestOf('zero\n'))).toBe(false);
    expect(replaceFile(root, 'a.md', 'two\n', undefined)).toBe(false);
    expect(readFileSync(join(root, 'a.md'), 'utf8')).toBe('one\n');
    expect(replaceFile(root, 'a.md', 'two\n', digestOf('one\n'))).toBe(true);
  });

  it('WIK-6 no write goes through a link, or above the root', () => {
    const root = scratch({ 'a.md': '', 'elsewhere/x': '' });
    const wiki = scratch({});
    symlinkSync(join(root, 'a.md'), join(wiki, 'a.md'));
    symlinkSync(join(root, 'elsewhere'), join(wiki, 'sources'));
    for (const path of ['a.md', 'sources/new.md', '../b.md']) {
      expect(() => appendToFile(wiki, path, 'x')).toThrow(expect.objectContaining({ errno: 'ELOOP' }));
      expect(() => replaceFile(wiki, path, 'x', undefined)).toThrow(expect.objectContaining({ errno: 'ELOOP' }));
    }
    expect(readFileSync(join(root, 'a.md'), 'utf8')).toBe('');
  });
});

describe('the update queue', () => {
  it('WIK-19 a change leaves by a line of its own, and compaction keeps what waits and what nobody understood', () => {
    const change = (id: string): string => formatChange({ id, time: '2026-04-20T10:00:00Z', path: 'a\nb.md', op: 'write', pid: 1 });
    const text = `${change('1')}${change('2')}junk\n${change('1')}${formatDone('1', '2026-04-20T10:00:00Z')}${change('3')}`;
    expect(parseQueue(text).changes.map(({ id }) => id)).toEqual(['2', '3']);
    expect(parseQueue(text).changes[0]?.path).toBe('a\nb.md');
    expect(compactQueue(text)).toBe(`${change('2')}junk\n${change('3')}`);
    expect(parseQueue(text.slice(0, -1)).changes.map(({ id }) => id)).toEqual(['2']);
  });
});

describe('many writers', () => {
  it('WIK-19 ten processes append while the queue is read and emptied: each change is there exactly once, and no page is torn', async () => {
    const root = scratch({ 'INDEX.md': '# I\n', 'log.md': '# Log\n\n## 2026-04-20 x\n\n- page-0.md\n- Judgment: y\n' });
    const script = `
      const { appendFileSync, renameSync, writeFileSync } = require('node:fs');
      const [root, writer] = process.argv.slice(1);
      for (let i = 0; i < 15; i += 1) {
        const text = '# Page ' + writer + '\\n\\n' + ('line ' + i + '\\n').repeat(200);
        writeFileSync(root + '/.new-' + writer, text);
        renameSync(root + '/.new-' + writer, root + '/page-' + writer + '.md');
        const change = { id: writer + '-' + i, time: '2026-04-20T10:00:00Z', path: 'page-' + writer + '.md', op: 'write' };
        for (const times of [1, 2]) appendFileSync(root + '/.update-queue', JSON.stringify(change) + '\\n');
      }`;
    let running = 10;
    const ended = Promise.all(
      Array.from({ length: 10 }, (_, writer) =>
        promisify(execFile)(process.execPath, ['-e', script, root, String(writer)]).finally(() => (running -= 1)),
      ),
    );
    const wiki = WikiDirectory.open(root);
    const done = new Set<string>();
    const look = (): void => {
      wiki.refresh();
      for (const { path, facts } of wiki.index.curated()) expect([path, facts.lineCount]).toEqual([path, 202]);
      const input = wiki.lintInput({ today: TODAY });
      for (const fix of fixes(wiki.lint({ today: TODAY }), { ...input, text: (path) => wiki.text(path), now: `${TODAY}T00:00:00Z` }))
        if (fix.append === true) {
          for (const { done: id } of fix.text
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line) as { done: string })) {
            expect(done.has(id)).toBe(false);
            done.add(id);
          }
          appendToFile(root, fix.path, fix.text);
        }
    };
    while (running > 0) {
      look();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ended;
    look();
    const queue = parseQueue(wiki.text('.update-queue') ?? '');
    expect(queue.bad).toEqual([]);
    const waiting = queue.changes.map(({ id }) => id);
    expect([...done].sort()).toEqual(Array.from({ length: 15 }, (_, i) => `0-${i}`).sort());
    expect([...waiting].sort()).toEqual(Array.from({ length: 9 * 15 }, (_, i) => `${1 + Math.floor(i / 15)}-${i % 15}`).sort());
  });
});
