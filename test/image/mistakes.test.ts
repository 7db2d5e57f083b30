// What people mistype and mix up, on a real mount: each ends with its exit code and one line that says what to do.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';

let mounted: MountedStore;
let digest: string;

beforeAll(async () => {
  mounted = await mountStore('ctx-image-mistakes');
  const lines = [1, 2, 3, 4].map((n) => JSON.stringify({ role: n % 2 === 0 ? 'assistant' : 'user', content: `line ${n}` })).join('\\n');
  const built = await mounted.must(
    `ctx new coder/one && printf '${lines}\\n' >> ${mounted.agents}/coder/session/one/messages.jsonl && ctx build coder/one --tag quilt/review:1`,
  );
  digest = built.trim().split('@')[1] ?? '';
});
afterAll(() => mounted.end());

/** Runs the lines in one shell; of each, its exit code and what it said. */
async function said(lines: readonly string[]): Promise<readonly (readonly [number, string])[]> {
  const script = lines.map((line) => `(${line}) > said 2>&1; echo "$? $(tr '\\n' ' ' < said)"`).join('\n');
  const { stdout } = await mounted.sh(script, { cwd: mounted.store });
  return stdout
    .trim()
    .split('\n')
    .map((line) => [Number(line.slice(0, line.indexOf(' '))), line.slice(line.indexOf(' ') + 1).trim()]);
}

test('CLI-5 a name that is neither a session nor an image, or lacks its tag, is not found, and what there is is said', async () => {
  const [nope, tag, session, place, word, rebuild] = await said([
    'ctx inspect nope',
    'ctx inspect quilt/review',
    'ctx run coder/two -d',
    'ctx build ./nowhere',
    'ctx tag quilt/review:1 Review',
    'ctx rebuild quilt/review:7 --check',
  ]);
  expect(nope).toEqual([4, 'ctx: cli.no_such_name: nope names neither a session nor an image here; see: ctx ls, ctx images']);
  expect(tag).toEqual([4, 'ctx: image.unknown: quilt/review is no image here; quilt/review has 1; write quilt/review:1']);
  expect(session).toEqual([4, 'ctx: cli.no_session: coder/two does not exist; run: ctx ls, or ctx new coder/two']);
  expect(place?.[0]).toBe(4);
  expect(place?.[1]).toContain('is no directory, and names no session');
  expect(word?.[0]).toBe(2);
  expect(word?.[1]).toContain('"Review" names no image');
  expect(rebuild?.[0]).toBe(4);
  expect(rebuild?.[1]).toContain('quilt/review:7 is no image here; quilt/review has 1');
});

test('CLI-22 an option that is of no use for what was named is refused, not dropped', async () => {
  const refused = await said([
    'ctx export coder/one --redact -o out',
    'ctx export coder/one --encrypt-to age1nobody -o out',
    'ctx export quilt/review:1 --to markdown -o out',
    'ctx fork coder/one coder/read-only --memory-writes read-only',
    'ctx run coder/one --detach',
    'ctx commit coder/one',
    'test ! -e out',
  ]);
  expect(refused.map(([code]) => code)).toEqual([2, 2, 2, 2, 2, 2, 0]);
  expect(refused[0]?.[1]).toContain('--redact is for images, and coder/one is a session');
  expect(refused[2]?.[1]).toContain('--to and --source are for sessions');
  expect(refused[5]?.[1]).toContain('ctx commit coder/one NAME:TAG');
});

test('IMG-32 a fork at a message that the image has not, or that is no number, makes nothing', async () => {
  const before = await mounted.must('ctx images && ls home/*/agent home/*/agent/coder/session');
  const refused = await said([
    'ctx fork quilt/review:1 quilt/b --at 5',
    "ctx fork quilt/review:1 quilt/b --at ''",
    'ctx fork quilt/review:1 quilt/b --at 99999999999999999999',
  ]);
  expect(refused.map(([code]) => code)).toEqual([1, 2, 2]);
  expect(refused[0]?.[1]).toContain('quilt/review:1 cannot be forked at message 5: it has 4');
  expect(await mounted.must('ctx images && ls home/*/agent home/*/agent/coder/session')).toBe(before);
  // A session of the branch's name is no reason to refuse, and nothing is left of what the branch was cut from.
  const [, second] = await said(['ctx new b/latest', 'ctx fork quilt/review:1 quilt/b --at messages:2']);
  expect(second?.[0]).toBe(0);
  expect(second?.[1]).toContain('instance: b/latest-2');
  expect((await mounted.must(`wc -l < ${mounted.agents}/b/session/latest-2/messages.jsonl; ls ${mounted.agents}`)).split('\n')).toEqual([
    '2',
    'b',
    'coder',
    '',
  ]);
});

test('IMG-32 the top layer of a branch is the one that its cut wrote', async () => {
  const { layers, branch } = JSON.parse(await mounted.must(`cat home/*/image/quilt/b/latest/manifest.json`)) as {
    readonly layers: readonly { readonly name: string }[];
    readonly branch: { readonly top_layer: string; readonly divergence: object };
  };
  expect(branch).toMatchObject({ top_layer: layers.at(-1)?.name, divergence: { messages: 2 } });
});

test('instances that are started at once have names of their own', async () => {
  const lines = [1, 2, 3, 4].map(() => 'ctx run quilt/review:1 --detach &').join('\n');
  const started = (await mounted.must(`${lines}\nwait`)).trim().split('\n').sort();
  expect(started).toEqual(['review/1', 'review/1-2', 'review/1-3', 'review/1-4']);
});

test('CLI-18 bash completes the name of an image behind its colon, and as a second argument', async () => {
  const complete = async (...words: readonly string[]): Promise<readonly string[]> => {
    // As readline has it: a colon is a word of its own.
    const broken = words.flatMap((word) => word.split(/(:)/).filter((part) => part !== ''));
    const script = `source <(ctx completion bash); COMP_WORDS=(${broken.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${broken.length - 1}
      COMP_LINE='${words.join(' ')}'; COMP_POINT=\${#COMP_LINE}; _ctx; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return (await mounted.must(script)).trim().split('\n');
  };
  expect(await complete('ctx', 'inspect', 'quilt/rev')).toEqual(['quilt/review:1']);
  expect(await complete('ctx', 'inspect', 'quilt/review:')).toEqual(['1']);
  expect(await complete('ctx', 'diff', 'coder/one', 'quilt/review:')).toEqual(['1']);
});

test('IMG-1 a digest is taken as ctx images shows it', async () => {
  const short = digest.slice('sha256:'.length).slice(0, 12);
  // The digit that comes next is another one.
  const other = `${short}${digest.charAt('sha256:'.length + 12) === '0' ? '1' : '0'}`;
  const [inspected, tagged, removed, kept] = await said([
    `ctx inspect ${short} --json | grep '"image"'`,
    `ctx tag ${short} quilt/found`,
    `ctx rm quilt/found --yes --json`,
    `ctx rm ${other} --yes`,
  ]);
  expect(inspected).toEqual([0, `"image": "${digest}",`]);
  expect(tagged).toEqual([0, `quilt/found:latest@${digest}`]);
  expect(removed?.[1]).toContain('"quilt/found:latest"');
  expect(kept?.[0]).toBe(4);
});

test('IMG-1 an image that has lost its name is had by its digest, until gc takes it', async () => {
  const forgotten = JSON.parse(await mounted.must('ctx fork quilt/review:1 lost/one --json')) as { digest: string; instance: string };
  const short = forgotten.digest.slice(0, 'sha256:'.length + 12);
  const [untagged, shown, tagged, again] = await said([
    'ctx rm lost/one --yes',
    `ctx inspect ${short} | sed -n 's/^name: //p'`,
    `ctx tag ${short} lost/found`,
    `ctx rm lost/found --yes && ctx rm session:${forgotten.instance} --force --yes > /dev/null && ctx gc > /dev/null && ctx tag ${short} lost/found`,
  ]);
  expect(untagged?.[1]).toContain('came from it');
  expect(shown).toEqual([0, 'lost/one:latest']);
  expect(tagged).toEqual([0, `lost/found:latest@${forgotten.digest}`]);
  expect(again?.[0]).toBe(4);
});

test('IMG-26 the sources that ctx inspect shows begin with the histories', async () => {
  const shown = await mounted.must('ctx inspect quilt/review:1');
  const messages = await mounted.must(
    "grep -o '[0-9a-f]*  *[0-9]* application/vnd.ctxfs.layer.messages' home/*/image/quilt/review/1/layers",
  );
  expect(shown).toContain(`  ${messages.slice(0, 12)} `);
  expect(shown).toMatch(/^source: .*\n {2}[0-9a-f]{12} .* transcript\.jsonl\n/m);
});

test('a name without a tag is the latest of its name, whatever version context.yaml says', async () => {
  await mounted.must("mkdir bundle && printf 'name: a\\nversion: 2026.05\\n' > bundle/context.yaml && ctx build bundle --tag zed", {
    cwd: mounted.store,
  });
  expect((await mounted.must('ctx images zed: --names')).trim().split('\n').sort()).toEqual(['zed:2026.05', 'zed:latest']);
});
