// `tokenizer: engine` on a real mount: the budget holds for what the model really receives.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { HAS_LLAMA_SERVER, startLlamaServer } from '../engine/llama-server-process.ts';
import { openCounter } from '../../src/tokens/counter.ts';
import { isReady, prepareEngine, type EngineMount } from './engine-mount.ts';

interface Pack {
  readonly tokens: number;
  readonly prompt_tokens: number;
  readonly tokenizer: string;
  readonly epoch: { readonly reason: string };
}

let mounted: EngineMount;
let at: string;

beforeAll(async () => {
  mounted = await prepareEngine('engine-tokens');
  await mounted.must('ctx mount');
  at = await mounted.session('long', 100);
  await mounted.must(`printf 'tokenizer: engine\\n' > ${at}/context/policy.yaml && echo 1500 > ${at}/context/budget`);
});
afterAll(() => mounted.end());

const pack = async (): Promise<Pack> => JSON.parse(await mounted.read('long', 'pack.json')) as Pack;
const model = (options = ''): Promise<string> => mounted.must(`ctx model add ${mounted.model} --threads 1 --default ${options}`);

describe('tokenizer: engine', () => {
  it('TOK-9: without an engine the pack cannot be read, and status says why; everything else can', async () => {
    expect((await mounted.sh(`cat ${at}/context/pack.md`)).stderr).toContain('No such device');
    // The status is told soon after.
    expect(await mounted.must('until grep -q ^engine_tokenizer_error= status; do sleep 0.05; done; cat status')).toMatch(
      /^engine_tokenizer_error=tokens\.engine: tokenizer: engine no model is chosen; ctx model add/m,
    );
    expect(await mounted.must(`cat ${at}/context/summary.md`)).toContain('foxes');
  });

  it('TOK-8: the budget holds for what the model receives, with tools, whatever the budget', async () => {
    await model();
    const tools = [{ name: 'read', description: 'Reads a file', parameters: { type: 'object', properties: { path: { type: 'string' } } } }];
    await mounted.must(`cat > ${at}/context/tools.json`, { input: JSON.stringify(tools) });
    for (const budget of [700, 1500, 3000]) {
      await mounted.must(`echo ${budget} > ${at}/context/budget`);
      const record = await pack();
      const { tokens } = await mounted.until('long', isReady);
      expect(record.tokens).toBeLessThanOrEqual(budget);
      expect(record.prompt_tokens).toBeLessThanOrEqual(budget);
      // What was compiled has no start of an answer.
      expect(tokens).toBeLessThan(record.prompt_tokens);
      expect(tokens).toBeGreaterThan(record.prompt_tokens - 40);
      // It is another count than that of the usual tokenizer.
      expect(openCounter('o200k_base').count(await mounted.read('long'))).not.toBe(record.tokens);
    }
  });

  it('TOK-9: what counted is recorded: a rebuild and a restart give the same bytes, another model begins an epoch', async () => {
    const before = await mounted.read('long', 'pack.json');
    await mounted.must('ctx umount', { cwd: '/' });
    await mounted.must(`rm -r ${join(mounted.store, at.slice(mounted.root.length), 'context/.cache')} && ctx mount`, { cwd: '/' });
    expect(await mounted.read('long', 'pack.json')).toBe(before);
    // The same vocabulary with another template.
    const other = join(mounted.store, '..', 'other.gguf');
    const bytes = await readFile(mounted.model, 'latin1');
    expect(bytes).toContain('<tool_response>');
    await writeFile(other, bytes.replaceAll('<tool_response>', '<tool_resqonse>'), 'latin1');
    await mounted.must(`ctx model add ${other} --name other --threads 1 --default`);
    const record = await pack();
    expect(record.epoch.reason).toBe('engine/tokenizer changed');
    expect(record.tokenizer).not.toBe((JSON.parse(before) as Pack).tokenizer);
    // And the one before is named where it is needed again.
    await mounted.must('ctx model rm local/other');
    await mounted.must(`echo '{"role":"user","content":"once more"}' >> ${at}/messages.jsonl`);
    expect((await mounted.sh(`cat ${at}/context/pack.md`)).stderr).toContain('No such device');
  });

  if (HAS_LLAMA_SERVER)
    it('TOK-10: a llama-server counts where the policy allows one: the budget holds for what it receives', async () => {
      const server = await startLlamaServer(join(mounted.store, '..'), 8192, false);
      try {
        const added = await mounted.must(
          `ctx model add ${server.url} --driver llama-server --name served --default 2>&1 && ctx new coder/asks`,
        );
        // MOD-3
        expect(added).toMatch(/^ctx: found tiny\.gguf; 8192 tokens of context; its chat template works; it saves no compiled state \(/);
        await mounted.append('asks', 30);
        const there = `${mounted.sessions}/asks/context`;
        await mounted.must(`printf 'tokenizer: engine\\n' > ${there}/policy.yaml && echo 900 > ${there}/budget`);
        expect((await mounted.sh(`cat ${there}/pack.md`)).stderr).toContain('No such device');
        expect((await mounted.manifest('asks')).reason).toMatch(/^the pack cannot be counted: .*does not allow one/);
        await mounted.must(`printf 'tokenizer: engine\\nremote: {allow: true}\\n' > ${there}/policy.yaml`);
        const record = JSON.parse(await mounted.read('asks', 'pack.json')) as Pack;
        expect([record.tokens, record.prompt_tokens].every((tokens) => tokens > 300 && tokens <= 900)).toBe(true);
        const { tokens } = await mounted.until('asks', isReady);
        expect(tokens).toBeLessThan(record.prompt_tokens);
        expect(tokens).toBeGreaterThan(record.prompt_tokens - 40);
      } finally {
        await server.end();
      }
      // It is gone: what is new cannot be counted, and everybody is told why.
      await mounted.must(`echo '{"role":"user","content":"once more"}' >> ${mounted.sessions}/asks/messages.jsonl`);
      expect((await mounted.sh(`cat ${mounted.sessions}/asks/context/pack.md`)).stderr).toContain('No such device');
      const { reason } = await mounted.until('asks', (manifest) => manifest.reason?.includes('cannot be counted') === true);
      expect(reason).toContain('nothing listens there');
      await mounted.must('ctx model use local/tiny');
    });

  it('TOK-11: a server that hangs while it counts holds up one pack: other sessions are rebuilt, and the rest of this one is read', async () => {
    const open = new Set<ServerResponse>();
    const server = createServer((_, reply) => void open.add(reply.once('close', () => open.delete(reply))));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      await mounted.must(
        `ctx model add ${url} --driver llama-server --name hung --default --no-check && ctx new coder/hung && ctx new coder/other`,
      );
      const there = `${mounted.sessions}/hung`;
      await mounted.must(`printf 'tokenizer: engine\\nremote: {allow: true}\\n' > ${there}/context/policy.yaml`);
      await mounted.append('hung', 3);
      // On a busy machine the server may be given up before the rest is done: then once more.
      for (let rounds = 1, meanwhile = false; !meanwhile; rounds += 1) {
        const reader = { ended: false };
        const hung = mounted.sh(`cat ${there}/context/pack.json`).finally(() => (reader.ended = true));
        while (open.size === 0 && !reader.ended) await sleep(10);
        const held = [...open];
        await mounted.append('other', 1);
        expect(JSON.parse(await mounted.read('other', 'pack.json'))).toMatchObject({ messages: rounds });
        expect(await mounted.read('hung', 'summary.md')).toContain('foxes');
        meanwhile = !reader.ended && held.some((reply) => open.has(reply));
        server.closeAllConnections();
        expect((await hung).stderr).toContain('No such device');
      }
      const { reason } = await mounted.until('hung', (manifest) => manifest.reason?.includes('cannot be counted') === true);
      expect(reason).toContain('127.0.0.1');
    } finally {
      server.closeAllConnections();
      server.close();
      await mounted.must('ctx model rm 127.0.0.1/hung');
    }
  });

  it('TOK-9: when the model file is damaged the manifest says why there is no pack, not what was true before', async () => {
    await model();
    await mounted.read('long');
    await mounted.until('long', isReady);
    await truncate(mounted.model, 300_000);
    await mounted.must(`echo '{"role":"user","content":"and once more"}' >> ${at}/messages.jsonl`);
    expect((await mounted.sh(`cat ${at}/context/pack.md`)).code).not.toBe(0);
    const { state, reason } = await mounted.until('long', (manifest) => manifest.reason?.includes('cannot be counted') === true);
    expect([state, reason]).toEqual(['stale', expect.stringMatching(/^the pack cannot be counted: .*cut short/) as string]);
  });
});
