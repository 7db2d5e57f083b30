// import, follow and export on a real mount.
import { spawn } from 'node:child_process';
import { appendFileSync, copyFileSync, mkdtempSync, readFileSync } from 'node:fs';
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
});

it('a wrong format, nothing to import and a torn document are refused with what to do', async () => {
  expect((await mounted.ctx(['import', '--from', 'word', join(FIXTURES, 'notes.txt')])).code).toBe(2);
  expect((await mounted.ctx(['import'])).code).toBe(2);
  const torn = await mounted.sh(`head -c 300 '${join(FIXTURES, 'openai-array.json')}' | ctx import - --session coder/torn`);
  expect(torn.code).toBe(1);
  expect(torn.stderr).toContain('interop.bad_document');
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
