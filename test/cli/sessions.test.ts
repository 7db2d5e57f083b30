// Verbs on the sessions of a real mount.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { mountStore, type MountedStore } from './mounted-store.ts';

let mounted: MountedStore;

beforeAll(async () => {
  mounted = await mountStore('sessions');
});
afterAll(() => mounted.end());

const json = async (args: readonly string[]): Promise<unknown> => {
  const { code, stdout, stderr } = await mounted.ctx(args);
  if (code !== 0) throw new Error(`ctx ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout);
};

describe('ctx new, append, cat, ls', () => {
  it('new makes a session with its options, and refuses a second of the same name', async () => {
    const args = [
      'new',
      'coder/options',
      '--cwd',
      '/usr/lib',
      '--budget',
      '4000',
      '--meta',
      '{"client":"test"}',
      '--pin',
      '/etc/hostname',
      '--json',
    ];
    expect(await json(args)).toEqual({
      session: expect.stringMatching(/^home\/\d+\/agent\/coder\/session\/options$/),
      directory: join(mounted.agents, 'coder/session/options'),
    });
    const read = (file: string): Promise<string> => mounted.must(`ctx cat coder/options ${file}`);
    expect([await read('cwd'), await read('context/budget'), await read('meta.json')]).toEqual([
      '/usr/lib\n',
      '4000\n',
      '{"client":"test"}\n',
    ]);
    expect(await read('context/pinned/hostname')).toBe(await readFile('/etc/hostname', 'utf8'));
    const again = await mounted.ctx(['new', 'coder/options']);
    expect([again.code, again.stderr]).toEqual([1, 'ctx: cli.eexist: coder/options exists already; choose another name\n']);
  });

  it('a control value that is not valid, or a file that is not there, is refused by its name, and leaves no session', async () => {
    const { code, stderr } = await mounted.ctx(['new', 'coder/badbudget', '--budget', 'lots']);
    expect(code).toBe(1);
    expect(stderr).toContain('context/budget is not an unsigned integer');
    const missing = await mounted.ctx(['new', 'coder/badbudget', '--pin', 'nothing.md']);
    expect([missing.code, missing.stderr]).toEqual([4, 'ctx: cli.enoent: nothing.md does not exist; check the name\n']);
    await expect(stat(join(mounted.agents, 'coder/session/badbudget'))).rejects.toThrow('ENOENT');
  });

  it('append stores one message, from its arguments or from stdin', async () => {
    await mounted.must('ctx new coder/append');
    await mounted.must(`ctx append coder/append two words --role system && printf 'from\\nstdin\\n' | ctx append coder/append --sync`);
    expect(await mounted.must('ctx cat coder/append')).toBe(
      '{"role":"system","content":"two words"}\n{"role":"user","content":"from\\nstdin"}\n',
    );
  });

  it('append --lines stores good lines byte for byte, and reports each refused line by its number', async () => {
    await mounted.must('ctx new coder/lines');
    const good = [
      '{"role":"user",  "content":"kept  as written"}',
      '{"content":"x","role":"assistant","extra":{"a":[1,2]}}',
      '{"role":"tool","tool_call_id":"1","content":""}',
    ];
    const input = [good[0], 'not json', good[1], '{"role":"boss"}', good[2]].join('\n');
    const { code, stdout, stderr } = await mounted.ctx(['append', 'coder/lines', '--lines', '--json'], { input });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({ stored: 3, refused: 2 });
    expect(stderr).toMatch(/line 2 is not JSON.*\n.*line 4 has no role/);
    expect(await mounted.must('ctx cat coder/lines')).toBe(good.map((line) => `${line}\n`).join(''));
    const errors = (await mounted.must('ctx cat coder/lines --events'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(errors).toHaveLength(2);
    for (const event of errors) expect(event).toMatchObject({ type: 'error', code: 'EINVAL', target: 'messages.jsonl' });
  });

  it('append --events stores events', async () => {
    await mounted.must('ctx new coder/events');
    await mounted.must(`echo '{"type":"start","run":"1"}' | ctx append coder/events --events`);
    expect(await mounted.must('ctx cat coder/events --events')).toBe('{"type":"start","run":"1"}\n');
  });

  it('lines of many megabytes and many thousand lines arrive whole', async () => {
    await mounted.must('ctx new coder/large');
    const long = `{"role":"user","content":"${'x'.repeat(6 * 1024 * 1024)}"}`;
    const short = '{"role":"assistant","content":"a short line"}';
    const input = `${`${short}\n`.repeat(20_000)}${long}\n${`${short}\n`.repeat(3)}`;
    expect(JSON.parse((await mounted.ctx(['append', 'coder/large', '--lines', '--json'], { input })).stdout)).toEqual({
      stored: 20_004,
      refused: 0,
    });
    expect(await mounted.must('ctx cat coder/large')).toBe(input);
  });

  it('ls lists sessions newest first, and . names the one that the shell stands in', async () => {
    await mounted.must('ctx new lister/a && ctx new lister/b && ctx append lister/b x && sleep 0.05 && ctx append lister/a xyz');
    expect(await mounted.must('ctx ls lister --names')).toBe('lister/a\nlister/b\n');
    const rows = (await json(['ls', 'lister', '--json'])) as readonly Record<string, unknown>[];
    expect(rows[0]).toMatchObject({ reference: 'lister/a', state: 'active', history_bytes: 32 });
    expect(Object.keys(rows[0] ?? {})).toEqual(['reference', 'path', 'state', 'updated', 'history_bytes']);
    expect(await mounted.ctx(['ls', 'nobody'])).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringMatching(/^no sessions of nobody; /) as string,
    });
    expect(await mounted.must('ctx cat .', { cwd: join(mounted.agents, 'lister/session/a/context') })).toBe(
      '{"role":"user","content":"xyz"}\n',
    );
  });

  it('a session that does not exist has exit code 4', async () => {
    for (const verb of [
      ['cat', 'no/body'],
      ['append', 'no/body', 'x'],
      ['pack', 'no/body'],
      ['fork', 'no/body', 'a/b'],
      ['rm', 'no/body', '--yes'],
    ]) {
      const { code, stderr } = await mounted.ctx(verb);
      expect([verb[0], code, stderr.split('\n')]).toEqual([verb[0], 4, [expect.stringContaining('does not exist'), '']]);
    }
  });
});

describe('ctx pack, explain, search', () => {
  beforeAll(async () => {
    await mounted.must('ctx new coder/pack --budget 8000');
    await mounted.must(
      `ctx append coder/pack 'Which port does the staging server use?' && ctx append coder/pack --role assistant 'Staging listens on 8443.'`,
    );
  });

  it('pack draws tokens by kind within the budget, and --json is pack.json', async () => {
    const record = (await json(['pack', 'coder/pack', '--json'])) as {
      agent: string;
      session: string;
      budget_tokens: number;
      items: readonly { tokens: number }[];
    };
    expect(record).toMatchObject({ agent: 'coder', session: 'pack', budget_tokens: 8000 });
    expect(record).toEqual(JSON.parse(await mounted.must('ctx cat coder/pack context/pack.json')));
    const picture = await mounted.must('ctx pack coder/pack --items');
    expect(picture).toMatch(/^coder\/pack {2}[\d,]+ tokens of 8,000 \(/);
    expect(picture).toMatch(/^recent_messages\s+█*[▏▎▍▌▋▊▉]?\s+[\d,]+\s+[\d.]+ %/m);
    expect(picture).not.toContain('\u001b');
  });

  it('pack --text is pack.md', async () => {
    expect(await mounted.must('ctx pack coder/pack --text')).toBe(await mounted.must('ctx cat coder/pack context/pack.md'));
  });

  it('pack --at is the pack as it was at an earlier line', async () => {
    const record = (await json(['pack', 'coder/pack', '--at', '1', '--json'])) as { items: readonly { kind: string; range?: string }[] };
    expect(record.items.filter(({ kind }) => kind === 'recent_messages').map(({ range }) => range)).toEqual(['1']);
  });

  it('explain says why the pack was rebuilt after an append', async () => {
    await mounted.must('ctx append coder/pack more && ctx cat coder/pack context/pack.json');
    const record = (await json(['explain', 'coder/pack', 'pack.json', '--json'])) as Record<string, unknown>;
    expect(Object.keys(record).length).toBeGreaterThan(0);
    const outline = await mounted.must('ctx explain ./pack.json', { cwd: join(mounted.agents, 'coder/session/pack/context') });
    expect(outline).toMatch(/^why: \d+ items? (?:was|were) appended to the \d+ of this epoch$/m);
  });

  it('search finds lines by their words, and ends with 1 when it finds none', async () => {
    const hits = (await json(['search', 'coder/pack', 'staging', 'port', '--json'])) as readonly { line: number }[];
    expect(hits.map(({ line }) => line)).toContain(1);
    expect((await mounted.ctx(['search', 'coder/pack', 'zzzyzx'])).code).toBe(1);
  });
});

describe('ctx fork, archive, rm, gc, fsck', () => {
  it('a fork has the same history up to the line, and both go on separately', async () => {
    await mounted.must('ctx new coder/parent && for n in 1 2 3; do ctx append coder/parent $n; done');
    expect(await json(['fork', 'coder/parent', 'coder/child', '--at', '2', '--json'])).toMatchObject({
      at: 2,
      session: expect.stringContaining('coder/session/child'),
    });
    await mounted.must('ctx append coder/child c && ctx append coder/parent p');
    const contents = async (session: string): Promise<string> => mounted.must(`ctx cat ${session} | jq -r .content | tr '\\n' ' '`);
    expect([await contents('coder/parent'), await contents('coder/child')]).toEqual(['1 2 3 p ', '1 2 c ']);
    expect(await mounted.must(`ctx cat --store '${mounted.store}' coder/child | jq -r .content | tr '\\n' ' '`)).toBe('1 2 c ');
    expect((await mounted.ctx(['fork', 'coder/parent', 'coder/child'])).code).toBe(1);
  });

  it('fork names what it did not copy, on the terminal and in --json', async () => {
    await mounted.must('ctx new coder/odd');
    await mounted.must('mkfifo coder/session/odd/context/pinned/pipe', { cwd: mounted.agents });
    const said = await mounted.ctx(['fork', 'coder/odd', 'coder/odd-1']);
    expect([said.code, said.stdout, said.stderr]).toEqual([
      0,
      `${join(mounted.agents, 'coder/session/odd-1')}\n`,
      'ctx: not copied: context/pinned/pipe\n',
    ]);
    expect(await json(['fork', 'coder/odd', 'coder/odd-2', '--json'])).toMatchObject({ left_out: ['context/pinned/pipe'] });
    await mounted.must('rm coder/session/odd/context/pinned/pipe', { cwd: mounted.agents });
    expect(await json(['fork', 'coder/odd', 'coder/odd-3', '--json'])).toMatchObject({
      left_out: [],
      elapsed_ms: expect.any(Number) as number,
    });
  });

  it('rm is refused while gc.policy keeps history, deletes when it does not, and asks unless --yes', async () => {
    await mounted.must('ctx new coder/rm && ctx append coder/rm x');
    const kept = await mounted.ctx(['rm', 'coder/rm', '--yes']);
    expect([kept.code, kept.stderr]).toEqual([1, expect.stringContaining('keep_messages=0')]);
    expect(await mounted.must('ctx cat coder/rm')).not.toBe('');
    const unasked = await mounted.ctx(['rm', 'coder/rm', '--force']);
    expect([unasked.code, unasked.stderr]).toEqual([1, expect.stringContaining('--yes')]);
    await mounted.must(
      `sed 's/^keep_messages=.*/keep_messages=0/; s/^keep_events=.*/keep_events=0/' ${mounted.agents}/coder/session/rm/context/gc.policy > policy.new; cat policy.new > ${mounted.agents}/coder/session/rm/context/gc.policy`,
      {
        cwd: mounted.store,
      },
    );
    await mounted.must('ctx rm coder/rm --yes');
    expect((await mounted.ctx(['cat', 'coder/rm'])).code).toBe(4);
  });

  it('archive frees the name and keeps history readable in the store', async () => {
    await mounted.must('ctx new coder/archived && ctx append coder/archived keep');
    await mounted.must('ctx archive coder/archived');
    expect((await mounted.ctx(['cat', 'coder/archived'])).code).toBe(4);
    const [kept] = await readdir(join(mounted.store, 'archive'), { recursive: true }).then((names) =>
      names.filter((name) => name.endsWith('messages.jsonl')),
    );
    expect(await readFile(join(mounted.store, 'archive', kept ?? ''), 'utf8')).toBe('{"role":"user","content":"keep"}\n');
    await mounted.must('ctx new coder/archived');
  });

  it('gc removes derived cache only: history and every derived file read the same afterwards', async () => {
    await mounted.must('ctx new coder/gc && ctx append coder/gc "We decided to use NATS."');
    const before = await mounted.must(
      'for f in messages.jsonl context/pack.json context/pack.md context/summary.md context/decisions.jsonl; do ctx cat coder/gc $f; done',
    );
    expect(Array.isArray(await json(['gc', 'coder/gc', '--dry-run', '--json']))).toBe(true);
    await mounted.must('ctx gc coder/gc');
    expect(
      await mounted.must(
        'for f in messages.jsonl context/pack.json context/pack.md context/summary.md context/decisions.jsonl; do ctx cat coder/gc $f; done',
      ),
    ).toBe(before);
  });

  it('fsck finds nothing in a sound store, and ends with 5 on a damaged copy', async () => {
    await mounted.must('ctx new coder/sound && ctx append coder/sound x && ctx append coder/sound y');
    const sound = await mounted.ctx(['fsck']);
    expect([sound.code, sound.stderr]).toEqual([0, expect.stringMatching(/\d+ sessions, 0 errors/)]);
    const copy = `${mounted.store}-copy`;
    await mounted.must(
      `cp -a '${mounted.store}' '${copy}' && sed -i 's/"x"/"z"/' '${copy}/${join('home', String(process.getuid?.() ?? 0), 'agent/coder/session/sound/messages.jsonl')}'`,
      { cwd: '/' },
    );
    const damaged = await mounted.ctx(['fsck', 'coder/sound', '--store', copy, '--json']);
    expect(damaged.code).toBe(5);
    expect(JSON.parse(damaged.stdout)).toContainEqual(
      expect.objectContaining({ severity: 'error', session: expect.stringContaining('coder/session/sound') }),
    );
  });

  it('doctor names the live mount', async () => {
    // Its exit code also speaks of other mounts on this machine.
    const findings = JSON.parse((await mounted.ctx(['doctor', '--json'])).stdout) as readonly Record<string, unknown>[];
    expect(findings).toContainEqual(expect.objectContaining({ check: 'mount', level: 'ok', found: expect.stringContaining(mounted.root) }));
  });
});
