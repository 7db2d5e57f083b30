// import, follow and export on a real mount.
import { spawn } from 'node:child_process';
import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { mountStore, type MountedStore } from './mounted-store.ts';
import { CTX, ROOT } from './program.ts';

const FIXTURES = join(ROOT, 'test/fixtures/transcripts');
let mounted: MountedStore;

beforeAll(async () => {
  mounted = await mountStore('import');
});
afterAll(() => mounted.end());

it('import stores a transcript, again adds nothing, and the original comes back', async () => {
  const file = join(FIXTURES, 'claude-code.jsonl');
  const import_ = `ctx import '${file}' --session coder/old --json | jq -c '.[0] | [.format, .messages, .events, .created]'`;
  expect((await mounted.must(import_)).trim()).toBe('["claude-code",11,15,true]');
  expect((await mounted.must(import_)).trim()).toBe('["claude-code",0,0,false]');
  expect((await mounted.must('ctx cat coder/old cwd')).trim()).toBe('/home/dana/src/parcel');
  await mounted.must(`ctx export coder/old --to original | cmp - '${file}'`);
  const roles = await mounted.must(`ctx export coder/old | jq -c 'map(.role)'`);
  expect(JSON.parse(roles)).toEqual(['user', 'assistant', 'tool', 'tool', 'assistant', 'tool', 'user', 'assistant']);
});

it('each episode of a results file goes to a session of its own', async () => {
  await mounted.must(`ctx import '${join(FIXTURES, 'tau-bench.json')}' --split --session tau/air`);
  expect((await mounted.must('ctx cat tau/air-0 | wc -l; ctx cat tau/air-1 | wc -l')).trim().split(/\s+/)).toEqual(['10', '2']);
  const none = await mounted.ctx(['import', join(FIXTURES, 'tau-bench.json'), '--episode', '9', '--session', 'tau/none']);
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('interop.no_episode')]);
  expect(none.stderr).toContain('numbered from 0 to 1');
});

it('a wrong format, nothing to import and a torn document are refused with what to do', async () => {
  expect((await mounted.ctx(['import', '--from', 'word', join(FIXTURES, 'notes.txt')])).code).toBe(2);
  expect((await mounted.ctx(['import'])).code).toBe(2);
  const torn = await mounted.sh(`head -c 300 '${join(FIXTURES, 'openai-array.json')}' | ctx import - --session coder/torn`);
  expect(torn.code).toBe(1);
  expect(torn.stderr).toContain('interop.bad_document');
  // A shell's <(command) is read once.
  const piped = await mounted.must(`ctx import <(cat '${join(FIXTURES, 'claude-code.jsonl')}') --session coder/piped`);
  expect(piped).toContain('11 messages, 15 events');
});

it('binary and empty files, an unknown format to follow, and a directory without transcripts are refused with what to do', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ctx-wrong-'));
  writeFileSync(join(directory, 'archive.zip'), Buffer.from([0x50, 0x4b, 3, 4, 0, 0, 0, 0xff]));
  writeFileSync(join(directory, 'empty.jsonl'), '');
  const said = async (...args: readonly string[]): Promise<readonly [number, string | undefined]> => {
    const { code, stderr } = await mounted.ctx([...args, '--session', 'coder/wrong']);
    return [code, /^ctx: ([a-z._]+): /.exec(stderr)?.[1]];
  };
  expect(await said('import', join(directory, 'archive.zip'))).toEqual([1, 'interop.binary']);
  expect(await said('import', join(directory, 'empty.jsonl'))).toEqual([1, 'import.empty']);
  expect(await said('import', directory)).toEqual([4, 'import.none']);
  expect(await said('follow', '--from', 'word', directory)).toEqual([2, 'cli.usage']);
  expect((await mounted.ctx(['ls', '--names'])).stdout).not.toContain('coder/wrong');
  expect(await said('import', '--from', 'text', join(directory, 'archive.zip'))).toEqual([0, undefined]);

  copyFileSync(join(FIXTURES, 'claude-code.jsonl'), join(directory, 'whole.jsonl'));
  expect(await said('import', '--episode', '3', join(directory, 'whole.jsonl'))).toEqual([1, 'interop.no_episode']);
  // A directory goes without --session too: each transcript to the session that its content names.
  expect((await mounted.must(`ctx import '${directory}'`)).trim().split('\t').slice(1, 3)).toEqual([
    '11 messages, 15 events',
    'claude-code',
  ]);
});

it('inside a session, a missing AGENT/SESSION that reads like a file says how to name the file', async () => {
  await mounted.must('ctx new coder/here');
  const { code, stderr } = await mounted.sh('ctx cat context/budget', { cwd: join(mounted.agents, 'coder/session/here') });
  expect([code, stderr]).toEqual([4, expect.stringContaining('./context/budget')]);
});

it('follow takes in what is appended until it is interrupted, and import then finds nothing new', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'ctx-follow-')), 'live.jsonl');
  copyFileSync(join(FIXTURES, 'openai-lines.jsonl'), file);
  appendFileSync(file, '\n');
  const child = spawn(process.execPath, [CTX, 'follow', file, '--session', 'coder/live'], {
    env: { ...process.env, ...mounted.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line);
    if (said.length === 1) appendFileSync(file, '{"role":"user","content":"and live?"}\n');
    if (said.length === 2) child.kill('SIGTERM');
  }
  expect(await ended).toBe(0);
  expect(said).toEqual(['coder/live\t11 messages', 'coder/live\t1 messages']);
  expect(await mounted.must(`ctx import '${file}' --session coder/live`)).toContain('nothing new');
  expect(await mounted.must('ctx export coder/live --to original')).toBe(readFileSync(file, 'utf8'));
});
