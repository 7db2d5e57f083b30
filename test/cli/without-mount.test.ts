import { copyFile, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

import { CTX, ctx, ROOT, runProgram } from './program.ts';

let directory: string;
let env: Record<string, string>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cli-'));
  env = { CTX_ROOT: join(directory, 'mnt'), CTX_STORE: join(directory, 'store') };
});

const VERBS =
  'mount umount status ls new append cat pack explain search import follow export fork archive rm gc fsck doctor completion push pull login logout'.split(
    ' ',
  );

describe('ctx without a mount', () => {
  it('the help lists every verb, and each verb shows examples', async () => {
    const { stdout } = await ctx(['--help']);
    for (const verb of VERBS) expect(stdout).toMatch(new RegExp(`^  ${verb}\\b`, 'm'));
    const helps = await Promise.all(VERBS.map((verb) => ctx([verb, '--help'])));
    for (const { code, stdout: help } of helps) {
      expect(code).toBe(0);
      expect(help).toContain('Examples:');
    }
  });

  it.each([
    [['bogus'], 2],
    [['new'], 2],
    [['ls', '--bogus'], 2],
    [['completion', 'csh'], 2],
    [['mount', '--driver', 'none'], 2],
    [['status'], 3],
    [['ls'], 3],
    [['cat', 'coder/default'], 3],
    [['append', 'coder/default', 'x', '--role', 'boss'], 2],
    [['cat', '--store', '/nonexistent', 'coder/default'], 4],
    [['umount'], 0],
    [[], 2],
  ] as const)('ctx %j ends with exit code %i', async (args, code) => {
    const outcome = await ctx(args, { env });
    expect(outcome.code).toBe(code);
    // CLI-6; without a verb there is the help.
    if (code !== 0 && args.length > 0) expect(outcome.stderr).toMatch(/^ctx: [a-z_.]+: [^\n]+; [^\n]+\n$/);
  });

  it('a failure is one line that names what, where and the next step', async () => {
    const { stderr } = await ctx(['status'], { env });
    expect(stderr).toBe(`ctx: cli.not_mounted: ${env['CTX_ROOT']} is not a live ctx mount; run: ctx mount, or set CTX_ROOT\n`);
    const said = async (...args: readonly string[]): Promise<string> => (await ctx(args, { env })).stderr;
    expect(await said('mout')).toBe("ctx: cli.usage: unknown command 'mout' (Did you mean mount?); see: ctx --help\n");
    expect(await said('model', 'use')).toBe("ctx: cli.usage: missing required argument 'name'; see: ctx model use --help\n");
  });

  it('output that is no terminal has no escape sequence', async () => {
    const { stdout } = await ctx(['doctor'], { env });
    expect(stdout).toContain('node');
    expect(stdout).not.toContain('\u001b');
  });

  it('a mount point inside the store, or the other way round, is refused', async () => {
    const inside = await ctx(['mount', join(directory, 'a/mnt'), '--store', join(directory, 'a')], { env });
    const around = await ctx(['mount', join(directory, 'b'), '--store', join(directory, 'b/store')], { env });
    expect([inside.code, around.code]).toEqual([2, 2]);
  });

  it('ctx cat --store reads history without a daemon, sealed segments first, and no unacknowledged tail', async () => {
    const session = join(directory, 'store2/home/0/agent/coder/session/s1');
    await mkdir(join(session, 'segments'), { recursive: true });
    const [sealed, active] = ['{"role":"user","content":"1"}\n', '{"role":"user","content":"2"}\n'];
    const file = 'segments/messages-0123456789abcdef.jsonl';
    await writeFile(join(session, file), `${sealed}{"role":"user","content":"not shared"}\n`);
    await writeFile(
      join(session, 'segments.json'),
      JSON.stringify([{ journal: 'messages.jsonl', file, bytes: sealed.length, sha256: '0'.repeat(64) }]),
    );
    await writeFile(join(session, 'messages.jsonl'), `${active}{"role":"us`);
    const { code, stdout } = await ctx([
      'cat',
      '--store',
      join(directory, 'store2'),
      join(directory, 'store2/home/0/agent/coder/session/s1'),
    ]);
    expect([code, stdout]).toEqual([0, sealed + active]);
  });

  it('a reader that closes early is not a failure', async () => {
    const session = join(directory, 'store3/home/0/agent/coder/session/s1');
    await mkdir(session, { recursive: true });
    await writeFile(join(session, 'messages.jsonl'), '{"role":"user","content":"a line"}\n'.repeat(200_000));
    const line = `set -o pipefail; '${process.execPath}' '${CTX}' cat --store '${join(directory, 'store3')}' '${session}' | head -n 1`;
    const { code, stdout } = await runProgram('bash', ['-c', line]);
    expect([code, stdout]).toEqual([0, '{"role":"user","content":"a line"}\n']);
  });

  it('a checkout that is not built says which command builds it', async () => {
    const bare = join(directory, 'bare');
    await mkdir(join(bare, 'bin'), { recursive: true });
    await copyFile(CTX, join(bare, 'bin/ctx'));
    await writeFile(join(bare, 'package.json'), await readFile(`${ROOT}package.json`, 'utf8'));
    const { code, stderr } = await runProgram(process.execPath, [join(bare, 'bin/ctx'), 'ls']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^ctx: cli\.not_built: .* npm ci && npm run build\)\n$/);
  });
});

describe('completion', () => {
  it('bash completes verbs and options from the script', async () => {
    const complete = async (words: readonly string[]): Promise<readonly string[]> => {
      const list = words.map((word) => `'${word}'`).join(' ');
      const line = `source <('${process.execPath}' '${CTX}' completion bash); COMP_WORDS=(ctx ${list}); COMP_CWORD=${words.length}; _ctx; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return (await runProgram('bash', ['-c', line], { cwd: directory })).stdout.trimEnd().split('\n');
    };
    expect(await complete(['um'])).toEqual(['umount']);
    expect(await complete(['mount', '--st'])).toEqual(['--store']);
    expect(await complete(['import', '--from', 'cl'])).toEqual(['claude-code']);
    expect(await complete(['export', 'a/b', '--to', 'mark'])).toEqual(['markdown']);
    expect(await complete(['completion', ''])).toEqual(['bash', 'zsh', 'fish']);
  });

  it.each(['zsh', 'fish'])('the %s script names every verb', async (shell) => {
    const { stdout } = await ctx(['completion', shell]);
    for (const verb of VERBS) expect(stdout).toContain(verb);
  });
});
