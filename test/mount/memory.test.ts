// Wikis and sessions on a real mount: the daemon is root, the wiki is somebody's.
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { LIMIT_MS, ROOT, type Outcome } from '../cli/program.ts';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { chunk, json as reply, startFailingServer, stream, type FailingServer } from '../engine/failing-server.ts';
import { canMount } from './can-mount.ts';

const EVE = 2811;
const MINE = `home/${EVE}/agent/coder/session/mine`;

interface Pack {
  readonly items: readonly { kind: string; source: string; reason?: string }[];
  readonly left_out: readonly { source: string; reason: string }[];
}

describe.skipIf(!canMount)('memory on a mount', () => {
  let mounted: MountedStore;
  let server: FailingServer;
  const as = async (uid: number, line: string): Promise<string> => {
    const command = `exec setpriv --reuid=${uid} --regid=${uid} --clear-groups bash -o pipefail -c "$LINE"`;
    const { code, stdout, stderr }: Outcome = await mounted.sh(command, { env: { LINE: line } });
    if (code !== 0) throw new Error(`${line}\nended with ${code}: ${stderr}${stdout}`);
    return stdout;
  };
  const packOf = async (): Promise<Pack> => JSON.parse(await as(EVE, `cat ${MINE}/context/pack.json`)) as Pack;

  beforeAll(async () => {
    mounted = await mountStore('memory');
    await as(EVE, `mkdir -p ${MINE} home/${EVE}/wiki && cd home/${EVE}/wiki && echo '# Notes' > INDEX.md && echo '# Rules' > AGENTS.md`);
    await as(EVE, `printf '# Gateway\\n\\nThe gateway listens on port 8443.\\n' > home/${EVE}/wiki/gateway.md`);
    // Root's own, among her pages: she may name it, and may not read it.
    await mounted.must(`install -m 600 /dev/null home/${EVE}/wiki/port.md && echo '# The port of a secret' > home/${EVE}/wiki/port.md`);
    await mounted.must(`mkdir -p shared/acme/wiki && echo '# The port of acme' > shared/acme/wiki/INDEX.md && chmod 700 shared/acme/wiki`);
  });
  afterAll(async () => {
    await server?.end();
    await mounted.end();
  });

  it("MEM-2 pages are read with the rights of the session's owner, whoever the daemon is", async () => {
    await as(EVE, `printf 'memory: [{path: wiki}, {path: shared/acme/wiki}]\\n' > ${MINE}/context/policy.yaml`);
    await as(EVE, `echo '{"role":"user","content":"Which port does the gateway listen on?"}' >> ${MINE}/messages.jsonl`);
    const pack = await packOf();
    const memory = pack.items.filter(({ kind }) => kind === 'memory').map(({ source }) => source);
    expect(memory.slice(0, 3)).toEqual([`home/${EVE}/wiki/AGENTS.md`, `home/${EVE}/wiki/INDEX.md`, `home/${EVE}/wiki/gateway.md`]);
    expect(pack.left_out).toEqual(
      expect.arrayContaining([
        { source: `home/${EVE}/wiki/port.md`, reason: expect.stringContaining('EACCES') },
        { source: 'shared/acme/wiki', reason: expect.stringMatching(/may not read|EACCES/) },
      ]),
    );
    const prompt = await as(EVE, `cat ${MINE}/context/prompt.json ${MINE}/context/pack.md`);
    expect(prompt).toContain('8443');
    expect(prompt).not.toContain('secret');
    expect(prompt).not.toContain('The port of acme');
    expect(await mounted.must(`ctx explain ${MINE} pack.json`)).toMatch(/gateway\.md: has .*port/);
  });

  it('WIK-63 a session, some of its messages and the last of them are filed as they are, with where they come from', async () => {
    const wiki = `home/${EVE}/wiki`;
    const lines = ['Which port?', 'It moved to port 9000.', 'Thanks.'].map((content) => JSON.stringify({ role: 'user', content }));
    await mounted.must(`ctx new coder/talk && printf '%s\\n' '${lines.join("' '")}' >> home/0/agent/coder/session/talk/messages.jsonl`);
    const text = (range: readonly string[]): string => `${range.join('\n')}\n`;
    const cases = [
      ['coder/talk', text(lines), ''],
      ['coder/talk:2-3', text(lines.slice(1)), ':2-3'],
      ['home/0/agent/coder/session/talk:messages:1', text(lines.slice(0, 1)), ':1-1'],
      ['coder/talk:tail:1', text(lines.slice(2)), ':3-3'],
    ] as const;
    const filed = JSON.parse(await mounted.must(`ctx wiki ingest -d ${wiki} --json ${cases.map(([what]) => what).join(' ')}`)) as {
      source: string;
      origin: string;
    }[];
    for (const [at, [what, expected, named]] of cases.entries()) {
      expect([what, filed[at]?.origin]).toEqual([what, `session:home/0/agent/coder/session/talk/messages.jsonl${named}`]);
      expect(await mounted.must(`cat ${wiki}/${filed[at]?.source}`)).toBe(expected);
    }
    expect((await mounted.sh(`ctx wiki ingest -d ${wiki} coder/talk:8-9`)).stderr).toMatch(/^ctx: wiki\.range: .* it has 3 messages/);
    expect(await mounted.must(`cat ${wiki}/sources/provenance.jsonl`)).toContain('talk/messages.jsonl:2-3');
  });

  it('WIK-62 a model drafts a proposal from a session whose policy allows it, and writes no page', async () => {
    const wiki = `home/${EVE}/wiki`;
    const value = {
      why: 'The proxy took the old port.',
      changes: [
        {
          page: 'gateway.md',
          under: '',
          replaces: 'The gateway listens on port 8443.',
          text: 'The gateway listens on port 9000.',
          quote: 'The gateway moved to port 9000',
        },
        { page: 'gateway.md', under: '', replaces: '', text: 'It is written in Ada.', quote: 'it is written in Ada' },
      ],
    };
    server = await startFailingServer((request, response, body) =>
      (request.method === 'GET' ? reply(200, { data: [{ id: 'm' }] }) : stream([chunk({ content: JSON.stringify(value) }, 'stop')], 'end'))(
        request,
        response,
        body,
      ),
    );
    await mounted.must(`ctx model add ${server.url} --name scribe --model m && ctx new coder/moved`);
    await mounted.must(
      `echo '{"role":"user","content":"The gateway moved to port 9000, for the gateway and its port."}' >> home/0/agent/coder/session/moved/messages.jsonl`,
    );
    const refused = await mounted.sh(`ctx wiki ingest -d ${wiki} --draft coder/moved`);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/^ctx: wiki\.remote: /m)]);
    expect(server.seen.filter(({ line }) => line.startsWith('POST'))).toEqual([]);
    await mounted.must(`printf 'remote: {allow: true}\\n' > home/0/agent/coder/session/moved/context/policy.yaml`);
    const before = await mounted.must(`cat ${wiki}/gateway.md`);
    const { code, stdout, stderr } = await mounted.sh(`ctx wiki ingest -d ${wiki} --draft coder/moved`);
    expect([code, stderr]).toEqual([0, expect.stringContaining('dropped: gateway.md: It is written in Ada.: the material does not say')]);
    expect(await mounted.must(`cat ${wiki}/gateway.md`)).toBe(before);
    const id = /proposal ([0-9a-f]{8}): gateway\.md/.exec(stdout)?.[1] ?? '';
    const review = await mounted.sh(`ctx wiki review -d ${wiki} ${id}`);
    expect(review.stdout).toContain('+The gateway listens on port 9000. ([source](sources/');
    expect(review.stderr).toContain('suggested: --judgment "The proxy took the old port."');
    await mounted.must(`ctx wiki review -d ${wiki} ${id} --accept --judgment 'the proxy took it'`);
    expect(await mounted.must(`cat ${wiki}/gateway.md`)).toContain('port 9000');
  });

  it('WIK-61 what an agent ingests is drafted by the model that the server was started with, and waits for review', async () => {
    const wiki = join(mounted.root, `home/${EVE}/wiki`);
    await mounted.must(`printf '# Gateway\\n\\nThe gateway listens on port 8443.\\n' > ${wiki}/gateway.md`);
    const client = new Client({ name: 'test', version: '1' });
    await client.connect(
      new StdioClientTransport({
        command: process.execPath,
        args: [join(ROOT, 'bin/ctx'), 'wiki', 'mcp', wiki, '--draft'],
        env: { ...mounted.env, CTX_ROOT: mounted.root },
        cwd: '/',
      }),
      { timeout: LIMIT_MS },
    );
    try {
      const text = 'The gateway moved to port 9000, says the gateway team about its port.';
      const said = await client.callTool({ name: 'ingest', arguments: { text, name: 'note.md', origin: 'a talk' } }, undefined, {
        timeout: LIMIT_MS,
      });
      const [answer] = said.content as readonly { text: string }[];
      expect(answer?.text).toContain('dropped: gateway.md: It is written in Ada.');
      const [, id, listed] = /drafted: proposal (\w+) takes the place of (\w+): gateway\.md/.exec(answer?.text ?? '') ?? [];
      expect(await mounted.must(`ctx wiki review -d ${wiki} ${id}`)).toContain('+The gateway listens on port 9000.');
      expect((await mounted.sh(`ctx wiki review -d ${wiki} ${listed}`)).stderr).toContain('wiki.proposal');
      expect(await mounted.must(`cat ${wiki}/gateway.md`)).toContain('8443');
    } finally {
      await client.close();
    }
  });

  it('WIK-60 a query finds the wikis of a session', async () => {
    const found = JSON.parse(await mounted.must(`ctx wiki query -s ${MINE} --json port gateway`)) as readonly {
      root: string;
      items: { path: string }[];
    }[];
    expect(found.map(({ root }) => root)).toEqual([`home/${EVE}/wiki`, 'shared/acme/wiki'].map((path) => `${mounted.root}/${path}`));
    expect(found[0]?.items.map(({ path }) => path)).toContain('gateway.md');
  });
});
