// Memory on a real mount: the daemon is root, the wiki is somebody's.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Outcome } from '../cli/program.ts';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { canMount } from './can-mount.ts';

const EVE = 2811;
const MINE = `home/${EVE}/agent/coder/session/mine`;

interface Pack {
  readonly items: readonly { kind: string; source: string; reason?: string }[];
  readonly left_out: readonly { source: string; reason: string }[];
}

describe.skipIf(!canMount)('memory on a mount', () => {
  let mounted: MountedStore;
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
  afterAll(() => mounted.end());

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

  it('WIK-60 a query finds the wikis of a session', async () => {
    const found = JSON.parse(await mounted.must(`ctx wiki query -s ${MINE} --json port gateway`)) as readonly {
      root: string;
      items: { path: string }[];
    }[];
    expect(found.map(({ root }) => root)).toEqual([`home/${EVE}/wiki`, 'shared/acme/wiki'].map((path) => `${mounted.root}/${path}`));
    expect(found[0]?.items.map(({ path }) => path)).toContain('gateway.md');
  });
});
