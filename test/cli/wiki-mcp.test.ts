// ctx wiki mcp as an agent meets it: a process of its own, spoken to by the SDK's own client.
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ctx, LIMIT_MS, ROOT } from './program.ts';

let home: string;
let root: string;
let client: Client;
const env = (): Record<string, string> => ({ HOME: home, PATH: process.env['PATH'] ?? '', CTX_TODAY: '2026-04-20', USER: 'dana' });

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'ctx-mcp-'));
  root = join(home, 'notes');
  const { code, stderr } = await ctx(['wiki', 'init', root, '--no-git'], { env: env() });
  if (code !== 0) throw new Error(stderr);
  writeFileSync(join(root, 'gateway.md'), '---\ntype: project\n---\n\n# Gateway\n\nIt listens on port 8443. See [[Nowhere]].\n');
  client = new Client({ name: 'test', version: '1' });
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [join(ROOT, 'bin/ctx'), 'wiki', 'mcp', root],
    env: env(),
    cwd: home,
  });
  await client.connect(transport, { timeout: LIMIT_MS });
});
afterAll(async () => {
  await client.close();
  rmSync(home, { recursive: true, force: true });
});

async function call(name: string, args: Record<string, unknown>): Promise<{ readonly text: string; readonly isError: boolean }> {
  const { content, isError } = await client.callTool({ name, arguments: args }, undefined, { timeout: LIMIT_MS });
  return { text: (content as readonly { text: string }[]).map(({ text }) => text).join(''), isError: isError === true };
}

describe('WIK-61 an MCP server over stdio', { timeout: LIMIT_MS }, () => {
  it('WIK-61 it offers query, read, ingest and lint, and the pages as resources', async () => {
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['query', 'read', 'ingest', 'lint']);
    const { resources } = await client.listResources();
    expect(resources.map(({ uri }) => uri)).toContain('wiki:///gateway.md');
    const { contents } = await client.readResource({ uri: 'wiki:///gateway.md' });
    expect(contents[0]).toMatchObject({ text: expect.stringContaining('8443') });
  });

  it('WIK-61 a query gives rules, index and the page, within its budget, as the files are now', async () => {
    const { text } = await call('query', { question: 'which port does the gateway listen on' });
    expect(text).toMatch(/^<page path="AGENTS\.md" .*reason="the rules of this wiki">/);
    expect(text).toContain('<page path="gateway.md"');
    writeFileSync(join(root, 'gateway.md'), '# Gateway\n\nIt listens on port 9999. See [[Nowhere]].\n');
    const again = (await call('query', { question: 'which port does the gateway listen on', budget_tokens: 600 })).text;
    expect(again).toContain('9999');
    expect(again).not.toContain('8443');
    expect((await call('query', { question: 'port', budget_tokens: 1_000_000 })).isError).toBe(true);
  });

  it('WIK-61 no path leaves the wiki, and a failure says what is wrong', async () => {
    writeFileSync(join(home, 'secret.md'), 'a secret\n');
    symlinkSync(join(home, 'secret.md'), join(root, 'link.md'));
    for (const path of ['../secret.md', join(home, 'secret.md'), 'link.md', '.wiki/config.yaml', 'no-such.md', 'a/../../secret.md']) {
      const { text, isError } = await call('read', { path });
      expect([path, isError, text]).toEqual([path, true, expect.stringMatching(/^wiki\.page: .* is no file of this wiki/)]);
    }
    await expect(client.readResource({ uri: 'wiki:///..%2Fsecret.md' })).rejects.toThrow('is no file of this wiki');
    expect((await call('read', { path: 'gateway.md' })).text).toContain('9999');
  });

  it('WIK-61 a long page comes in pieces that give all of it', async () => {
    const long = Array.from({ length: 4000 }, (_, n) => `Line ${n} of a page that is read in pieces.`).join('\n');
    writeFileSync(join(root, 'long.md'), long);
    const pieces: string[] = [];
    for (let from: number | undefined = 1; from !== undefined;) {
      const { text } = await call('read', { path: 'long.md', from_line: from });
      expect(text.length).toBeLessThan(70_000);
      const next = /\n\[\d+ more lines; next: from_line (\d+)\]\n$/.exec(text);
      pieces.push(next === null ? text : text.slice(0, next.index));
      from = next === null ? undefined : Number(next[1]);
    }
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join('\n')).toBe(long);
    rmSync(join(root, 'long.md'));
  });

  it('WIK-61 ingest files the text with its origin, and only proposes', async () => {
    const before = readFileSync(join(root, 'gateway.md'), 'utf8');
    const { text } = await call('ingest', {
      text: 'The gateway moved: its port is 7000.\n',
      name: '../../escape.md',
      origin: 'a call with Ada',
    });
    expect(text).toMatch(/^filed sources\/2026-04-20-escape\.md\nproposal [0-9a-f]{8} waits for review: .*gateway\.md/);
    expect(readFileSync(join(root, 'gateway.md'), 'utf8')).toBe(before);
    expect(readFileSync(join(root, 'sources/provenance.jsonl'), 'utf8')).toContain('a call with Ada');
    expect(readdirSync(home).toSorted()).toEqual(['notes', 'secret.md']);
  });

  it('WIK-61 lint names what is open, bounded', async () => {
    expect((await call('lint', { rule: 'broken-link' })).text).toMatch(/^error broken-link gateway\.md:3 .*Nowhere/);
    expect((await call('lint', { limit: 1 })).text).toMatch(/\n\d+ more\n$/);
  });
});
