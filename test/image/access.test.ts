// Other users: images lie in a home, and a home is its owner's.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import type { Outcome } from '../cli/program.ts';

const OTHER = 65_534;
let mounted: MountedStore;

beforeAll(async () => {
  mounted = await mountStore('ctx-image-access');
});
afterAll(() => mounted.end());

const asOther = (line: string): Promise<Outcome> =>
  mounted.sh(`setpriv --reuid=${OTHER} --regid=${OTHER} --clear-groups bash -c '${line}'`, { env: { HOME: '/tmp' } });
/** One request on the control channel, as another user. */
const ask = async (request: object): Promise<{ readonly ok: boolean; readonly error?: { readonly errno: string } }> => {
  const line = JSON.stringify(request).replaceAll('"', '\\"');
  const { stdout, stderr } = await asOther(`exec 3<>.control; printf "%s\\n" "${line}" >&3; cat <&3`);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as never;
};

test("CHN-12 images of one user are nobody else's, and only who mounted the store may bring compiled state", async () => {
  await mounted.must(
    `ctx new coder/mine && echo '{"role":"user","content":"secret"}' >> ${mounted.agents}/coder/session/mine/messages.jsonl && ctx build coder/mine --tag mine:1`,
  );
  const [blob] = await fs.readdir(join(mounted.store, 'home/0/image/.store/blobs/sha256'));
  // Nothing of it is seen.
  expect((await asOther('ls home/0/image')).code).not.toBe(0);
  expect((await asOther(`cat home/0/image/.store/blobs/sha256/${blob}`)).code).not.toBe(0);
  expect(await ask({ verb: 'image.link', session: 'home/0/agent/coder/session/mine' })).toMatchObject({
    ok: false,
    error: { errno: 'EACCES' },
  });
  // A blob that only the other one's layout has is not here, whatever its digest.
  const theirs = {
    journal: 'messages.jsonl',
    sha256: blob,
    bytes: (await fs.stat(join(mounted.store, `home/0/image/.store/blobs/sha256/${blob}`))).size,
  };
  await mounted.must(`mkdir -p home/${OTHER}; true`);
  expect(await ask({ verb: 'image.start', session: `home/${OTHER}/agent/a/session/b`, blobs: [theirs], inputs: [] })).toMatchObject({
    ok: false,
    error: { errno: 'ENOENT' },
  });
  expect(await ask({ verb: 'image.start', session: 'home/0/agent/a/session/b', blobs: [], inputs: [] })).toMatchObject({
    ok: false,
    error: { errno: 'EACCES' },
  });
  expect(
    await ask({
      verb: 'image.adopt',
      session: 'home/0/agent/coder/session/mine',
      fingerprint: {},
      blobs: [
        { sha256: blob, bytes: 1 },
        { sha256: blob, bytes: 1 },
      ],
    }),
  ).toMatchObject({
    ok: false,
    error: { errno: 'EACCES' },
  });
  // Their own work as anybody's, and what is made belongs to them.
  const theirSession = `home/${OTHER}/agent/coder/session/theirs`;
  const begun = await ask({ verb: 'image.start', session: theirSession, blobs: [], inputs: [] });
  const { session: starting } = (begun as unknown as { readonly result: { readonly session: string } }).result;
  expect(starting).toContain(`home/${OTHER}/agent/.start/session/`);
  const elsewhere = { verb: 'image.ready', session: starting, as: 'home/0/agent/coder/session/theirs' };
  expect(await ask(elsewhere)).toMatchObject({ ok: false, error: { errno: 'EACCES' } });
  const named = { verb: 'image.ready', session: 'home/0/agent/coder/session/mine', as: theirSession };
  expect(await ask(named)).toMatchObject({ ok: false, error: { errno: 'EACCES' } });
  expect(await ask({ verb: 'image.ready', session: starting, as: theirSession })).toMatchObject({ ok: true });
  expect(await ask({ verb: 'image.ready', session: theirSession, as: `${theirSession}2` })).toMatchObject({
    ok: false,
    error: { code: 'control.not_starting' },
  });
  expect((await asOther(`echo "{\\"role\\":\\"user\\",\\"content\\":\\"x\\"}" >> ${theirSession}/messages.jsonl`)).code).toBe(0);
  for (const verb of ['seal', 'digest', 'image.link']) expect(await ask({ verb, session: theirSession }), verb).toMatchObject({ ok: true });
  const blobs = join(mounted.store, `home/${OTHER}/image/.store/blobs/sha256`);
  const names = await fs.readdir(blobs);
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) expect((await fs.stat(join(blobs, name))).uid).toBe(OTHER);
});

test('requests with paths, lies or too much in them are refused', async () => {
  const session = 'home/0/agent/a/session/never';
  const bad: readonly object[] = [
    { verb: 'image.start', session, blobs: [{ journal: 'messages.jsonl', sha256: '../../../../etc/passwd', bytes: 1 }], inputs: [] },
    { verb: 'image.start', session, blobs: [{ journal: 'segments.json', sha256: 'a'.repeat(64), bytes: 1 }], inputs: [] },
    { verb: 'image.start', session, blobs: [{ journal: 'messages.jsonl', sha256: 'a'.repeat(64), bytes: -1 }], inputs: [] },
    { verb: 'image.start', session: 'home/0/agent/../../x', blobs: [], inputs: [] },
    { verb: 'image.start', session, blobs: 'all', inputs: [] },
    { verb: 'image.link', session: 'home/0' },
  ];
  for (const request of bad) expect(await ask(request), JSON.stringify(request)).toMatchObject({ ok: false, error: { errno: 'EINVAL' } });
  expect((await mounted.sh(`ls ${mounted.agents}/a/session`)).stdout).not.toContain('never');
});

test("IMG-99 an image of another user is had only through a shared space that lets one in, as one of one's own", async () => {
  await mounted.must('mkdir shared/team && ctx push mine:1 shared/team/image/team/notes:1');
  const from = 'shared/team/image/team/notes';
  // Whoever may pass the space sees and takes it; only who may write there publishes.
  expect((await asOther(`cat ${from}/1/source/transcript.jsonl`)).stdout).toContain('secret');
  const pulled = await asOther(
    `ctx pull ${from}:1 --as had:1 && ctx run had:1 --name theirs/one --detach && cat home/${OTHER}/agent/theirs/session/one/messages.jsonl`,
  );
  expect([pulled.code, pulled.stdout]).toEqual([0, expect.stringMatching(/^had:1@sha256:[0-9a-f]{64}\ntheirs\/one\n.*secret/)]);
  const published = await asOther('ctx push had:1 shared/team/image/other:1');
  expect([published.code, published.stderr]).toEqual([1, expect.stringMatching(/shared\/team\/image .*(?:may not be used|not permitted)/)]);
  // The grant is taken back; what was had stays theirs.
  await mounted.must('chmod 700 shared/team');
  const closed = await asOther(`ctx pull ${from}:1 --as again:1`);
  expect([closed.code, closed.stderr]).toEqual([1, expect.stringContaining('shared/team/image')]);
  expect((await asOther(`cat ${from}/1/manifest.json`)).code).not.toBe(0);
  expect((await asOther(`cat home/${OTHER}/agent/theirs/session/one/messages.jsonl`)).stdout).toContain('secret');
  expect((await mounted.ctx(['pull', 'shared/none/image/a:1'])).stderr).toContain('shared/none/image');
});
