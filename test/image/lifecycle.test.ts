// Images on a real mount: sessions become images, images become sessions, and nothing of a history is copied on the way.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ImageConfig } from '../../src/image/config.ts';
import { ROOT } from '../cli/program.ts';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';

let mounted: MountedStore;

beforeAll(async () => {
  mounted = await mountStore('ctx-images');
});
afterAll(() => mounted.end());

interface Reported {
  readonly image: string;
  readonly digest: string;
  readonly parent: string | null;
  readonly layers: number;
  readonly messages: number;
}

async function json<T>(...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await mounted.ctx([...args, '--json']);
  if (code !== 0) throw new Error(`ctx ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

const uid = process.getuid?.() ?? 0;
const manifestOf = async (name: string, tag: string): Promise<ImageConfig> =>
  JSON.parse(await mounted.must(`cat home/${uid}/image/${name}/${tag}/manifest.json`)) as ImageConfig;
const session = (reference: string): string => join(mounted.agents, reference.replace('/', '/session/'));
const inodes = async (directory: string, names: RegExp): Promise<ReadonlyMap<bigint, string>> => {
  const found = new Map<bigint, string>();
  for (const name of await fs.readdir(directory))
    if (names.test(name)) found.set((await fs.stat(join(directory, name), { bigint: true })).ino, name);
  return found;
};
const layout = (): string => join(mounted.store, `home/${uid}/image/.store/blobs/sha256`);

/** A session with a history that is worth something: pinned file, budget, tools, both journals. */
async function fill(reference: string, lines: number): Promise<void> {
  await mounted.must(`ctx new ${reference}`);
  const at = session(reference);
  await mounted.must(`
    for i in $(seq 1 ${lines}); do printf '{"role":"%s","content":"line %d of ${reference}"}\\n' $([ $((i % 2)) = 1 ] && echo user || echo assistant) $i; done >> ${at}/messages.jsonl
    echo '{"type":"usage","input_tokens":5}' >> ${at}/events.jsonl
    echo 'Always answer in verse.' > ${at}/context/pinned/style.md
    echo 2000 > ${at}/context/budget
    echo '[{"type":"function","function":{"name":"shell","parameters":{"type":"object"}}}]' > ${at}/context/tools.json`);
}

test('IMG-30 a commit names again what its parent has, and writes what is new', async () => {
  await fill('coder/long', 400);
  const built = await json<Reported>('build', 'coder/long', '--tag', 'quilt/long:1');
  expect(built).toMatchObject({ image: 'quilt/long:1', parent: null, layers: 1, messages: 400 });
  await mounted.must(`ctx run quilt/long:1 --name coder/again --detach`);
  const before = await manifestOf('quilt/long', '1');
  await mounted.must(
    `echo '{"role":"user","content":"one more"}' >> ${session('coder/again')}/messages.jsonl; rm ${session('coder/again')}/context/pinned/style.md`,
  );
  const committed = await json<Reported>('commit', 'coder/again', 'quilt/long:2');
  expect(committed).toMatchObject({ image: 'quilt/long:2', parent: 'quilt/long:1', layers: 2, messages: 401 });
  const after = await manifestOf('quilt/long', '2');
  expect(after.layers[0]).toEqual(before.layers[0]);
  expect(after.parent_digest).toBe(built.digest);
  const stretch = after.layers[1]?.parts.find(({ mediaType }) => mediaType.includes('messages'));
  expect(stretch?.size).toBe('{"role":"user","content":"one more"}\n'.length);
  expect(after.layers[1]?.files.map(({ path }) => path)).toContain('context/pinned/.wh.style.md');
  expect(
    await mounted.must(`ls home/${uid}/image/quilt/long/2/source/context/ home/${uid}/image/quilt/long/1/source/context/pinned`),
  ).toContain('style.md');
  // From a commit the next one goes on.
  await mounted.must(`echo '{"role":"assistant","content":"and one"}' >> ${session('coder/again')}/messages.jsonl`);
  expect(await json<Reported>('commit', 'coder/again', 'quilt/long:3')).toMatchObject({ parent: 'quilt/long:2', layers: 3, messages: 402 });
  // IMG-115: a name that is taken moves, and says so.
  const moved = await mounted.ctx(['commit', 'coder/again', 'quilt/long:1']);
  expect(moved.stderr).toContain(`ctx: moved quilt/long:1 from ${built.digest}\n`);
});

test('IMG-31 an instance has the history of its image by link, byte for byte, and the same pack', async () => {
  await fill('coder/source', 60);
  await json<Reported>('build', 'coder/source', '--tag', 'quilt/source');
  await mounted.must('ctx run quilt/source --name coder/copy --detach');
  const [from, to] = [session('coder/source'), session('coder/copy')];
  await mounted.must(`cmp ${from}/messages.jsonl ${to}/messages.jsonl && cmp ${from}/events.jsonl ${to}/events.jsonl`);
  for (const file of [
    'context/pinned/style.md',
    'context/budget',
    'context/tools.json',
    'context/pack.md',
    'context/prompt.json',
    'context/summary.md',
  ])
    await mounted.must(`cmp ${from}/${file} ${to}/${file}`);
  // The record of the pack differs in the session's name alone.
  await mounted.must(`diff <(jq 'del(.session)' ${from}/context/pack.json) <(jq 'del(.session)' ${to}/context/pack.json)`);
  expect(await mounted.must(`cmp home/${uid}/image/quilt/source/latest/source/transcript.jsonl ${from}/messages.jsonl && echo same`)).toBe(
    'same\n',
  );
  // One inode in the session, the image and the instance. (An event like another session's is that one's blob.)
  const segments = /^messages-[0-9a-f]{16}/;
  const stored = await inodes(join(mounted.store, `home/${uid}/agent/coder/session/source/segments`), segments);
  const copied = await inodes(join(mounted.store, `home/${uid}/agent/coder/session/copy/segments`), segments);
  const blobs = await inodes(layout(), /./);
  expect(stored.size).toBe(1);
  expect(new Set(copied.keys())).toEqual(new Set(stored.keys()));
  for (const inode of stored.keys()) expect(blobs.has(inode)).toBe(true);
  // Nothing of it is told as a difference, control files included.
  expect(await mounted.must('ctx diff quilt/source coder/copy --source')).toContain('the same');
  // Each goes on alone.
  await mounted.must(`echo '{"role":"user","content":"only here"}' >> ${to}/messages.jsonl`);
  expect(
    (
      await mounted.must(
        `wc -l < ${from}/messages.jsonl; wc -l < ${to}/messages.jsonl; wc -l < home/${uid}/image/quilt/source/latest/source/transcript.jsonl`,
      )
    ).split('\n'),
  ).toEqual(['60', '61', '60', '']);
});

test('IMG-32 a fork records where it left its parent, shares every layer, and is committed under its own name', async () => {
  await fill('coder/base', 30);
  const base = await json<Reported>('build', 'coder/base', '--tag', 'quilt/customer-review');
  const forked = await json<{ readonly digest: string; readonly instance: string }>(
    'fork',
    'quilt/customer-review',
    'quilt/customer-review-alt',
  );
  const config = await manifestOf('quilt/customer-review-alt', 'latest');
  expect(config).toMatchObject({ parent: 'quilt/customer-review:latest', parent_digest: base.digest });
  expect(config.branch).toMatchObject({
    parent: 'quilt/customer-review:latest',
    parent_digest: base.digest,
    divergence: { messages: 30, events: 1 },
    memory_write_policy: 'shared',
    inherited_layers: config.layers.flatMap(({ parts }) => parts.map(({ digest }) => digest)),
  });
  expect(Date.parse(config.branch?.forked_at ?? '')).toBeGreaterThan(0);
  await mounted.must(`echo '{"role":"user","content":"elsewhere"}' >> ${session(forked.instance)}/messages.jsonl`);
  expect(await json<Reported>('commit', 'quilt/customer-review-alt:v2')).toMatchObject({
    image: 'quilt/customer-review-alt:v2',
    parent: 'quilt/customer-review-alt:latest',
    messages: 31,
  });
  expect((await mounted.must(`cut -d' ' -f2 home/${uid}/image/quilt/customer-review-alt/v2/lineage`)).split('\n')).toEqual([
    'quilt/customer-review-alt:v2',
    'quilt/customer-review-alt:latest',
    'quilt/customer-review:latest',
    '',
  ]);
  // At an earlier message.
  const early = await json<{ readonly instance: string }>(
    'fork',
    'quilt/customer-review',
    'quilt/early',
    '--at',
    '7',
    '--memory-writes',
    'ephemeral',
  );
  expect(await mounted.must(`wc -l < ${session(early.instance)}/messages.jsonl`)).toBe('7\n');
  expect((await manifestOf('quilt/early', 'latest')).branch).toMatchObject({
    divergence: { messages: 7 },
    memory_write_policy: 'ephemeral',
  });
  const { code, stderr } = await mounted.ctx(['fork', 'quilt/customer-review', 'quilt/early']);
  expect([code, stderr]).toEqual([2, expect.stringContaining('quilt/early:latest is an image already')]);
});

test('ctx ps shows which image, layers and divergence point an instance has; a name of both kinds is refused', async () => {
  await fill('both/latest', 3);
  await json<Reported>('build', 'both/latest', '--tag', 'both/latest');
  const { code, stderr } = await mounted.ctx(['run', 'both/latest', '--detach']);
  expect([code, stderr]).toEqual([2, expect.stringContaining('names a session and an image')]);
  await mounted.must('ctx run image:both/latest --detach');
  await mounted.must('ctx run image:both/latest --detach');
  const rows = await json<readonly { readonly reference: string; readonly image: Record<string, unknown> }[]>('ps', 'both/latest');
  expect(rows.map(({ reference }) => reference).sort()).toEqual(['latest/latest', 'latest/latest-2']);
  expect(rows[0]?.image).toMatchObject({
    name: 'both/latest',
    tag: 'latest',
    layers: ['continuation-0'],
    divergence: { messages: 3, events: 1 },
  });
  const twice = await mounted.ctx(['commit', 'both/latest:v2']);
  expect([twice.code, twice.stderr]).toEqual([1, expect.stringContaining('has 2 instances')]);
  const none = await mounted.ctx(['commit', 'no/such:v2']);
  expect([none.code, none.stderr]).toEqual([4, expect.stringContaining('has no instance')]);
});

test('IMG-33 rebuild says which recorded hashes no longer match, IMG-34 and compiled state leaves the digest of its image alone', async () => {
  const model = join(mounted.store, 'tiny.gguf');
  await mounted.must(`${ROOT}scripts/make-tiny-model ${model} && ctx model add ${model} --name tiny`);
  await fill('coder/warm', 12);
  const built = await json<Reported>('build', 'coder/warm', '--tag', 'quilt/warm');
  const rebuilt = await json<{
    readonly mismatches: readonly string[];
    readonly compiled: { readonly tokens: number; readonly digest: string };
  }>('rebuild', 'quilt/warm');
  expect(rebuilt.mismatches).toEqual([]);
  expect(rebuilt.compiled.tokens).toBeGreaterThan(0);
  expect((await json<readonly { readonly image: string; readonly digest: string }[]>('images', 'quilt/warm'))[0]?.digest).toBe(
    built.digest,
  );
  expect(await mounted.must(`ls ${mounted.agents}`)).not.toContain('of-');
  // IMG-35: an instance starts on it, also when the engine itself has forgotten it.
  await mounted.must('ctx evict coder/warm --compiled-state; ctx gc');
  const talk = await mounted.must('ctx run quilt/warm --name coder/warmed -p "go on" --max-tokens 2 --json --temperature 0');
  const usage = JSON.parse(talk.split('\n').find((line) => line.includes('restored_tokens')) ?? '{}') as {
    readonly restored_tokens?: number;
  };
  // What the new message's prompt has in common with it; the engine had nothing of its own.
  expect(usage.restored_tokens).toBeGreaterThan(rebuilt.compiled.tokens / 2);
  // A blob that is not what it was.
  const config = await manifestOf('quilt/warm', 'latest');
  const digest = config.layers[0]?.parts.find(({ mediaType }) => mediaType.includes('files'))?.digest.slice(7) ?? '';
  const blob = join(layout(), digest);
  await fs.chmod(blob, 0o600);
  const bytes = await fs.readFile(blob);
  bytes[bytes.indexOf('verse')] = 0x56;
  await fs.writeFile(blob, bytes);
  const damaged = await mounted.ctx(['rebuild', 'quilt/warm', '--check', '--json']);
  expect(damaged.code).toBe(5);
  expect((JSON.parse(damaged.stdout) as { readonly mismatches: readonly string[] }).mismatches.join()).toContain(digest);
});

test('IMG-36 an image records the wiki that was mounted, says when it has moved on, and its branch decides who writes', async () => {
  const wiki = join(mounted.root, `home/${uid}/wiki`);
  await mounted.must(`ctx wiki init ${wiki}`);
  await fill('coder/knows', 4);
  await mounted.must(
    `printf 'memory:\\n  - {name: notes, path: wiki, mode: read-write}\\n' > ${session('coder/knows')}/context/policy.yaml`,
  );
  await json<Reported>('build', 'coder/knows', '--tag', 'quilt/knows');
  const [binding] = (await manifestOf('quilt/knows', 'latest')).mounts.memory;
  const head = (await mounted.must(`git -C ${wiki} rev-parse HEAD`)).trim();
  expect(binding).toMatchObject({ name: 'notes', mode: 'read-write', commit: head });
  expect(Object.keys(binding?.pages ?? {})).toContain('INDEX.md');
  expect((await mounted.ctx(['rebuild', 'quilt/knows', '--check'])).code).toBe(0);
  await mounted.must(`echo 'More is known.' >> ${wiki}/INDEX.md`);
  const moved = await mounted.ctx(['rebuild', 'quilt/knows', '--check']);
  expect([moved.code, moved.stdout]).toEqual([5, expect.stringContaining('memory notes: has moved on: 1 pages changed')]);
  const inspected = await mounted.ctx(['inspect', 'quilt/knows']);
  expect([inspected.code, inspected.stdout]).toEqual([0, expect.stringContaining('\nmemory notes: has moved on: 1 pages changed')]);
  const branch = await json<{ readonly instance: string }>('fork', 'quilt/knows', 'quilt/reader', '--memory-writes', 'read-only');
  expect(await mounted.must(`cat ${session(branch.instance)}/context/policy.yaml`)).toContain('mode: read-only');
});
