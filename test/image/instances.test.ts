// What an instance has of its image besides the history: documents, variables, memory as it is now, and whether it may be started at all.
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT } from '../cli/program.ts';

const FIXTURES = `${ROOT}test/fixtures/image`;
const uid = process.getuid?.() ?? 0;
let mounted: MountedStore;
let sources: string;

beforeAll(async () => {
  mounted = await mountStore('ctx-instances');
  sources = await mkdtemp(join(tmpdir(), 'ctx-instances-sources-'));
  await mounted.must(`ctx build ${FIXTURES}/base-engineering && ctx build ${FIXTURES}/customer-review`);
});
afterAll(() => mounted.end());

const session = (reference: string): string => `home/${uid}/agent/${reference.replace('/', '/session/')}`;
/** A directory with a context.yaml and a message, built. */
async function build(name: string, yaml: string, files: Readonly<Record<string, string>> = {}): Promise<void> {
  const directory = join(sources, name);
  await mkdir(directory);
  const all = {
    'context.yaml': `name: ${name}\nsource: {transcript: t.jsonl}\n${yaml}`,
    't.jsonl': '{"role":"user","content":"hello"}\n',
    ...files,
  };
  for (const [path, text] of Object.entries(all)) await writeFile(join(directory, path), text);
  await mounted.must(`ctx build ${directory}`);
}

test('IMG-94 a retrieval binding is a read-only directory of the instance, and its documents are searched', async () => {
  await mounted.must('ctx run quilt/customer-review:2026.05.22 --name review/one --detach');
  const one = session('review/one');
  expect(
    await mounted.must(
      `ls ${one}/retrieval; cmp ${one}/retrieval/docs-index/limits.md ${FIXTURES}/customer-review/documents/limits.md && echo same`,
    ),
  ).toBe('docs-index\nsame\n');
  const changes = ['touch new', 'rm limits.md', 'echo x >> limits.md', 'mkdir new', 'mv limits.md m', 'chmod 600 limits.md', 'ln -s a b'];
  const { stderr } = await mounted.sh(`cd ${one}/retrieval/docs-index; ${changes.join('; ')}`);
  expect(stderr.match(/Read-only file system/g)).toHaveLength(changes.length);
  const [hit] = JSON.parse(
    await mounted.must('ctx search review/one --in retrieval/docs-index "what limits are there" --json'),
  ) as readonly Record<string, unknown>[];
  expect(hit).toMatchObject({ path: 'retrieval/docs-index/limits.md', start_line: 1 });
  // It is the image's: what a commit, a fork of the session and the loss of the name leave as it is.
  await mounted.must(
    `ctx fork review/one review/two && ctx commit review/one review/next:1 && ctx rm quilt/customer-review:2026.05.22 --yes && ctx gc`,
  );
  for (const each of ['review/one', 'review/two'])
    expect(await mounted.must(`ls ${session(each)}/retrieval/docs-index`)).toBe('limits.md\n');
  await mounted.must(`ctx build ${FIXTURES}/customer-review`);
});

test('IMG-94 documents that lie on the mount are shown as they are now, and what is not there is said', async () => {
  await mounted.must(
    `mkdir -p shared/library/docs/deep && printf 'Backups run at three in the night.\\n' > shared/library/docs/deep/backups.txt`,
  );
  const retrieval = `mounts:\n  retrieval:\n    - {name: library, path: shared/library/docs}\n    - {name: lost, path: shared/nowhere/docs}\n    - {name: sessions, path: shared/library/agent/x}\n`;
  await build('reader', retrieval);
  const { stderr, stdout } = await mounted.ctx(['run', 'reader', '--name', 'reader/one', '--detach']);
  expect([stdout, stderr]).toEqual(['reader/one\n', expect.stringContaining('retrieval lost: shared/nowhere/docs is not here')]);
  expect(
    await mounted.must(
      `ls ${session('reader/one')}/retrieval; ctx search ./${session('reader/one')}/retrieval/library when do backups run`,
    ),
  ).toContain('library\nretrieval/library/deep/backups.txt:1-1 Backups run at three');
  expect((await mounted.sh(`rm ${session('reader/one')}/retrieval/library/deep/backups.txt`)).stderr).toContain('Read-only file system');
});

test('IMG-95 an image that wants what is not here is neither run, resumed nor forked', async () => {
  await build('graph', 'runtime: {memory_api: graph-v9}\n');
  for (const verb of [
    ['run', 'graph', '--detach'],
    ['resume', 'graph'],
    ['fork', 'graph', 'graph-alt'],
  ]) {
    const { code, stderr } = await mounted.ctx(verb);
    expect([verb[0], code, stderr]).toEqual([verb[0], 1, expect.stringContaining('memory_api wants graph-v9, here is wiki-v1')]);
  }
  expect(await mounted.must(`ls home/${uid}/agent`)).not.toContain('graph');
});

test('IMG-96 the variables of an image are a file of its instance that a shell reads', async () => {
  await mounted.must('ctx run quilt/customer-review:2026.05.22 --name review/env --detach');
  const at = session('review/env');
  expect(
    await mounted.must(
      `ls ${at} | grep environment; cat ${at}/environment; set -a; . ${at}/environment; printenv QUILT_REGION QUILT_RETRIES`,
    ),
  ).toBe("environment\nQUILT_REGION='eu-west'\nQUILT_RETRIES='3'\nQUILT_VERBOSE='true'\neu-west\n3\n");
  expect((await mounted.sh(`echo X=1 >> ${at}/environment`)).code).not.toBe(0);
  expect((await mounted.sh(`cat ${session('reader/one')}/environment`)).stderr).toContain('No such file');
});

test('IMG-97 a bad memory is found by the image that brought it, and rolled back for every instance at once', async () => {
  const wiki = `home/${uid}/wiki`;
  const commit = (what: string): string => `git -C ${wiki} -c user.name=t -c user.email=t@t commit -qam '${what}'`;
  await mounted.must(
    `ctx wiki init ${wiki} && printf -- '---\\ntitle: Gateway port\\n---\\n# Gateway port\\n\\nThe gateway listens on port 8443.\\n' > ${wiki}/gateway-port.md && git -C ${wiki} add . && ${commit('good')}`,
  );
  await mounted.must(
    `ctx new ops/one && printf 'memory: [{name: notes, path: wiki, mode: read-only}]\\n' > ${session('ops/one')}/context/policy.yaml && echo '{"role":"user","content":"hello"}' >> ${session('ops/one')}/messages.jsonl && ctx build ops/one --tag ops:good`,
  );
  const good = (await mounted.must(`git -C ${wiki} rev-parse HEAD`)).trim();
  await mounted.must(`sed -i s/8443/9999/ ${wiki}/gateway-port.md && ${commit('bad')} && ctx build ops/one --tag ops:bad`);
  const bad = (await mounted.must(`git -C ${wiki} rev-parse HEAD`)).trim();
  // Which memory an image was made with is in it, so the one that brought the change is found by comparing two.
  for (const [tag, head] of [
    ['good', good],
    ['bad', bad],
  ] as const)
    expect(await mounted.must(`ctx inspect ops:${tag}`)).toContain(`notes (read-only, user, commit ${head.slice(0, 12)})`);
  expect((await mounted.ctx(['diff', 'ops:good', 'ops:bad', '--memory', '--json'])).stdout).toContain(bad);
  // An instance has the memory as it is now: who starts the older image is told that it is not what it was made with.
  const before = await mounted.ctx(['run', 'ops:good', '--name', 'ops/before', '--detach']);
  expect(before.stderr).toContain(
    `memory notes: has moved on: 1 pages changed, 0 added, 0 removed; it was commit ${good.slice(0, 12)}, and is ${bad.slice(0, 12)}`,
  );
  expect(await mounted.must(`cat ${session('ops/before')}/memory/notes/gateway-port.md`)).toContain('9999');
  // Rolled back in the volume, with its history, it is what the older image was made with: for the instances that run, too.
  await mounted.must(`git -C ${wiki} -c user.name=t -c user.email=t@t revert --no-edit HEAD`);
  expect(await mounted.must(`cat ${session('ops/before')}/memory/notes/gateway-port.md`)).toContain('8443');
  expect((await mounted.ctx(['rebuild', 'ops:good', '--check'])).code).toBe(0);
  const after = await mounted.ctx(['run', 'ops:good', '--name', 'ops/after', '--detach']);
  expect([after.code, after.stderr]).toEqual([0, '']);
  expect((await mounted.ctx(['rebuild', 'ops:bad', '--check'])).stdout).toContain('memory notes: has moved on');
  await mounted.must(`echo '{"role":"user","content":"Which port does the gateway listen on?"}' >> ${session('ops/after')}/messages.jsonl`);
  const prompt = await mounted.must(`cat ${session('ops/after')}/context/prompt.json`);
  expect([prompt.includes('8443'), prompt.includes('9999')]).toEqual([true, false]);
});
