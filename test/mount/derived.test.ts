// Laws of derived files on a real mount (design sections 4 and 5).
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT } from '../cli/program.ts';

const CLIENTS = join(ROOT, 'test/mount/clients');
let mounted: MountedStore;

beforeAll(async () => {
  mounted = await mountStore('derived');
});
afterAll(() => mounted.end());

async function session(name: string, messages = 0): Promise<string> {
  const path = `${mounted.agents}/coder/session/${name}`;
  await mounted.must(`mkdir -p ${mounted.agents}/coder && mkdir ${path}`);
  if (messages > 0) {
    await mounted.must(
      `for n in $(seq ${messages}); do echo "{\\"role\\":\\"user\\",\\"content\\":\\"request $n: we decided to use port $n. TODO: check port $n\\"}"; echo "{\\"role\\":\\"assistant\\",\\"content\\":\\"answer $n\\"}"; done >> ${path}/messages.jsonl`,
    );
  }
  return path;
}

const inStore = (name: string): string => join(mounted.store, `home/${process.getuid?.() ?? 0}/agent/coder/session/${name}`);
const DIGESTS = 'find . -type f ! -path "./pinned/*" | sort | xargs sha256sum';

describe('versions', () => {
  it('DRV: fstat of an open derived file equals the bytes read, under concurrent appends; a reader sees exactly one version', async () => {
    const at = await session('versions', 3);
    const { versions, looks } = JSON.parse(await mounted.must(`python3 ${CLIENTS}/versions.py ${at} 8 60`)) as {
      versions: number;
      looks: number;
    };
    expect(versions).toBeGreaterThanOrEqual(8);
    expect(looks).toBeGreaterThanOrEqual(60);
  });

  it('DRV: a path stat tells the size of the version that an open gives; an open file keeps its version', async () => {
    const at = await session('pinned-version', 2);
    const line = `cd ${at}; stat -c %s context/pack.md; wc -c < context/pack.md; exec 3< context/pack.md; echo '{"role":"user","content":"more"}' >> messages.jsonl; wc -c <&3; stat -c %s context/pack.md; cat context/pack.md | wc -c`;
    const [size, read, kept, newer, newerRead] = (await mounted.must(line)).trim().split('\n').map(Number);
    expect([read, kept, newerRead]).toEqual([size, size, newer]);
    expect(newer).toBeGreaterThan(size ?? 0);
  });

  it('DRV: unchanged content stays the same file: same inode, same time', async () => {
    const at = await session('same', 2);
    const line = `cd ${at}/context; stat -c '%i %Y %s' decisions.jsonl; echo '{"role":"assistant","content":"hm"}' >> ../messages.jsonl; stat -c '%i %Y %s' decisions.jsonl`;
    const [before, after] = (await mounted.must(line)).trim().split('\n');
    expect(after).toBe(before);
  });
});

describe('nothing derived is truth', () => {
  it('DRV: deleting every derived file through the mount changes no byte', async () => {
    const at = await session('unlinked', 120);
    await mounted.must(`cd ${at} && echo 2000 > context/budget && echo '{"decision":"use NATS"}' >> context/decisions.jsonl`);
    const before = await mounted.must(`cd ${at}/context && ${DIGESTS}`);
    await mounted.must(
      `cd ${at}/context && rm -f pack.json pack.md prompt.json summary.md facts.jsonl decisions.jsonl todo.md refs.jsonl && rm -rf swap dedup; true`,
    );
    expect(await mounted.must(`cd ${at}/context && ${DIGESTS}`)).toBe(before);
  });

  it('DRV: deleting the whole cache in the store, and restarting, changes no byte', async () => {
    const at = await session('cold', 150);
    await mounted.must(
      `cd ${at} && echo 2000 > context/budget && echo 'Be brief.' > context/pinned/system.md && for n in $(seq 30); do echo "{\\"role\\":\\"user\\",\\"content\\":\\"which port did request $n use?\\"}" >> messages.jsonl; cat context/pack.json > /dev/null; done`,
    );
    const before = await mounted.must(`cd ${at}/context && ${DIGESTS}`);
    expect((await mounted.ctx(['umount'])).code).toBe(0);
    for (const name of await readdir(join(inStore('cold'), 'context'))) {
      if (!['budget', 'gc.policy', 'policy.yaml', 'tools.json', 'pinned', 'child'].includes(name))
        await rm(join(inStore('cold'), 'context', name), { recursive: true });
    }
    expect((await mounted.ctx(['mount'])).code).toBe(0);
    expect(await mounted.must(`cd ${at}/context && ${DIGESTS}`)).toBe(before);
  });
});

describe('what makes a file stale', () => {
  it('DRV: an edit of a pinned file, through the mount or in the backing directory, is in the next pack', async () => {
    const at = await session('edited', 1);
    await mounted.must(`echo one > ${at}/context/pinned/a.md`);
    expect(await mounted.must(`cat ${at}/context/pack.md`)).toContain('\none\n');
    await mounted.must(`echo two > ${at}/context/pinned/a.md`);
    expect(await mounted.must(`cat ${at}/context/pack.md`)).toContain('\ntwo\n');
    // The watcher tells of it when it can; until then a pack is of what is known.
    await mounted.must(
      `echo three > ${inStore('edited')}/context/pinned/a.md; until grep -qx three ${at}/context/pack.md; do sleep 0.05; done`,
    );
    await mounted.must(`rm ${at}/context/pinned/a.md`);
    expect(await mounted.must(`cat ${at}/context/pack.md`)).not.toContain('pinned/a.md');
  });

  it('DRV: contributions: appended lines, a whole file, and a rename over the name (as editors do)', async () => {
    const at = await session('contributed', 1);
    await mounted.must(
      `cd ${at}/context && echo '{"decision":"use NATS"}' >> decisions.jsonl && printf '%s\\n' '- [ ] ship it' > todo.md && printf 'The summary.\\n' > .summary.tmp && mv .summary.tmp summary.md`,
    );
    expect(await mounted.must(`cat ${at}/context/decisions.jsonl`)).toContain('use NATS');
    expect(await mounted.must(`cat ${at}/context/todo.md`)).toContain('ship it');
    expect(await mounted.must(`cat ${at}/context/summary.md`)).toContain('The summary.');
    const types = (await mounted.must(`jq -r .type ${at}/events.jsonl`)).trim().split('\n');
    expect(types).toEqual(['context.decision', 'context.todo', 'context.summary']);
    const refused = await mounted.sh(`cd ${at}/context && echo nonsense >> decisions.jsonl`);
    expect(refused.stderr).toMatch(/Invalid argument/);
    expect((await mounted.sh(`cd ${at}/context && echo x > pack.json`)).stderr).toMatch(/not permitted/);
    expect((await mounted.must(`jq -r .type ${at}/events.jsonl`)).trim().split('\n')).toEqual(types);
  });

  it('DRV: vim edits a control file and todo.md in place', async () => {
    const at = await session('vim', 1);
    await mounted.must(
      `cd ${at}/context && vim -es -u NONE -c '%s/.*/9000/' -c wq budget < /dev/null && vim -es -u NONE -c 'normal ggO- [ ] from vim' -c wq todo.md < /dev/null`,
      { env: { TERM: 'dumb' } },
    );
    expect(await mounted.must(`cat ${at}/context/budget`)).toBe('9000\n');
    expect(await mounted.must(`cat ${at}/context/todo.md`)).toContain('from vim');
  });
});

describe('latest.md', () => {
  it('DRV: is the newest assistant text, also behind lines of many megabytes', async () => {
    const at = await session('latest');
    const program = `
import json
with open("messages.jsonl", "ab", buffering=0) as file:
  for message in [{"role": "assistant", "content": "the answer"}] + [{"role": "tool", "content": "x" * 5000000}] * 3:
    data = memoryview((json.dumps(message) + "\\n").encode())
    while data:
      data = data[file.write(data):]`;
    await mounted.must(`cd ${at} && cat latest.md && python3 - <<'END'\n${program}\nEND`);
    expect(await mounted.must(`cat ${at}/latest.md`)).toBe('the answer\n');
    await mounted.must(`echo '{"role":"assistant","content":"a newer one"}' >> ${at}/messages.jsonl`);
    expect(await mounted.must(`cat ${at}/latest.md`)).toBe('a newer one\n');
  });
});

describe('reading is safe', () => {
  it('DRV: grep -r, find, tar and cp -a over the whole mount change no history and create nothing', async () => {
    await session('safe', 5);
    const state = async (): Promise<string> =>
      mounted.must(
        `cd ${mounted.store} && find . \\( -name messages.jsonl -o -name events.jsonl -o -path '*/pinned/*' \\) -type f | sort | xargs sha256sum; find . -path '*/session/*' -prune -name '*' | sort`,
      );
    const before = await state();
    await mounted.must(
      `grep -r decided . > /dev/null; find . -type f -size +0 > /dev/null; tar cf /dev/null home 2> /dev/null; d=$(mktemp -d) && cp -a home/$(id -u)/agent/coder/session/safe $d/ && diff -r home/$(id -u)/agent/coder/session/safe $d/safe && rm -rf $d`,
    );
    expect(await state()).toBe(before);
  });
});
