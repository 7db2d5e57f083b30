// WIK-64: which state of a wiki somebody used, and whether it has moved on.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { memoryVersions } from '../../src/session/memory-versions.ts';
import { hasMovedOn, wikiVersion } from '../../src/wiki/version.ts';
import { WikiDirectory } from '../../src/wiki/wiki-directory.ts';
import { scratch, write } from './scratch.ts';

const FILES = {
  'INDEX.md': '# Index\n\n- [a](a.md)\n',
  'AGENTS.md': '# Rules\n',
  'a.md': '# A\n',
  'sources/raw.md': 'raw\n',
  'log.md': '# Log\n',
};

function git(root: string, ...args: readonly string[]): string {
  const identity = ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'commit.gpgsign=false'];
  const env = { PATH: process.env['PATH'], HOME: root, GIT_CONFIG_NOSYSTEM: '1' };
  return execFileSync('git', ['-C', root, ...identity, ...args], { env, encoding: 'utf8' }).trim();
}

function repository(): string {
  const root = scratch(FILES);
  git(root, 'init', '-q');
  git(root, 'add', '-A');
  git(root, 'commit', '-q', '-m', 'begin');
  return root;
}

describe('WIK-64 versions', () => {
  it('WIK-64 a version has the commit, whether something differs, and the digest of each page', async () => {
    const root = repository();
    const wiki = WikiDirectory.open(root);
    const then = await wikiVersion(wiki);
    expect(then).toMatchObject({
      commit: git(root, 'rev-parse', 'HEAD'),
      dirty: false,
      digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    });
    expect(Object.keys(then.pages)).toEqual(['AGENTS.md', 'INDEX.md', 'a.md']);
    write(root, 'log.md', '# Log\n\nMore.\n');
    wiki.refresh();
    const logged = await wikiVersion(wiki);
    expect(logged).toEqual({ ...then, dirty: true });
    expect(hasMovedOn(then, logged).moved).toBe(false);
    write(root, 'a.md', '# A\n\nMore.\n');
    write(root, 'b.md', '# B\n');
    rmSync(join(root, 'AGENTS.md'));
    git(root, 'add', '-A');
    git(root, 'commit', '-q', '-m', 'next');
    wiki.refresh();
    const now = await wikiVersion(wiki);
    expect(now.dirty).toBe(false);
    expect(hasMovedOn(then, now)).toEqual({
      moved: true,
      commit: { before: then.commit, now: now.commit },
      changed: ['a.md'],
      added: ['b.md'],
      removed: ['AGENTS.md'],
    });
  });

  it('WIK-64 without git, and before a first commit, the pages say it alone', async () => {
    const root = scratch(FILES);
    expect(await wikiVersion(WikiDirectory.open(root))).toMatchObject({ commit: null, dirty: false });
    git(root, 'init', '-q');
    expect(await wikiVersion(WikiDirectory.open(root))).toMatchObject({ commit: null, dirty: true });
  });

  it('WIK-64 nothing that the repository names is run', async () => {
    const root = repository();
    const mark = join(root, '..', `ran-${process.pid}`);
    git(root, 'config', 'core.fsmonitor', `touch ${mark}; false`);
    mkdirSync(join(root, '.git/hooks'), { recursive: true });
    expect(await wikiVersion(WikiDirectory.open(root))).toMatchObject({ dirty: false });
    expect(() => execFileSync('test', ['-e', mark])).toThrow();
  });

  it('WIK-64 the wikis of a session, each with its version or why it has none', async () => {
    const root = repository();
    const policy =
      'memory: [{path: wiki}, {path: shared/acme/wiki}, {path: shared/once/wiki, mode: ephemeral}, {path: home/9/wiki, name: theirs}]';
    const place = (path: string): string => (path === 'home/7/wiki' ? root : join(root, 'nowhere'));
    const found = await memoryVersions(policy, { home: 7 }, place);
    expect(found.map(({ mount, version, reason }) => [mount.path, version?.dirty, reason])).toEqual([
      ['home/7/wiki', false, undefined],
      ['shared/acme/wiki', undefined, expect.stringContaining('cannot be read')],
      ['shared/once/wiki', undefined, 'an ephemeral mount has no version'],
      ['home/9/wiki', undefined, "it is another person's wiki"],
    ]);
    expect(await memoryVersions('', { home: 8 }, place)).toEqual([]);
  });
});
