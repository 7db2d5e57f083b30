// A wiki on a real mount: what its files are told of, what `.ctx/` says, what the daemon does by itself, and the gate.
import { createHash } from 'node:crypto';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { Outcome } from '../cli/program.ts';
import { LIMIT_MS } from '../cli/program.ts';
import { prepareStore, type MountedStore } from '../cli/mounted-store.ts';
import { parseQueue } from '../../src/wiki/queue.ts';
import { canMount } from './can-mount.ts';

const TEAM = 2811;
const ME = process.getuid?.() ?? 0;
const WIKI = `home/${ME}/wiki`;
const SESSION = `home/${ME}/agent/coder/session/work`;
const TODAY = new Date().toISOString().slice(0, 10);
/** Looked for often, so that nothing waits for an hour. */
const DAEMON = { CTX_WIKI_CHECK_MS: '300', CTX_WIKI_QUIET_MS: '200' };
const IDENTITY = {
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@localhost',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@localhost',
  GIT_CONFIG_NOSYSTEM: '1',
};

interface Line {
  readonly id: string;
  readonly path: string;
  readonly op: string;
  readonly from?: string;
  readonly program?: string;
  readonly session?: string;
  readonly uid?: number;
  readonly pid?: number;
  readonly digest?: string;
  readonly what?: string;
  readonly done?: string;
}

describe.skipIf(!canMount)('a wiki on the mount', { timeout: LIMIT_MS }, () => {
  let mounted: MountedStore;
  let begun = '';

  const must = (line: string, cwd = WIKI, env: Readonly<Record<string, string>> = {}): Promise<string> =>
    mounted.must(line, { cwd: join(mounted.root, cwd), env: { ...IDENTITY, ...env } });
  const sh = (line: string, cwd = WIKI): Promise<Outcome> => mounted.sh(line, { cwd: join(mounted.root, cwd), env: IDENTITY });
  const as = (uid: number, line: string): Promise<Outcome> =>
    mounted.sh(`exec setpriv --reuid=${uid} --regid=${uid} --clear-groups bash -c "$LINE"`, { env: { ...IDENTITY, LINE: line } });
  const mount = async (): Promise<void> => {
    const { code, stderr } = await mounted.ctx(['mount'], { env: DAEMON });
    if (code !== 0) throw new Error(stderr);
  };
  const lines = async (wiki = WIKI): Promise<readonly Line[]> =>
    (await must('cat .update-queue 2> /dev/null || true', wiki))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  /** Changes that the log does not tell yet. */
  const waiting = async (wiki = WIKI): Promise<readonly Line[]> => {
    const all = await lines(wiki);
    const done = new Set(all.map((line) => line.done));
    return all.filter((line) => line.done === undefined && !done.has(line.id));
  };
  const told = (changes: readonly Line[]): readonly string[] =>
    changes.map(({ op, from, path, program, session }) =>
      [op, from, path, program ?? '?', session].filter((part) => part !== undefined).join(' '),
    );
  const said = async (): Promise<readonly string[]> => told(await waiting());
  /** What waits when this was done: a look has everything that was told before it put into the queue. */
  const after = async (line: string, cwd = WIKI): Promise<readonly string[]> => {
    const wiki = join(mounted.root, WIKI);
    const text = await must(`{ ${line}; } > /dev/null && cat '${wiki}/.ctx/status' > /dev/null && cat '${wiki}/.update-queue'`, cwd);
    return told(parseQueue(text).changes);
  };
  /** Whatever it takes on this machine; a test that waits for ever is ended by its own limit, and says for what. */
  const until = async <T>(look: () => Promise<T>, what: (value: T) => boolean): Promise<T> => {
    const endMs = Date.now() + LIMIT_MS / 2;
    for (;;) {
      const value = await look();
      if (what(value)) return value;
      if (Date.now() > endMs) throw new Error(`waited in vain: ${JSON.stringify(value)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  /** The log tells of everything; the queue is empty. */
  const log = async (...names: readonly string[]): Promise<void> => {
    await must(`printf '\\n## %s work\\n\\n- %s\\n- Judgment: it was wanted.\\n' ${TODAY} '${names.join(', ')}' >> log.md`);
    await until(waiting, (left) => left.length === 0);
  };

  beforeAll(async () => {
    mounted = await prepareStore('wiki');
    await mount();
    begun = await mounted.must('mkdir -p shared/first && ctx wiki init shared/first/wiki && cat shared/first/wiki/.ctx/status');
    await mounted.must(
      `ctx new coder/work && mkdir -p shared/team/wiki && printf '# Team\\n\\nLast lint: 2020-01-01\\n' > shared/team/wiki/INDEX.md`,
    );
    // Pages that nothing here changes have their day before the log begins, so that only the queue tells.
    await must(
      `git init -q && mkdir -p .wiki scratch && printf 'lint_days: 100000\\n' > .wiki/config.yaml && printf '.update-queue\\n' > .gitignore && printf '# Index\\n\\nLast lint: 2020-01-01\\n\\n[a](a.md) [b](b.md)\\n' > INDEX.md && printf '# Log\\n' > log.md && printf '# A\\n' > a.md && printf '# B\\n' > b.md && git add -A && git commit -qm begin`,
    );
    await until(waiting, (left) => left.length === 2);
    await must(`printf '\\n## 2020-01-01 begun\\n\\n- x\\n- Judgment: x\\n' >> log.md`);
  });
  afterAll(() => mounted.end());

  /** Takes what waits out of the queue without a log entry, which would name a page for the whole day. */
  const clear = async (): Promise<void> => {
    const queue = await must('cat .ctx/status > /dev/null && cat .update-queue');
    const done = parseQueue(queue).changes.map(({ id }) => `{"done":"${id}","time":"${TODAY}T00:00:00Z"}\n`);
    if (done.length > 0) await must('printf %s "$DONE" >> .update-queue', WIKI, { DONE: done.join('') });
  };
  // Whatever the test before left, or did not come to.
  beforeEach(clear);

  it('WIK-31 WIK-53 the first wiki of a mount is made without a gap, though nobody watched when it began', () => {
    expect(begun).toContain('log_gap=[]\nerror=0\nwarning=0\n');
  });

  it('WIK-40 each way to change a page is in the queue once, with its maker; what is none is not', async () => {
    expect(
      await after(`echo x > scratch/x.md && echo x > .hidden.md && echo x > note.txt && mkdir -p .obsidian && echo x > .obsidian/w.md`),
    ).toEqual([]);
    expect(await after(`git checkout -q -B other && sed -i 's/# A/# A one/' a.md`)).toEqual(['write a.md sed']);
    await clear();
    expect(await after(`CTX_SESSION=coder/work bash -c 'echo more >> b.md; echo new > c.md'`)).toEqual([
      'write b.md bash coder/work',
      'create c.md bash coder/work',
    ]);
    // The same process may go on as another program.
    await clear();
    expect(await after(`bash -c 'echo once >> b.md; CTX_SESSION=coder/work exec sed -i s/new/old/ c.md'`)).toEqual([
      'write b.md bash',
      'write c.md sed coder/work',
    ]);
    await clear();
    // In a session's directory no word of it is needed.
    expect(await after(`cp /etc/hostname '${join(mounted.root, WIKI)}/c.md'`, SESSION)).toEqual(['write c.md cp coder/work']);
    await clear();
    expect(await after('mkdir -p d && mv c.md d/c.md')).toEqual(['rename c.md d/c.md mv']);
    await clear();
    const all = await after('mv d e && truncate -s 1 e/c.md && ln e/c.md linked.md && git checkout -q -- a.md && rm linked.md');
    expect(all.toSorted()).toEqual(['rename d/c.md e/c.md mv', 'write a.md git', 'write e/c.md truncate']);
    const [change] = (await waiting()).filter(({ path }) => path === 'a.md');
    expect(change).toMatchObject({ uid: ME, pid: expect.any(Number), digest: expect.stringMatching(/^sha256-/) });
    await must('rm -r e');
  });

  it('WIK-41 WIK-42 WIK-53 LOG GAP names what waits and who changed it, until the log tells', async () => {
    await must(`CTX_SESSION=coder/work bash -c 'echo gap >> b.md'`);
    expect(await must('cat .ctx/lint.md')).toMatch(/^LOG GAP: b\.md \(coder\/work, bash\)$/m);
    expect((await sh('ctx wiki status')).stdout).toContain('LOG GAP: b.md (coder/work, bash)');
    expect((await sh('ctx wiki hooks run SessionStart < /dev/null')).stdout).toContain('LOG GAP: b.md');
    expect(await must('cat .ctx/status')).toContain('log_gap=["b.md"]\n');
    await log('b.md');
    expect(await must('cat .ctx/lint.md')).not.toContain('LOG GAP');
    expect((await sh('ctx wiki status')).stdout).not.toContain('LOG GAP');
    // WIK-53: the entry of this day that names it is older than this edit; in one burst, too.
    await must(`echo later >> b.md`);
    expect(await must('cat .ctx/lint.md')).toMatch(/^LOG GAP: b\.md \(bash\)$/m);
    const burst = (first: string, second: string): string => `for n in 1 2 3 4 5; do ${first}; ${second}; done`;
    const entry = `printf '\\n## ${TODAY} n\\n\\n- b.md\\n- Judgment: x\\n' >> log.md`;
    await must(burst('echo x >> b.md', entry));
    expect(await must('cat .ctx/lint.md')).not.toContain('LOG GAP');
    await must(burst(entry, 'echo x >> b.md'));
    expect(await must('cat .ctx/lint.md')).toContain('LOG GAP: b.md');
    await log('b.md');
  });

  it('WIK-44 .ctx/ answers by name, is never listed, cannot be written, and says what there is to say now', async () => {
    expect(await must('ls -A; find .; git status --short --ignored')).not.toContain('.ctx');
    expect((await must('ls .ctx')).split('\n').filter(Boolean).toSorted()).toEqual(['lint.json', 'lint.md', 'status']);
    for (const line of [
      'echo x > .ctx/lint.md',
      'rm .ctx/lint.md',
      'mkdir .ctx/x',
      'mv .ctx y',
      'mkdir .ctx',
      'ln -sfn /etc .ctx',
      'mv a.md .ctx',
    ])
      expect((await sh(`${line} 2> /dev/null`)).code).not.toBe(0);
    expect(await must('exec 3< .ctx/lint.md; stat -L -c %s /proc/self/fd/3 | tr -d "\\n"; echo -n " "; cat <&3 | wc -c')).toMatch(
      /^(\d+) \1\n$/,
    );
    await must('echo "[gone](nowhere.md)" > broken.md');
    const findings = JSON.parse(await must('cat .ctx/lint.json')) as readonly { rule: string; file: string; level: string; id: string }[];
    expect(findings).toContainEqual(expect.objectContaining({ rule: 'broken-link', file: 'broken.md', level: 'error' }));
    await must('echo "# There" > nowhere.md');
    expect(await must('cat .ctx/lint.md')).not.toContain('broken-link');
    // In the store, behind the mount.
    await appendFile(join(mounted.store, WIKI, 'nowhere.md'), '[too](nothing.md)\n');
    await until(
      () => must('cat .ctx/lint.md'),
      (text) => text.includes('nothing.md'),
    );
    // Reading stamps nothing.
    expect(await must('cat INDEX.md')).toContain('2020-01-01');
    await must('rm broken.md nowhere.md');
  });

  it('WIK-44 hostile files are findings, and nothing that lies outside is read', async () => {
    const secret = join(mounted.root, '../secret.md');
    await writeFile(secret, 'The gateway listens on port SECRETPORT.\n');
    await must(
      `printf 'x' > $'new\\nline.md'; printf 'x' > 'a..b.md'; mkfifo fifo.md; ln -s '${secret}' secret.md; ln -s . loop; head -c 10000000 /dev/zero | tr '\\0' 'x' > ten.md; truncate -s 3G sparse.md; printf -- '---\\na: &a [x,x]\\nb: &b [*a,*a]\\nc: [*b,*b]\\n---\\n' > bomb.md; printf '![[e2]]' > e1.md; printf '![[e1]]' > e2.md; printf 'lint_days: 100000\\ncopies:\\n  - path: ${secret}\\n' > .wiki/config.yaml`,
    );
    const findings = JSON.parse(await must('cat .ctx/lint.json')) as readonly { rule: string; file: string; message: string }[];
    const rules = findings.map(({ rule, file }) => `${rule} ${file}`);
    for (const rule of [
      'bad-name new\nline.md',
      'unreadable fifo.md',
      'symlink secret.md',
      'symlink loop',
      'large-page ten.md',
      'unreadable sparse.md',
      'embed-cycle e1.md',
    ])
      expect(rules).toContain(rule);
    expect(JSON.stringify(findings)).not.toContain('SECRETPORT');
    await must(`printf 'off: [nonsense]\\n' > .wiki/config.yaml`);
    expect(await must('cat .ctx/lint.md')).toContain('nonsense is not a rule');
    await must(
      `printf 'lint_days: 100000\\n' > .wiki/config.yaml; rm -f $'new\\nline.md' a..b.md fifo.md secret.md loop ten.md sparse.md bomb.md e1.md e2.md`,
    );
    expect(await must('cat .ctx/lint.md')).not.toMatch(/ten\.md|sparse|nonsense/);
  });

  it('WIK-44 of a shared wiki only pages are read that all its readers can read', async () => {
    await mounted.must(
      `chmod 777 shared/team/wiki && cd shared/team/wiki && echo '[x](private-target.md)' > private.md && chmod 600 private.md`,
    );
    const { stdout } = await as(TEAM, 'cat shared/team/wiki/.ctx/lint.md');
    expect(stdout).toContain('private.md:1 cannot be read');
    expect(stdout).not.toContain('private-target');
    await mounted.must('rm shared/team/wiki/private.md');
    expect(
      (
        await sh(
          'mv shared/team/wiki shared/team/w 2> /dev/null; ln -s /etc shared/wiki-link && mv -T shared/wiki-link shared/team/wiki',
          '.',
        )
      ).code,
    ).not.toBe(0);
    await mounted.sh('rm -f shared/wiki-link');
  });

  it('WIK-50 the daemon lints when it is due and stamps the index; that is no change', async () => {
    await until(
      () => must('cat INDEX.md', 'shared/team/wiki'),
      (text) => text.includes(`Last lint: ${TODAY}`),
    );
    expect((await waiting('shared/team/wiki')).filter(({ path }) => path === 'INDEX.md')).toEqual([]);
    expect(await must('cat INDEX.md')).toContain('2020-01-01');
  });

  it('WIK-51 commits are made as the owner, say who changed what, and never where others say what git runs', async () => {
    const wiki = `home/${TEAM}/wiki`;
    const made = await as(
      TEAM,
      `mkdir -p home/${TEAM} && cd ${wiki} && git init -q && echo .update-queue > .gitignore && mkdir .wiki && echo 'commit: auto' > .wiki/config.yaml && echo '# Index' > INDEX.md && CTX_SESSION=coder/x bash -c 'echo hello > page.md; until grep -q page.md .update-queue; do sleep 0.1; done'`,
    );
    expect(made).toMatchObject({ code: 0 });
    const message = await until(
      async () => (await as(TEAM, `cd ${wiki} && git log --format=%B -- page.md`)).stdout,
      (text) => text !== '',
    );
    expect(message).toMatch(/^wiki: .*page\.md/);
    expect(message).toContain(`Changed-by: coder/x, with bash, uid ${TEAM}\n`);
    expect((await mounted.must(`find ${wiki}/.git ! -uid ${TEAM}`)).trim()).toBe('');
    expect((await as(TEAM, `cd ${wiki} && git status --short`)).stdout).not.toContain('page.md');
    // A configuration that others can write is not run with the owner's rights.
    await as(TEAM, `cd ${wiki} && chmod 666 .git/config && echo more >> page.md`);
    await until(
      () => waiting(wiki),
      (left) => left.length > 1,
    );
    await as(TEAM, `cd ${wiki} && chmod 644 .git/config && rm .gitignore && echo again >> page.md`);
    const commits = await until(
      async () => (await as(TEAM, `cd ${wiki} && git log -p --format=%h -- page.md`)).stdout,
      (text) => text.includes('+again'),
    );
    expect(commits).toContain('+more\n+again');
    // Ignored or not: the queue is nothing that a clone is to have.
    expect((await as(TEAM, `cd ${wiki} && git ls-files`)).stdout.split('\n')).not.toContain('.update-queue');
  });

  it('WIK-45 WIK-46 WIK-47 done is refused, by a write and by a rename, until the log, the checks and the checklist allow it', async () => {
    await must(
      `printf 'gate:\\n  checks:\\n    - {name: smoke, run: "test -f '"'${join(mounted.root, WIKI)}/ok'"'"}\\n  checklist: list.md\\n' > context/policy.yaml`,
      SESSION,
    );
    await must(`CTX_SESSION=coder/work bash -c 'echo "- [ ] tell the team" > list.md'`);
    const before = await must('cat state', SESSION);
    for (const line of [
      'echo done > state',
      'echo done > state.tmp && mv state.tmp state',
      `python3 -c "import os; os.write(os.open('state', os.O_WRONLY | os.O_TRUNC), b'done')"`,
    ])
      expect((await sh(`{ ${line}; } 2>&1`, SESSION)).stdout).toContain('not permitted');
    expect(await must('cat state', SESSION)).toBe(before);
    const reasons = await must('cat context/gate.md', SESSION);
    for (const reason of ['log.md does not mention list.md', 'smoke was never run', 'tell the team']) expect(reasons).toContain(reason);
    const events = (await must('cat events.jsonl', SESSION)).trim().split('\n');
    expect(JSON.parse(events.at(-1) ?? '{}')).toMatchObject({
      type: 'error',
      code: 'EPERM',
      target: 'state',
      reason: expect.stringContaining('smoke'),
    });
    expect((await mounted.ctx(['gate', 'run', 'coder/work'])).stderr).toContain('smoke: failed (1)');
    await must('touch ok && sed -i "s/\\[ \\]/[x]/" list.md');
    await log('list.md');
    expect(await mounted.ctx(['gate', 'run', 'coder/work', 'smoke'])).toMatchObject({ code: 0, stdout: expect.stringContaining('Open') });
    // What the assistant says to end with is no work; the result of a tool is.
    await must(`echo '{"role":"assistant","content":"all is well"}' >> messages.jsonl`, SESSION);
    expect(await must('cat context/gate.md', SESSION)).toContain('Open');
    await must(`echo '{"role":"tool","content":"deployed"}' >> messages.jsonl`, SESSION);
    expect(await mounted.ctx(['gate', 'coder/work'])).toMatchObject({ code: 5, stdout: expect.stringContaining('earlier state') });
    expect((await sh('echo done > state', SESSION)).code).not.toBe(0);
    await mounted.ctx(['gate', 'run', 'coder/work']);
    await must('echo done > state.tmp && mv state.tmp state', SESSION);
    expect(await must('cat state', SESSION)).toBe('done\n');
    expect(await readFile(join(mounted.store, SESSION, 'state'), 'utf8')).toBe('done\n');
    // Said again, and taken back, without asking.
    await must('echo done > state && echo active > state', SESSION);
    await must('echo done > state && cat state', SESSION);
    await must(
      'echo active > state && rm context/policy.yaml 2> /dev/null; echo "gate: {max_age: 0s, checks: [smoke]}" > context/policy.yaml',
      SESSION,
    );
    expect(await must('cat context/gate.md', SESSION)).toContain('too long ago');
    await must('echo "{}" > context/policy.yaml && echo done > state && echo active > state && cat context/gate.md', SESSION);
    expect((await sh('echo "gate: {nonsense: 1}" > context/policy.yaml', SESSION)).code).not.toBe(0);
  });

  it('WIK-48 the checks of a policy that others can write are not run', async () => {
    const theirs = `home/${TEAM}/agent/a/session/s`;
    await as(
      TEAM,
      `mkdir -p ${theirs} && printf 'gate: {checks: [{name: evil, run: "touch ${join(mounted.root, '../ran')}"}]}\\n' > ${theirs}/context/policy.yaml`,
    );
    expect(await mounted.ctx(['gate', 'run', join(mounted.root, theirs)])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('gate.not_yours'),
    });
    expect((await mounted.sh('test -e ../ran')).code).not.toBe(0);
    // Nor does a gate tell of a home that is not the session's.
    await as(TEAM, `printf 'gate: {wiki: home/${ME}/wiki}\\n' > ${theirs}/context/policy.yaml`);
    expect((await as(TEAM, `cat ${theirs}/context/gate.md`)).stdout).toContain('not for this session');
  });

  it('WIK-49 deploys, corrections and decisions that a session records wait until the log tells of them, each once', async () => {
    await must(`echo '{"type":"deploy","to":"prod"}' >> events.jsonl && echo '{"type":"start"}' >> events.jsonl`, SESSION);
    await must(
      `echo '{"decision":"use NATS"}' >> context/decisions.jsonl && echo '{"type":"deploy","to":"test"}' >> events.jsonl`,
      SESSION,
    );
    const all = await until(waiting, (left) => left.length >= 3);
    expect(all.map(({ op, what, session }) => `${op} ${what} ${session}`)).toEqual([
      'event deploy coder/work',
      'event decision coder/work',
      'event deploy coder/work',
    ]);
    expect(new Set(all.map(({ id }) => id)).size).toBe(3);
    expect(await must('cat .ctx/lint.md')).toContain(
      'LOG GAP: deploy (prod) (coder/work), decision (use NATS) (coder/work), deploy (test) (coder/work)',
    );
    await must(`printf '\\n## %s deployed to prod\\n\\n- Judgment: it was time.\\n' ${TODAY} >> log.md`);
    expect((await until(waiting, (left) => left.length < 3)).map(({ what }) => what)).toEqual(['decision', 'deploy']);
    await log('deploy to test', 'decision: NATS');
    // An entry that is older tells of no other deploy.
    await must(`echo '{"type":"deploy","to":"prod"}' >> events.jsonl`, SESSION);
    await until(waiting, (left) => left.length === 1);
    await log('deploy to prod');
  });

  it('WIK-43 WIK-52 a page that was acknowledged before kill -9, and one that changed while no daemon ran, are in the queue', async () => {
    const { stdout } = await mounted.sh(`sed -n 's/^pid=//p' status`);
    await must(`echo precious > last.md && kill -9 ${stdout.trim()}`);
    await appendFile(join(mounted.store, WIKI, 'a.md'), 'behind\n');
    await mount();
    const expected = ['write a.md ?', 'create last.md'];
    const isWhole = (all: readonly string[]): boolean => expected.every((line) => all.some((one) => one.startsWith(line)));
    await until(said, isWhole);
    await must('cat .ctx/status');
    // Two; or three, where the kill came between last.md's making and its bytes, which the scan then finds.
    const found = await waiting();
    expect([...new Set(found.map(({ path }) => path))].toSorted()).toEqual(['a.md', 'last.md']);
    expect(new Set(found.map(({ path, digest }) => `${path} ${digest}`)).size).toBe(found.length);
    expect(await mounted.ctx(['umount'])).toMatchObject({ code: 0 });
    await mount();
    await must('cat .ctx/status');
    expect((await waiting()).map(({ id }) => id)).toEqual(found.map(({ id }) => id));
  });

  it('WIK-16 WIK-53 pages that --fix changes are told by the log', async () => {
    await must(`printf '# Spelt\\n\\n[a](A.md)\\n' > spelt.md`);
    await log('spelt.md');
    expect((await sh('ctx wiki lint --fix')).stderr).toContain('fixed spelt.md: line 3: A.md → a.md');
    expect(await must('cat spelt.md')).toContain('[a](a.md)');
    expect(await must('cat log.md')).toMatch(/lint --fix\n\n- Changed: spelt\.md\n- Judgment: /);
    expect(await must('cat .ctx/lint.md')).not.toContain('LOG GAP');
    await must('rm spelt.md');
  });

  it('WIK-52 ten writers, half of them with git, while lint runs: no edit is lost, no page torn, each change queued once', async () => {
    const ROUNDS = 4;
    const plain = (i: number): string => `
for n in $(seq ${ROUNDS}); do
  echo "# page ${i} round $n" > p${i}.new && mv p${i}.new p${i}.md
  echo "writer ${i} line $n" >> common.md
done`;
    const git = (i: number): string => `
exec 9> ../../g.lock
for n in $(seq ${ROUNDS}); do
  echo "# page ${i} round $n" > p${i}.md
  echo "writer ${i} line $n" >> common.md
  flock 9; git add p${i}.md && git commit -qm "p${i} $n" p${i}.md && git rm -q --cached p${i}.md && rm p${i}.md && git checkout -q HEAD -- p${i}.md || exit 1; flock -u 9
done`;
    await must(`: > ../g.lock 2> /dev/null; rm -f common.md`);
    const linting = must('for n in $(seq 6); do cat .ctx/lint.md > /dev/null || exit 1; done');
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        sh((i % 2 === 0 ? plain(i) : git(i).replace('../../g.lock', join(mounted.root, '../g.lock'))).trim()),
      ),
    );
    await linting;
    // What a shell of this machine says beside is none of ours.
    expect(outcomes.filter(({ code }) => code !== 0)).toEqual([]);
    await must('cat .ctx/status');
    const common = (await must('cat common.md')).trim().split('\n').toSorted();
    const expected = Array.from({ length: 10 }, (_, i) => Array.from({ length: ROUNDS }, (__, n) => `writer ${i} line ${n + 1}`));
    expect(common).toEqual(expected.flat().toSorted());
    const all = await lines();
    const ids = all.filter(({ done }) => done === undefined).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const left = await waiting();
    // Every writer is there with the common page, and the last line of each page is the page as it is.
    expect(new Set(left.filter(({ path }) => path === 'common.md').map(({ pid }) => pid)).size).toBe(10);
    for (const path of ['common.md', ...Array.from({ length: 10 }, (_, i) => `p${i}.md`)]) {
      const text = await must(`cat ${path}`);
      if (path !== 'common.md') expect(text).toBe(`# page ${path.slice(1, -3)} round ${ROUNDS}\n`);
      const last = left.filter((line) => line.path === path).at(-1);
      expect(`${path} ${last?.digest}`).toBe(`${path} sha256-${createHash('sha256').update(text).digest('hex')}`);
    }
    expect(left.filter(({ path }) => path.endsWith('.new'))).toEqual([]);
    expect((await must('git fsck --no-progress 2>&1 || true')).includes('error')).toBe(false);
  });
});
