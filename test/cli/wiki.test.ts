// ctx wiki as a person uses it: no mount, plain directories, git.
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { parseQueue } from '../../src/wiki/queue.ts';
import { ctx, ROOT, runProgram, type Outcome } from './program.ts';

let home: string;
let env: Record<string, string>;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'ctx-wiki-'));
  env = { HOME: home, CTX_TODAY: '2026-04-20', USER: 'dana', GIT_CONFIG_NOSYSTEM: '1', GIT_CEILING_DIRECTORIES: home };
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const wiki = (root: string, ...args: readonly string[]): Promise<Outcome> => ctx(['wiki', ...args], { env, cwd: root, timeoutMs: 60_000 });
const rulesOf = ({ stdout }: Outcome): readonly string[] =>
  (JSON.parse(stdout) as readonly { rule: string; file: string }[]).map(({ rule, file }) => `${rule} ${file}`);
const tree = (root: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes('.git'))
      .map((entry) => [join(entry.parentPath, entry.name), readFileSync(join(entry.parentPath, entry.name), 'utf8')]),
  );

// A dozen processes one after the other: on a loaded machine a minute is not enough.
describe('ctx wiki', { timeout: 240_000 }, () => {
  it('WIK-31 the daily flow: init, write, see the gap, log it, lint, commit, ask', async () => {
    expect((await wiki(home, 'init', 'notes', '--domain', 'acme')).code).toBe(0);
    const root = join(home, 'notes');
    expect(rulesOf(await wiki(root, 'lint', '--json'))).toEqual(['page-count INDEX.md']);
    expect(await wiki(home, 'init', 'notes')).toMatchObject({ code: 1, stderr: expect.stringContaining('wiki.exists') });

    const page = join(root, 'conventions.md');
    writeFileSync(page, `${readFileSync(page, 'utf8')}\nThe gateway of [our people](People.md) listens on port 8443.\n`);
    expect((await wiki(root, 'status')).stdout).toContain('LOG GAP: conventions.md');
    // WIK-16: what a fix changes there closes no gap of somebody else.
    expect(rulesOf(await wiki(root, 'lint', '--fix', '--json'))).toContain('log-gap conventions.md');
    expect(readFileSync(page, 'utf8')).toContain('(people.md)');
    const log = join(root, 'log.md');
    writeFileSync(
      log,
      `${readFileSync(log, 'utf8')}\n## 2026-04-20 gateway port\n\n- conventions.md\n- Judgment: 443 belongs to the proxy.\n`,
    );
    expect(await wiki(root, 'lint')).toMatchObject({ code: 0 });
    expect((await wiki(root, 'status', '--commit', 'the port')).stdout).toContain('clean');
    expect((await runProgram('git', ['-C', root, 'log', '-1', '--format=%B'], { env })).stdout).toMatch(
      /^the port\n\nCommitted-by: .*dana/,
    );

    // WIK-70: what no entry tells is a gap still when git has nothing to say of it, although an entry of this day names the page.
    appendFileSync(page, '\nIt restarts within 2 s.\n');
    expect((await runProgram('git', ['-C', root, 'mv', 'people.md', 'persons.md'], { env })).code).toBe(0);
    const committed = (await wiki(root, 'status', '--commit')).stdout;
    expect([committed, parseQueue(readFileSync(join(root, '.update-queue'), 'utf8')).changes]).toEqual([
      expect.stringMatching(/LOG GAP: conventions\.md.*, persons\.md(?:.*\n)*.*, clean/),
      ['conventions.md', 'persons.md'].map((path) => expect.objectContaining({ path, logged: expect.any(Array) as unknown }) as unknown),
    ]);

    const asked = JSON.parse((await wiki(root, 'query', '--json', 'which port does the gateway use')).stdout) as {
      items: { kind: string; path: string }[];
    };
    expect(asked.items.map(({ kind, path }) => `${kind} ${path}`).slice(0, 3)).toEqual([
      'schema AGENTS.md',
      'index INDEX.md',
      'page conventions.md',
    ]);
    // WIK-27
    expect((await wiki(root, 'query', '--plan', 'projects.md', 'next', 'steps')).stdout).toMatch(/^projects\.md\t.*\ndecisions\.md\t/m);
    expect((await wiki(root, 'judgments', 'gateway')).stdout).toContain('443 belongs to the proxy.');
    expect((await wiki(root, 'judgments', 'elephants')).code).toBe(1);
  });

  it('WIK-1 lint works on any directory of Markdown, finds the labelled links, and writes nothing', async () => {
    const vault = join(ROOT, 'test/fixtures/wiki/vault');
    const before = tree(vault);
    const outcome = await wiki(home, 'lint', '--json', vault);
    expect(outcome.code).toBe(5);
    const labels = JSON.parse(readFileSync(join(ROOT, 'test/fixtures/wiki/labels.json'), 'utf8')) as readonly { rule: string }[];
    const broken = rulesOf(outcome).filter((rule) => rule.startsWith('broken-link'));
    expect(broken.length).toBe(labels.filter(({ rule }) => rule === 'broken-link').length);
    expect(tree(vault)).toEqual(before);
    expect((await wiki(home, 'lint', join(home, 'nowhere'))).code).toBe(4);
  });

  it('WIK-32 adopt changes no file unless asked, and then only adds', async () => {
    const root = mkdtempSync(join(home, 'vault-'));
    writeFileSync(join(root, 'a.md'), '# A\n\n[b](b.md)\n');
    const before = tree(root);
    const { stdout } = await wiki(home, 'adopt', root, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ pages: 1, missing: ['INDEX.md', 'log.md', 'AGENTS.md', 'CLAUDE.md', '.wiki/config.yaml'] });
    expect(tree(root)).toEqual(before);
    expect((await wiki(home, 'adopt', root, '--write')).code).toBe(0);
    expect(tree(root)).toMatchObject(before);
    expect(rulesOf(await wiki(root, 'lint', '--json'))).toContain('broken-link a.md');
  });

  it('WIK-28 WIK-29 ingest files the bytes with provenance, and pages change only when a person accepts', async () => {
    await wiki(home, 'init', 'work');
    const root = join(home, 'work');
    writeFileSync(
      join(root, 'gateway.md'),
      '---\ntype: project\ntitle: Gateway\n---\n\n# Gateway\n\nTimeouts of the network. [x](people.md)\n',
    );
    const material = join(home, 'meeting.txt');
    writeFileSync(material, 'The gateway has timeouts on the network.\n');
    const ingest = async (): Promise<{ source: string; filed: boolean; proposal: string | null; pages: string[] }> =>
      (
        JSON.parse((await wiki(root, 'ingest', '--json', material)).stdout) as {
          source: string;
          filed: boolean;
          proposal: string | null;
          pages: string[];
        }[]
      )[0] as never;
    const first = await ingest();
    expect(first).toMatchObject({ source: 'sources/2026-04-20-meeting.txt', filed: true, pages: ['gateway.md'] });
    expect(readFileSync(join(root, first.source), 'utf8')).toBe(readFileSync(material, 'utf8'));
    expect(JSON.parse(readFileSync(join(root, 'sources/provenance.jsonl'), 'utf8'))).toMatchObject({
      path: first.source,
      origin: material,
      by: 'dana',
    });
    expect(await ingest()).toMatchObject({ filed: false, proposal: null });

    const id = first.proposal ?? '';
    expect((await wiki(root, 'review', id)).stdout).toContain('+  - sources/2026-04-20-meeting.txt');
    expect(readFileSync(join(root, 'gateway.md'), 'utf8')).not.toContain('sources');
    expect((await wiki(root, 'review', id, '--accept')).code).toBe(2);
    expect((await wiki(root, 'review', id, '--accept', '--judgment', 'as agreed')).code).toBe(0);
    expect(readFileSync(join(root, 'gateway.md'), 'utf8')).toContain('sources/2026-04-20-meeting.txt');
    expect((await wiki(root, 'judgments')).stdout).toContain('as agreed');
    expect((await wiki(root, 'review', id)).code).toBe(4);

    writeFileSync(material, 'Another meeting about the gateway and timeouts on the network.\n');
    const second = (await ingest()).proposal ?? '';
    writeFileSync(join(root, 'gateway.md'), '# Gateway\n\nwritten anew\n');
    expect(await wiki(root, 'review', second, '--accept', '--judgment', 'x')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('wiki.changed'),
    });
    expect(readFileSync(join(root, 'gateway.md'), 'utf8')).toBe('# Gateway\n\nwritten anew\n');
    expect((await wiki(root, 'review', second, '--reject')).code).toBe(0);
  });

  it('WIK-14 WIK-17 an answer sticks, --fix stamps the lint, and reading stamps nothing', async () => {
    const root = mkdtempSync(join(home, 'answers-'));
    writeFileSync(join(root, 'INDEX.md'), '# I\n\nLast lint: 2026-01-01\n\n[a](a.md)\n');
    writeFileSync(join(root, 'a.md'), '---\ntype: x\n---\n\n# A\n\n[b](b.md)\n');
    const before = tree(root);
    const [finding] = (JSON.parse((await wiki(root, 'lint', '--json')).stdout) as { id: string; rule: string }[]).filter(
      ({ rule }) => rule === 'broken-link',
    );
    expect(tree(root)).toEqual(before);
    expect((await wiki(root, 'lint', '--fix', '--answer', `${finding?.id.slice(0, 8)}=kill`)).code).toBe(0);
    expect(readFileSync(join(root, 'INDEX.md'), 'utf8')).toContain('Last lint: 2026-04-20');
    expect(rulesOf(await wiki(root, 'lint', '--json'))).toEqual(['page-count INDEX.md']);
    expect(rulesOf(await wiki(root, 'lint', '--json', '--all'))).toContain('broken-link a.md');
    expect((await wiki(root, 'lint', '--answer', 'what')).code).toBe(2);
  });

  it('WIK-24 drift names what a copy says otherwise, and what wins', async () => {
    const root = mkdtempSync(join(home, 'drift-'));
    writeFileSync(join(root, 'INDEX.md'), '# I\n');
    writeFileSync(join(root, 'a.md'), '# A\n\nThe gateway listens on port 8443.\n');
    const copy = join(home, 'CLAUDE.md');
    writeFileSync(copy, '- The gateway listens on port 443.\n');
    const outcome = await wiki(root, 'drift', '--json', copy);
    expect(outcome.code).toBe(5);
    expect(JSON.parse(outcome.stdout)).toMatchObject([{ copy, line: 1, page: 'a.md', page_line: 3, verdict: 'differs', wins: 'wiki' }]);
  });

  it('WIK-66 a fix replaces what a copy repeats by a link, and leaves claims of others as they are', async () => {
    const root = mkdtempSync(join(home, 'linked-'));
    writeFileSync(join(root, 'INDEX.md'), '# I\n');
    writeFileSync(join(root, 'a.md'), '# A\n\nThe gateway listens on port 8443.\n');
    const copy = join(root, '../COPY.md');
    const text = '# Mine\n\n- The gateway listens on port 443. Be brief.\n- Never push on Fridays.\n';
    writeFileSync(copy, text);
    const forwarded = await wiki(root, 'drift', '--fix', '--forwarded', copy);
    expect([readFileSync(copy, 'utf8'), forwarded.stderr]).toEqual([text, expect.stringContaining('1 claims')]);
    expect((await wiki(root, 'drift', '--fix', copy)).stdout).toContain('1 facts are links now');
    expect(readFileSync(copy, 'utf8')).toBe(
      `# Mine\n\n- [a.md, line 3](${root.slice(root.lastIndexOf('/') + 1)}/a.md) Be brief.\n- Never push on Fridays.\n`,
    );
    expect((await wiki(root, 'drift', '--json', copy)).stdout.trim()).toBe('[]');
  });

  it('WIK-67 a command is run once for each open finding, and a failure is tried again', async () => {
    const root = mkdtempSync(join(home, 'told-'));
    writeFileSync(join(root, 'INDEX.md'), '# I\n\n[[Nowhere]] and [[Nothing]]\n');
    const tell = (command: string): Promise<Outcome> => wiki(root, 'tell', '--level', 'error', command);
    expect((await tell('exit 3')).code).toBe(1);
    const told = await tell('echo "$FINDING_RULE $FINDING_FILE:$FINDING_LINE $FINDING_ID"; test -e INDEX.md');
    expect(told.stdout.trim().split('\n')).toEqual([
      expect.stringMatching(/^broken-link INDEX\.md:3 [0-9a-f]+$/),
      expect.stringMatching(/^broken-link INDEX\.md:3 [0-9a-f]+$/),
    ]);
    expect((await tell('echo "$FINDING_RULE $FINDING_FILE:$FINDING_LINE $FINDING_ID"; test -e INDEX.md')).stdout).toBe('');
    expect((await wiki(home, 'init', 'with-adapters', '--no-git')).code).toBe(0);
    writeFileSync(join(home, 'with-adapters/people.md'), '# P\n\n[[Nobody]]\n');
    expect((await wiki(join(home, 'with-adapters'), 'tell', '--level', 'error', 'sh .wiki/adapters/task.sh')).stdout).toMatch(
      /^- \[ \] wiki: .*Nobody.* \(people\.md:3, /,
    );
  });

  it('WIK-55 hooks of a wiki outside the mount put what changed into its queue, each once, until the log tells of it', async () => {
    const root = mkdtempSync(join(home, 'tripwire-'));
    writeFileSync(join(root, 'INDEX.md'), '# Index\n');
    writeFileSync(join(root, 'log.md'), '# Log\n\n## 2026-04-20 a.md\n\n- Judgment: x\n');
    writeFileSync(join(root, 'a.md'), '# A\n');
    const hook = async (event: string, source?: string): Promise<string> => {
      const input = JSON.stringify({ session_id: 's-1', source });
      const { code, stdout, stderr } = await ctx(['wiki', 'hooks', 'run', event, '-d', root], { env, input });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return stdout;
    };
    const queued = (): readonly object[] => parseQueue(readFileSync(join(root, '.update-queue'), 'utf8')).changes;
    expect(await hook('SessionStart', 'startup')).not.toContain('LOG GAP');
    writeFileSync(join(root, 'a.md'), '# A\n\nchanged\n');
    writeFileSync(join(root, 'b.md'), '# B\n');
    const [told] = await Promise.all([hook('PreCompact'), hook('PreCompact')]);
    expect(told).toContain('LOG GAP: ');
    expect(queued()).toMatchObject([
      { path: 'a.md', op: 'write', session: 'claude-code/s-1' },
      { path: 'b.md', op: 'create', session: 'claude-code/s-1' },
    ]);
    expect(await hook('SessionStart', 'compact')).toMatch(/LOG GAP: a\.md, b\.md.*write the entry first/);
    expect(await hook('Stop')).toContain('"decision":"block"');
    appendFileSync(join(root, 'log.md'), `\n## ${new Date().toISOString().slice(0, 10)} x\n\n- a.md, b.md\n- Judgment: y\n`);
    expect(await hook('Stop')).toBe('{}\n');
    expect(queued()).toEqual([]);
  });
  it('WIK-33 hooks are installed once beside what is there, and answer', async () => {
    const root = mkdtempSync(join(home, 'hooks-'));
    writeFileSync(join(root, 'INDEX.md'), '# The index\n');
    const install = (): Promise<Outcome> => wiki(home, 'hooks', 'install', 'claude-code', '-d', root, '--project', home);
    expect((await install()).code).toBe(0);
    const settings = join(home, '.claude/settings.json');
    const first = readFileSync(settings, 'utf8');
    expect((await install()).code).toBe(0);
    expect(readFileSync(settings, 'utf8')).toBe(first);
    expect(readFileSync(join(home, '.claude/skills/ctx-wiki/SKILL.md'), 'utf8')).toMatch(/^---\nname: ctx-wiki\n/);
    const { stdout } = await ctx(['wiki', 'hooks', 'run', 'SessionStart', '-d', root], {
      env,
      input: '{"hook_event_name":"SessionStart"}',
    });
    expect(JSON.parse(stdout)).toMatchObject({
      hookSpecificOutput: { hookEventName: 'SessionStart', additionalContext: expect.stringContaining('# The index') },
    });
    expect((await wiki(home, 'hooks', 'uninstall', 'claude-code', '--project', home)).stdout).toContain('SKILL.md');
    expect([readFileSync(settings, 'utf8'), readdirSync(join(home, '.claude/skills'))]).toEqual(['{}\n', []]);
    writeFileSync(settings, 'not json');
    expect((await install()).code).toBe(1);
    expect(readFileSync(settings, 'utf8')).toBe('not json');
  });
});
