// scripts/quickstart as a person runs it, with a home of its own.
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { engineDirectory } from '../../src/engine/llama/native.ts';
import { prepareStore, type MountedStore } from './mounted-store.ts';
import { ROOT, runProgram, type Outcome } from './program.ts';

/** Of one run: against hangs. */
const LIMIT_MS = 300_000;

let mounted: MountedStore;

afterEach(() => mounted.end());

async function homeWithTranscript(): Promise<string> {
  const home = join(mounted.store, '../home');
  await mkdir(join(home, '.claude/projects/-srv-app'), { recursive: true });
  await copyFile(`${ROOT}samples/dockd.jsonl`, join(home, '.claude/projects/-srv-app/11111111-2222-4333-8444-555555555555.jsonl'));
  return home;
}

function quickstart(args: readonly string[], home: string, engine = engineDirectory()): Promise<Outcome> {
  return runProgram(`${ROOT}scripts/quickstart`, args, {
    env: { ...mounted.env, CTX_ENGINE_DIR: engine, HOME: home },
    timeoutMs: LIMIT_MS,
  });
}

describe('scripts/quickstart', () => {
  it('leaves a mounted tree with the sample in it, shows its pack, and may be run again', { timeout: 3 * LIMIT_MS }, async () => {
    mounted = await prepareStore('quickstart');
    const first = await quickstart([], '/nonexistent');
    expect(first).toMatchObject({ code: 0 });
    for (const part of ['messages.jsonl', '<summary', 'tokens of', 'left out', 'why: ', 'state: ready', `export PATH=`])
      expect(first.stdout).toContain(part);
    // Compiled, then only what was new, then restored by another process after a restart.
    const [all, more] = [...first.stdout.matchAll(/^tokens: ([\d,]+) \(([\d,]+) reused, ([\d,]+) evaluated\)$/gm)].map((found) =>
      found.slice(1).map((count) => Number(count.replaceAll(',', ''))),
    );
    expect(all).toEqual([all?.[0], 0, all?.[0]]);
    expect(more?.[1]).toBeGreaterThanOrEqual((all?.[0] ?? NaN) - 64);
    const restored = /^ctx: ([\d,]+) tokens restored, ([\d,]+) evaluated$/m.exec(first.stdout)?.slice(1);
    expect(Number(restored?.[0]?.replaceAll(',', ''))).toBeGreaterThanOrEqual((more?.[0] ?? NaN) - 64);
    expect(Number(restored?.[1]?.replaceAll(',', ''))).toBeLessThan(200);
    expect(first.stdout.trimEnd().split('\n').at(-1)).toMatch(/^ready in \d+ s$/);
    const { stdout } = await mounted.ctx(['ls', '--names']);
    expect(stdout.trim().split('\n').sort()).toEqual(['demo/compiled', 'demo/dockd']);
    const again = await quickstart([], '/nonexistent');
    expect(again.code).toBe(0);
    expect(again.stdout).toMatch(/already mounted[\s\S]*nothing new/);
  });

  it(
    "imports a person's own transcripts after yes on a terminal or with --yes, and never without an answer",
    {
      timeout: 4 * LIMIT_MS,
    },
    async () => {
      mounted = await prepareStore('quickstart-own');
      const home = await homeWithTranscript();
      const sessions = async (): Promise<readonly string[]> => (await mounted.ctx(['ls', '--names'])).stdout.trim().split('\n').sort();
      // A place that nobody can make: all but compiling is shown.
      const unasked = await quickstart([], home, '/dev/null/engine');
      expect([unasked.code, await sessions()]).toEqual([0, ['demo/dockd']]);
      expect(unasked.stdout).not.toContain('make-tiny-model');
      // `script` gives it a terminal; what is typed ahead waits for the question.
      const onTerminal = await mounted.sh(`script -qec '${ROOT}scripts/quickstart' /dev/null`, {
        env: { CTX_ENGINE_DIR: '/dev/null/engine', HOME: home },
        timeoutMs: LIMIT_MS,
        cwd: '/',
        input: 'y\n',
      });
      expect(onTerminal.stdout).toContain('Import them?');
      const [own, ...others] = await sessions();
      expect([onTerminal.code, own, others]).toEqual([0, expect.stringMatching(/^claude-code\//) as string, ['demo/dockd']]);
      expect((await mounted.ctx(['rm', '--force', '--yes', own ?? ''])).code).toBe(0);
      expect(await sessions()).toEqual(['demo/dockd']);
      const asked = await quickstart(['--yes'], home, '/dev/null/engine');
      expect([asked.code, await sessions()]).toEqual([0, [own, 'demo/dockd']]);
    },
  );
});
