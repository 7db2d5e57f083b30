import { execFileSync } from 'node:child_process';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { hookAnswer, withHooks, withoutHooks } from '../../src/wiki/agent-hooks.ts';
import { unifiedDiff } from '../../src/wiki/diff.ts';
import { CanonicalFacts, driftOf } from '../../src/wiki/drift.ts';
import { schemaMark, withConfirmed } from '../../src/wiki/confirm.ts';
import { evaluateGate, gateText, type GateState } from '../../src/wiki/gate.ts';
import { aboutPages, propose, sourceName, withSource } from '../../src/wiki/ingest.ts';
import { logEntry, parseLog } from '../../src/wiki/log.ts';
import { outsideFindings } from '../../src/wiki/lint-outside.ts';
import { memoryPages } from '../../src/wiki/memory-pages.ts';
import { readPage } from '../../src/wiki/page.ts';
import { parseProposal, proposalDiff } from '../../src/wiki/proposal.ts';
import { WikiDirectory } from '../../src/wiki/wiki-directory.ts';
import { digestOf } from '../../src/abi/digest.ts';
import { page, scratch, TODAY } from './scratch.ts';

describe('the log', () => {
  it('WIK-30 judgments are found in entries with headings or items, over several lines', () => {
    const text = '# Log\n\n## [2026-04-20] b\n\n- x\n- **Judgment:** because\n  of that\n\n## 2026-04-19 | a\nJudgment: so\n### detail\n';
    expect(parseLog(text, 'log.md').map(({ day, title, line, judgments }) => [day, title, line, judgments])).toEqual([
      ['2026-04-20', 'b', 3, [{ line: 6, text: 'because of that' }]],
      ['2026-04-19', 'a', 9, [{ line: 10, text: 'so' }]],
    ]);
    expect(parseLog('- 2026-04-20: moved\n  Judgment: cheap\n- 2026-13-40 none\n', 'log.md')).toMatchObject([
      { day: '2026-04-20', title: 'moved', judgments: [{ text: 'cheap' }] },
    ]);
    expect(parseLog(logEntry('2026-04-20', 't', ['a.md'], 'why\nnot'), 'log.md')).toMatchObject([
      { day: '2026-04-20', judgments: [{ text: 'why not' }] },
    ]);
  });
});

describe('drift', () => {
  it('WIK-24 a copy that gives another value differs, one that gives the same is a copy, another fact is only there', () => {
    const copy =
      '- The gateway listens on port 443.\n- The archive is kept for 7 years.\n- Ada likes tea at 16:00.\n- Deploys never go out every Tuesday at 14:00.\n';
    const pages = [
      { path: 'gateway.md', text: '# G\n\nThe gateway listens on port 8443.\nDeploys go out every Tuesday at 14:00.\n' },
      { path: 'x.md', text: 'The archive is kept for 7 years.\n```\nThe archive is kept for 9 years.\n```\n' },
    ];
    expect(
      driftOf(copy, new CanonicalFacts(pages, [copy])).map(({ kind, line, page: path, pageLine }) => [kind, line, path, pageLine]),
    ).toEqual([
      ['differs', 1, 'gateway.md', 3],
      ['copied', 2, 'x.md', 1],
      ['only', 3, undefined, undefined],
      ['differs', 4, 'gateway.md', 4],
    ]);
  });

  it('WIK-24 declared copies stay in triage until they are confirmed, and the wiki wins', () => {
    const root = scratch({
      'INDEX.md': '# i\n',
      'a.md': page('type: x', 'The gateway listens on port 8443.\n'),
      'home/.claude/projects/p1/memory/m.md': 'The gateway listens on port 443.\n',
      '.wiki/config.yaml': 'copies:\n  - path: ~/.claude/projects/*/memory\n    name: agent\n',
    });
    const findings = outsideFindings(WikiDirectory.open(root), { home: join(root, 'home'), nowMs: Date.now(), today: TODAY });
    expect(findings.map(({ rule, message }) => `${rule} ${message}`)).toEqual([
      expect.stringContaining('the wiki wins'),
      "memory-drift agent holds a copy that nobody has confirmed (ctx wiki drift --confirm 'agent')",
    ]);
  });

  it('WIK-68 a copy that was confirmed is asked about again when the schema changed, and not when only its lines did', () => {
    const files = (schema: string, confirmed: string): Record<string, string> => ({
      'INDEX.md': '# i\n',
      'AGENTS.md': schema,
      'log.md': '# Log\n\n## 2026-04-10 rules\n\n- AGENTS.md\n- Judgment: x\n',
      '.wiki/config.yaml': `# Mine\ncopies:\n  - path: /nowhere\n    name: agent # the one\n${confirmed}`,
    });
    const asked = (schema: string, confirmed: string): readonly string[] => {
      const wiki = WikiDirectory.open(scratch(files(schema, confirmed)));
      return outsideFindings(wiki, { home: '/nobody', nowMs: Date.now(), today: TODAY }).map(({ message }) => message);
    };
    const { '.wiki/config.yaml': config = '' } = files('', '');
    const wiki = WikiDirectory.open(scratch(files('Read INDEX.md first.\n', '')));
    const confirmed = withConfirmed(config, ['agent'], TODAY, schemaMark(wiki)).slice(config.length);
    expect(withConfirmed(config, ['agent'], TODAY, 'abc')).toBe(`${config}    confirmed: ${TODAY}\n    schema: abc\n`);
    expect(asked('Read INDEX.md\nfirst.\n', confirmed)).toEqual([]);
    expect(asked('Read INDEX.md last.\n', confirmed)).toEqual([expect.stringContaining('the schema is another one now')]);
    // Confirmed by hand, on a day: the log knows.
    expect(asked('x', '    confirmed: 2026-04-10\n')).toEqual([]);
    expect(asked('x', '    confirmed: 2026-04-09\n')).toEqual([expect.stringContaining('the schema changed on 2026-04-10')]);
    expect(asked('x', '    confirmed: 2026-04-09\n    kind: forwarded\n')).toEqual([]);
    expect(() => withConfirmed(config, ['none'], TODAY, 'abc')).toThrow('declares no copy none');
  });
});

describe('outputs and buckets', () => {
  it('WIK-23 a scheduled job whose file is missing, empty or old is told', () => {
    const root = scratch({
      'INDEX.md': '# i\n',
      'out/2026-04-19.md': 'x',
      'fresh.txt': 'x',
      'old.txt': 'x',
      'empty.txt': '',
      '.wiki/config.yaml':
        'expected_outputs:\n' +
        ['out/{date}.md daily', 'fresh.txt hourly', 'old.txt every 6h', 'empty.txt daily', 'none.txt weekly', 'late/{date}.md daily']
          .map(
            (text) =>
              `  - job: ${text.split('.')[0]}\n    path: "${text.split(' ')[0]}"\n    schedule: ${text.slice(text.indexOf(' ') + 1)}\n    timezone: UTC\n`,
          )
          .join(''),
      'late/2026-04-17.md': 'x',
    });
    const nowMs = Date.parse(`${TODAY}T12:00:00Z`);
    utimesSync(join(root, 'fresh.txt'), nowMs / 1000 - 600, nowMs / 1000 - 600);
    utimesSync(join(root, 'old.txt'), nowMs / 1000 - 9 * 3600, nowMs / 1000 - 9 * 3600);
    const findings = outsideFindings(WikiDirectory.open(root), { home: root, nowMs, today: TODAY });
    expect(findings.map(({ target }) => target)).toEqual(['old.txt', 'empty.txt', 'none.txt', 'late/{date}.md']);
  });

  it('WIK-23 a job of a crontab is told once the file of its last run is over its time, whatever the clock does', () => {
    const told = (entry: string, files: Record<string, string>, now: string, writtenAt?: string): string | undefined => {
      const root = scratch({ 'INDEX.md': '# i\n', ...files, '.wiki/config.yaml': `expected_outputs:\n  - job: j\n${entry}` });
      const seconds = Date.parse(writtenAt ?? now) / 1000;
      for (const path of Object.keys(files)) utimesSync(join(root, path), seconds, seconds);
      const [finding] = outsideFindings(WikiDirectory.open(root), { home: root, nowMs: Date.parse(now), today: now.slice(0, 10) });
      return finding?.message;
    };
    // Friday's file; on Saturday and on Monday morning nothing is due yet.
    const workdays = '    path: "{date}.md"\n    schedule: 0 6 * * 1-5\n    timezone: America/New_York\n';
    const friday = { '2026-11-20.md': 'x' };
    expect(told(workdays, friday, '2026-11-21T18:00:00Z')).toBeUndefined();
    expect(told(workdays, friday, '2026-11-23T11:59:00Z')).toBeUndefined();
    expect(told(workdays, friday, '2026-11-23T12:01:00Z')).toBe('j did not produce 2026-11-23.md, due 2026-11-23 06:00 GMT-5');
    expect(told(`${workdays}    within: 3h\n`, friday, '2026-11-23T13:59:00Z')).toBeUndefined();
    // 23:00 in New York is the next day in UTC: the file is named by the day of the job.
    const night = workdays.replace('0 6 * * 1-5', '0 23 * * *');
    expect(told(night, friday, '2026-11-21T05:30:00Z')).toBeUndefined();
    expect(told(night.replace('0 23 * * *', 'daily'), friday, '2026-11-22T04:30:00Z')).toBeUndefined();
    expect(told(night.replace('0 23 * * *', 'daily'), friday, '2026-11-22T05:30:00Z')).toContain('did not produce');
    // The hour that is not there, and the one that is there twice.
    const spring = '    path: out.txt\n    schedule: 30 2 * * *\n    timezone: Europe/Berlin\n    within: 30m\n';
    expect(told(spring, { 'out.txt': 'x' }, '2026-03-29T01:20:00Z', '2026-03-28T01:31:00Z')).toBeUndefined();
    expect(told(spring, { 'out.txt': 'x' }, '2026-03-29T01:31:00Z', '2026-03-28T01:31:00Z')).toContain('due 2026-03-29 03:00');
    expect(told(spring, { 'out.txt': 'x' }, '2026-10-25T02:31:00Z', '2026-10-25T00:31:00Z')).toBeUndefined();
    const weekly = '    path: out.txt\n    schedule: weekly\n';
    expect(told(weekly, { 'out.txt': 'x' }, '2026-10-30T08:30:00Z', '2026-10-23T06:40:00Z')).toBeUndefined();
    expect(told(weekly, { 'out.txt': 'x' }, '2026-10-30T08:50:00Z', '2026-10-23T06:40:00Z')).toContain('170 hours ago');
    for (const bad of [
      'schedule: 0 6 * *',
      'schedule: 61 6 * * *',
      'schedule: yearly',
      'timezone: Mars/Base',
      'within: soon',
      'shedule: daily',
    ])
      expect(() => told(`    path: x\n    ${bad}\n`, {}, '2026-03-29T02:00:00Z'), bad).toThrow(
        expect.objectContaining({ code: 'wiki.config' }),
      );
  });

  it('WIK-69 loose files, unknown directories, runtime and archives within what is searched', () => {
    const root = scratch({
      'AI/wiki/INDEX.md': '# i\n',
      'AI/wiki/.wiki/config.yaml':
        'buckets:\n  root: ~/AI\n  allowed: [wiki, inbox]\n  runtime: [~/AI/.claude]\n  unsearched: [~/AI/old, ~/Archive]\n  scopes: [~/AI]\n',
      'AI/loose.txt': 'x',
      'AI/inbox/x': 'x',
      'AI/junk/x': 'x',
      'AI/project/.git/HEAD': 'x',
    });
    const findings = outsideFindings(WikiDirectory.open(join(root, 'AI/wiki')), { home: root, nowMs: Date.now(), today: TODAY });
    expect(findings.map(({ file }) => file)).toEqual(['~/AI/junk', '~/AI/loose.txt', '~/AI/old', '~/AI/.claude']);
  });
});

describe('ingest', () => {
  it('WIK-28 the source joins the frontmatter, and the rest of the page stays byte for byte', () => {
    const facts = (text: string): readonly string[] => readPage(Buffer.from(withSource(text, { path: 'sources/a b.txt' }, TODAY))).sources;
    expect(facts('# x\n')).toEqual(['sources/a b.txt']);
    expect(facts(page('type: x\nlast_updated: 2020-01-01'))).toEqual(['sources/a b.txt']);
    expect(facts(page('sources: []'))).toEqual(['sources/a b.txt']);
    expect(facts(page('sources: [u]\ntype: x'))).toEqual(['u', 'sources/a b.txt']);
    expect(facts(page('sources:\n  - u\ntype: x'))).toEqual(['u', 'sources/a b.txt']);
    expect(facts(page('sources:\n- u\ntype: x'))).toEqual(['u', 'sources/a b.txt']);
    expect(facts(page('sources:\n  - id: 1\n    resource: u\ntype: x'))).toEqual(['u', 'sources/a b.txt']);
    expect(withSource(page('a: "x"   # kept\nsources: [u]', '# B\n\n  body \n'), { path: 's' }, TODAY)).toBe(
      page('a: "x"   # kept\nsources: [u, s]', '# B\n\n  body \n'),
    );
  });

  it('names of sources keep letters of any script, and lead nowhere', () => {
    expect(sourceName('2026-04-20', '/tmp/../Größe der Welt.pdf', '.pdf')).toBe('2026-04-20-Größe-der-Welt.pdf');
    expect(sourceName('2026-04-20', '../../..', '')).toBe('2026-04-20-source');
  });

  it('WIK-29 a proposal is a diff that git applies, and one that leads out of the wiki is none', () => {
    const root = scratch({ 'gateway.md': page('type: x', '# Gateway\n\nport timeouts network\n'), 'tea.md': '# Tea\n' });
    const wiki = WikiDirectory.open(root);
    const source = { path: 'sources/n.txt', digest: digestOf(''), origin: '/n.txt', time: '', by: '' };
    const proposal = propose({
      source,
      text: 'gateway gateway network timeouts',
      title: 'notes',
      pages: memoryPages(wiki).pages,
      pageText: (path) => wiki.text(path),
      day: TODAY,
      by: 'me',
      at: '',
    });
    expect(proposal?.changes.map(({ path }) => path)).toEqual(['gateway.md']);
    if (proposal === undefined) throw new Error('no proposal');
    // One word in common is chance, but for the name of the page, more than once.
    const about = (text: string): readonly string[] => aboutPages(text, memoryPages(wiki).pages).map((found) => found.page.path);
    expect(['A gateway. It is late: the gateway.', 'one gateway', 'port, port'].map(about)).toEqual([['gateway.md'], [], []]);
    execFileSync('git', ['-C', root, 'apply', '-'], { input: proposalDiff(proposal, (path) => wiki.text(path)) });
    expect(wiki.text('gateway.md')).toBe(proposal.changes[0]?.text);
    expect(parseProposal(JSON.stringify(proposal))).toEqual(proposal);
    for (const path of ['../x', '/etc/x', '.git/config', 'a/../../x', 'a//b', ''])
      expect(parseProposal(JSON.stringify({ ...proposal, changes: [{ path, base: null, text: '' }] }))).toBeUndefined();
  });

  it('a diff turns the one text into the other, as patch reads it', () => {
    const lines = fc.array(fc.constantFrom('a', 'b', 'c', ''), { maxLength: 14 }).map((all) => all.map((line) => `${line}\n`).join(''));
    const root = scratch({});
    mkdirSync(join(root, 'd'));
    fc.assert(
      fc.property(lines, lines, (before, after) => {
        const diff = unifiedDiff('f', before, after);
        if (before === after) return diff === '';
        writeFileSync(join(root, 'd/f'), before);
        execFileSync('git', ['apply', '--unidiff-zero', '--whitespace=nowarn', '-'], {
          cwd: join(root, 'd'),
          input: diff,
          env: { ...process.env, GIT_CEILING_DIRECTORIES: root },
        });
        return execFileSync('cat', ['f'], { cwd: join(root, 'd'), encoding: 'utf8' }) === after;
      }),
      { numRuns: 15 },
    );
  });
});

describe('the gate', () => {
  const state: GateState = {
    waiting: [],
    results: [{ check: 'smoke', passed: true, atMs: 900, revision: 'r' }],
    revision: 'r',
    openTasks: [],
    checklistFound: true,
    nowMs: 1_000,
  };
  const policy = { checks: ['smoke'], maxAgeMs: 500, checklist: 'deploy.md', requireLog: true };

  it('WIK-34 it is open only when log, checks and checklist all are', () => {
    const closed = (change: Partial<GateState>): number => evaluateGate(policy, { ...state, ...change }).reasons.length;
    expect(evaluateGate(policy, state)).toEqual({ open: true, reasons: [] });
    expect(closed({ waiting: [{ id: '1', time: '', path: 'a.md', op: 'write' }] })).toBe(1);
    expect(closed({ results: [] })).toBe(1);
    expect(closed({ results: [...state.results, { check: 'smoke', passed: false, atMs: 950, revision: 'r' }] })).toBe(1);
    expect(closed({ revision: 'later' })).toBe(1);
    expect(closed({ nowMs: 5_000 })).toBe(1);
    expect(closed({ openTasks: [{ line: 3, text: 'tag' }] })).toBe(1);
    expect(closed({ checklistFound: false })).toBe(1);
    expect(gateText(evaluateGate(policy, { ...state, results: [] }))).toContain('- the check smoke was never run');
  });
});

describe('hooks', () => {
  const state = { root: '/w', schema: 'RULES', index: 'INDEX', lastLint: undefined, gaps: [], unlogged: ['a.md'] };

  const CALL = { stopHookActive: false, compacted: false };
  it('WIK-33 a session is told rules, index and gap; it may not end with a gap, but is never kept for ever', () => {
    expect(JSON.stringify(hookAnswer('SessionStart', state, CALL))).toMatch(/LOG GAP: a\.md.*RULES.*INDEX/);
    expect(hookAnswer('Stop', state, CALL)).toMatchObject({ decision: 'block' });
    expect(hookAnswer('Stop', state, { ...CALL, stopHookActive: true })).toEqual({});
    expect(hookAnswer('Stop', { ...state, unlogged: [] }, CALL)).toEqual({});
    expect(hookAnswer('PreCompact', state, CALL)).toMatchObject({ systemMessage: expect.stringContaining('LOG GAP: a.md') });
    expect(JSON.stringify(hookAnswer('SessionStart', state, { ...CALL, compacted: true }))).toContain('write the entry first');
    expect(JSON.stringify(hookAnswer('SessionStart', { ...state, unlogged: [] }, { ...CALL, compacted: true }))).not.toContain('first');
  });

  it('WIK-33 installing twice leaves each hook once, and the hooks of others', () => {
    const before = { model: 'x', hooks: { Stop: [{ hooks: [{ type: 'command', command: 'mine' }] }], Other: [1] } };
    const once = withHooks(before, (event) => `ctx wiki hooks run ${event}`);
    const twice = withHooks(once, (event) => `ctx wiki hooks run ${event}`);
    expect(twice).toEqual(once);
    expect(JSON.stringify(twice)).toContain('mine');
    expect(twice).toMatchObject({ model: 'x', hooks: { Other: [1] } });
    expect([
      withoutHooks(twice),
      withoutHooks(withHooks({}, (event) => `ctx wiki hooks run ${event}`)),
      withoutHooks({ hooks: {} }),
    ]).toEqual([before, {}, { hooks: {} }]);
    // One entry with ours and theirs, as people merge them.
    const merged = (command: string): object => ({ hooks: { Stop: [{ matcher: '', hooks: [{ command: 'mine' }, { command }] }] } });
    const { hooks } = withHooks(merged('cd x && ctx wiki hooks run Stop') as Record<string, unknown>, (event) => event);
    expect((hooks as { Stop: unknown[] }).Stop).toEqual([
      { matcher: '', hooks: [{ command: 'mine' }] },
      { hooks: [{ type: 'command', command: 'Stop' }] },
    ]);
    for (const odd of [{ hooks: [] }, { hooks: 'x' }, { hooks: { Stop: {} } }])
      expect(() => withHooks(odd, (event) => event)).toThrow(expect.objectContaining({ code: 'wiki.settings' }));
  });
});
