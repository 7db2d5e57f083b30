// Images on a real mount: the verbs that need no daemon of their own, browsing with everyday tools, and the layout's three rules.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT } from '../cli/program.ts';
import { canMount } from './can-mount.ts';

const FIXTURES = `${ROOT}test/fixtures/image`;

describe.skipIf(!canMount)('images on a mount', () => {
  let mounted: MountedStore;
  let home: string;
  let images: string;
  const ctx = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await mounted.ctx(args);
    if (code !== 0) throw new Error(`ctx ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  };
  const json = async (...args: readonly string[]): Promise<Record<string, unknown>> =>
    JSON.parse(await ctx(...args, '--json')) as Record<string, unknown>;
  /** The errno of a failing line, as its program prints it; `done` when it did not fail. */
  const outcome = async (line: string): Promise<string> => {
    const { code, stderr } = await mounted.sh(line);
    return code === 0 ? 'done' : stderr.trim();
  };
  const python = (program: string): Promise<string> => mounted.must('python3 -', { input: program });

  beforeAll(async () => {
    mounted = await mountStore('images');
    home = `home/${process.getuid?.() ?? 0}`;
    images = `${home}/image`;
    await ctx('build', `${FIXTURES}/base-engineering`);
    await ctx('build', `${FIXTURES}/customer-review`);
  });
  afterAll(() => mounted.end());

  test('IMG-19 a name goes, what stays is said, and a digest with several names is refused', async () => {
    const { digest } = await json('tag', 'quilt/customer-review:2026.05.22', 'quilt/other');
    expect(await mounted.must(`ls ${images}/quilt/other/latest`)).toContain('manifest.yaml');
    const byDigest = await mounted.ctx(['rm', String(digest), '--yes']);
    expect([byDigest.code, byDigest.stderr]).toEqual([2, expect.stringContaining('has the names')]);
    const asked = await mounted.ctx(['rm', 'quilt/other']);
    expect([asked.code, asked.stderr]).toEqual([1, expect.stringContaining('nothing was removed')]);
    const removed = await json('rm', 'quilt/other', '--yes');
    expect(removed).toMatchObject({
      removed: ['quilt/other:latest'],
      names: expect.arrayContaining(['quilt/customer-review:2026.05.22']) as unknown,
    });
    expect(await outcome(`ls ${images}/quilt/other`)).toContain('No such file');
    await ctx('tag', 'quilt/customer-review:2026.05.22', 'one:1');
    await ctx('tag', 'one:1', 'two:2');
    const all = await json('rm', `one@${String(digest)}`, '--yes', '--force');
    expect((all as { removed: string[] }).removed).toEqual(expect.arrayContaining(['one:1', 'two:2', 'quilt/customer-review:2026.05.22']));
    await ctx('build', `${FIXTURES}/customer-review`);
  });

  test('IMG-20 evict removes what was compiled, and the digest stays', async () => {
    const before = await json('inspect', 'quilt/customer-review:2026.05.22');
    const { digest } = before as { digest: string };
    // Compiled state as rebuild writes it, without an engine: a manifest about the image, and a signature about that.
    const program = `
      import { ImageStore } from '${ROOT}dist/src/image/layout-store.js';
      import { canonicalBytes, MEDIA } from '${ROOT}dist/src/image/oci.js';
      const store = await ImageStore.open(process.argv[1]);
      const refer = async (artifactType, config, layer, text, subject) => {
        const manifest = { schemaVersion: 2, mediaType: MEDIA.manifest, artifactType, config: { mediaType: config, ...(await store.put(Buffer.from('{}'))) }, layers: [{ mediaType: layer, ...(await store.put(Buffer.from(text))) }], subject };
        const made = await store.putManifest(manifest, canonicalBytes(manifest));
        await store.addReferrer(made, subject.digest);
        return { mediaType: made.mediaType, digest: made.digest, size: made.size };
      };
      const image = (await store.entries()).find(({ digest }) => digest === process.argv[2]);
      const compiled = await refer(MEDIA.compiled, MEDIA.compiledConfig, MEDIA.kvState, 'state', { mediaType: image.mediaType, digest: image.digest, size: image.size });
      await refer(MEDIA.signature, MEDIA.empty, MEDIA.envelope, 'envelope', compiled);`;
    await mounted.must(
      `"$0" --input-type=module -e '${program.replaceAll("'", `'\\''`)}' ${images}/.store ${digest}`.replace('"$0"', process.execPath),
    );
    const inspected = (await json('inspect', 'quilt/customer-review:2026.05.22')) as { referrers: { kind: string }[] };
    expect(inspected.referrers.map(({ kind }) => kind)).toEqual(['compiled state', 'signature']);
    const blobs = Number(await mounted.must(`ls ${images}/.store/blobs/sha256 | wc -l`));
    const evicted = (await json('evict', 'quilt/customer-review:2026.05.22', '--compiled-state')) as {
      evicted: string[];
      removed: unknown[];
    };
    expect(evicted.evicted).toHaveLength(1);
    expect(Number(await mounted.must(`ls ${images}/.store/blobs/sha256 | wc -l`))).toBe(blobs - evicted.removed.length);
    expect(await json('inspect', 'quilt/customer-review:2026.05.22')).toEqual(before);
    expect(await mounted.must(`ctx gc -n 2>&1`)).toContain('0 files');
  });

  test('IMG-26 inspect, history and diff tell what an image is, and where two part', async () => {
    const text = await ctx('inspect', 'quilt/customer-review:2026.05.22');
    for (const line of [
      'parent: quilt/base-engineering:2026.05',
      'memory: project-memory (read-write, project)',
      'compatibility with no model:',
      '  source: compatible',
      '  rebuild: not known (no model is chosen here',
    ])
      expect(text).toContain(line);
    const history = (await json('history', 'quilt/customer-review:2026.05.22')) as { layers: { brought_by: { reference: string } }[] };
    expect(history.layers.map(({ brought_by: from }) => from.reference)).toEqual([
      'quilt/base-engineering:2026.05',
      'quilt/base-engineering:2026.05',
      'quilt/customer-review:2026.05.22',
    ]);
    const diff = await ctx('diff', 'quilt/base-engineering:2026.05', 'quilt/customer-review:2026.05.22', '--source', '--transcript');
    for (const line of ['added tools.yaml', '0 in common, then 0 here and 5 there', '+ messages:2 ', '+Exports end at 2 GiB'])
      expect(diff).toContain(line);
    // An instance against its image: what has been said since.
    await mounted.must(
      `ctx run quilt/customer-review:2026.05.22 --name review/one --json < /dev/null; ctx append review/one 'They run 4.1.'`,
    );
    await mounted.must(`echo note > ${home}/agent/review/session/one/context/pinned/note.md`);
    const since = (await json('diff', 'quilt/customer-review:2026.05.22', 'review/one')) as {
      transcript: { messages: { common: number; b: { lines: number; shown: { text: string }[] } } };
      source: { path: string }[];
    };
    expect(since.transcript.messages).toMatchObject({ common: 5, a: { lines: 0 }, b: { lines: 1 } });
    expect(since.transcript.messages.b.shown[0]?.text).toContain('They run 4.1.');
    // The policy that an instance begins with has the bindings of its image: no difference.
    expect(since.source.map(({ path }) => path)).toEqual(['context/pinned/note.md']);
    await mounted.must(`echo 'low_water: 0.6' >> ${home}/agent/review/session/one/context/policy.yaml`);
    expect(await ctx('diff', 'quilt/customer-review:2026.05.22', 'review/one', '--source')).toMatch(
      /changed context\/policy\.yaml.*\n.*\n.*\n(?: .*\n)*\+low_water: 0\.6\n/,
    );
  });

  test('IMG-25 images are browsed with ls, cat, cp, tar, du, find, grep and diff, and never written to', async () => {
    const image = `${images}/quilt/customer-review/2026.05.22`;
    expect((await mounted.must(`ls ${image}`)).trim().split('\n')).toEqual([
      'compat',
      'layers',
      'lineage',
      'manifest.json',
      'manifest.yaml',
      'source',
    ]);
    expect(await mounted.must(`cat ${image}/source/transcript.jsonl`)).toContain('Which release do they run?');
    const place = `${mounted.store}/../copy`;
    await mounted.must(
      `mkdir ${place} && cp -a ${image} ${place}/cp && tar -cf ${place}/t.tar -C ${image} . && mkdir ${place}/tar && tar -xf ${place}/t.tar -C ${place}/tar`,
    );
    await mounted.must(`diff -r ${image} ${place}/cp && diff -r ${image} ${place}/tar`);
    await mounted.must(`chmod -R u+w ${place}; rm -r ${place}; ls -lR ${images} > /dev/null; du -s ${images} > /dev/null`);
    expect(await mounted.must(`grep -rl 'release a month' ${images}`)).toContain('context/pinned/01-quilt-engineering-releases.md');
    expect(await mounted.must(`find ${image}/source -name limits.md`)).toContain('documents/limits.md');
    // IMG-116: one errno for every way; across directories either side may be the first to refuse.
    await mounted.must(`echo theirs > ${home}/wiki/page.md`);
    for (const [place, ...names] of [
      [image, 'manifest.yaml', 'lineage', 'source', 'source'],
      [`${image}/source`, 'memory.yaml', 'tools.yaml', 'context', 'documents'],
    ]) {
      const changes = JSON.parse(
        await mounted.must(`python3 ${ROOT}test/mount/clients/changes.py ${place} ${home}/wiki ${names.join(' ')}`),
      ) as Record<string, string>;
      for (const [name, errno] of Object.entries(changes))
        expect([name, errno]).toEqual([
          name,
          expect.stringMatching(/ (?:in|out)$/.test(name) ? /^(?:EXDEV|EROFS)$/ : name === 'fallocate' ? /^EBADF$/ : /^EROFS$/),
        ]);
      expect(Object.keys(changes)).toHaveLength(30);
    }
    for (const line of [`mkdir ${images}/new`, `touch ${images}/new`, `rmdir ${images}/quilt`, `mv ${images}/quilt ${images}/q`])
      expect(await outcome(line)).toContain('Read-only file system');
    await mounted.must(`rm ${home}/wiki/page.md`);
    // A tag moves at once, and a name may be a part of another name.
    await ctx('tag', 'quilt/base-engineering:2026.05', 'quilt');
    expect(await mounted.must(`ls ${images}/quilt; head -c 0 ${images}/quilt/latest/manifest.json`)).toBe(
      'base-engineering\ncustomer-review\nlatest\n',
    );
    const named = `sed -n 1p ${images}/quilt/latest/lineage`;
    expect(await mounted.must(named)).toContain('base-engineering');
    await ctx('tag', 'quilt/customer-review:2026.05.22', 'quilt');
    expect(await mounted.must(named)).toContain('customer-review');
    await ctx('rm', 'quilt', '--yes');
    expect(await outcome(`ls ${images}/quilt/latest`)).toContain('No such file');
  });

  test('IMG-24 nothing but whole blobs comes into the layout, and no blob is written to', async () => {
    const layout = `${images}/.store`;
    expect(await mounted.must(`ls -A ${images}`)).not.toContain('.store');
    const blob = (await mounted.must(`ls ${layout}/blobs/sha256 | sort`)).split('\n')[0] ?? '';
    const path = `${layout}/blobs/sha256/${blob}`;
    const digest = await mounted.must(`sha256sum < ${path}`);
    const other = 'f'.repeat(64);
    for (const line of [
      `truncate -s 0 ${path}`,
      `: > ${path}`,
      `echo x >> ${path}`,
      `dd if=/dev/zero of=${path} bs=1 count=1 conv=notrunc`,
      `echo x > ${layout}/blobs/sha256/${other}`,
      `mv ${path} ${layout}/tmp/x`,
      `mv -T ${path} ${layout}/blobs/sha256/${other}`,
      `ln ${path} ${layout}/tmp/x`,
      `ln -s /etc/passwd ${layout}/tmp/x`,
      `mkfifo ${layout}/tmp/x`,
      `mkdir ${layout}/blobs/sha512`,
      `mkdir ${layout}/other`,
      `rmdir ${layout}/tmp`,
      `echo x > ${layout}/other`,
      `mv ${layout}/tmp ${layout}/blobs/sha256/${other}`,
    ])
      expect(`${line}: ${await outcome(line)}`).toMatch(
        /not permitted|Permission denied|cross-device|Is a directory|Device or resource busy/i,
      );
    // Over a name outside, from outside, exchanged, through a map, and through a descriptor that was open before.
    const said = await python(
      `
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
def tried(what, call):
    try:
        call()
        print(what, 'done')
    except OSError as error:
        print(what, os.strerror(error.errno))
    except ValueError as error:
        print(what, error)
blob, tmp, layout = '${path}', '${layout}/tmp/py', '${layout}'
open('${home}/wiki/x', 'w').write('x')
tried('out', lambda: os.rename(blob, '${home}/wiki/y'))
tried('in', lambda: os.rename('${home}/wiki/x', tmp))
tried('link out', lambda: os.link(blob, '${home}/wiki/y'))
open(tmp, 'w').write('x')
def exchange():
    if libc.renameat2(-100, tmp.encode(), -100, blob.encode(), 2) != 0:
        raise OSError(ctypes.get_errno(), '')
tried('exchange', exchange)
fd = os.open(tmp, os.O_RDWR)
name = layout + '/blobs/sha256/' + 'e' * 64
os.rename(tmp, name)
tried('late write', lambda: os.write(fd, b'y'))
tried('late truncate', lambda: os.ftruncate(fd, 0))
def late_map():
    with mmap.mmap(fd, 1) as m:
        m[0:1] = b'y'
        m.flush()
tried('late map', late_map)
os.close(fd)
print(open(name).read())
os.unlink(name)
`.trim(),
    );
    expect(
      said
        .trim()
        .split('\n')
        .map((line) => line.replace(/^(.*?) (Operation not permitted|Invalid cross-device link)$/, '$1')),
    ).toEqual(['out', 'in', 'link out', 'exchange', 'late write', 'late truncate', expect.stringContaining('late map') as string, 'x']);
    expect(await mounted.must(`sha256sum < ${path}; ls ${layout}/tmp`)).toBe(digest);
    // A stage is a layout of its own, and goes whole.
    await mounted.must(
      `cd ${layout}/tmp && mkdir import-1-a && cd import-1-a && echo x > tmp/b && mv tmp/b blobs/sha256/${other} && mv blobs/sha256/${other} ../../blobs/sha256/${other} && rm -r ../import-1-a`,
    );
    expect(await mounted.must(`cat ${layout}/blobs/sha256/${other}; rm -f ${layout}/blobs/sha256/${other}; ls ${layout}/tmp`)).toBe('x\n');
    const staged = `cd ${layout}/tmp && mkdir s && mkdir s/tmp/t`;
    expect(await outcome(staged)).toMatch(/not permitted/);
    await mounted.must(`rm -r ${layout}/tmp/s`);
  });

  test('IMG-25 other users see nothing of a home, and the images of a shared space', async () => {
    const nobody = 'setpriv --reuid 65534 --regid 65534 --clear-groups';
    expect(await outcome(`${nobody} ls ${images}`)).toContain('Permission denied');
    expect(await outcome(`${nobody} cat ${images}/.store/index.json`)).toContain('Permission denied');
    await mounted.must(
      `mkdir -m 755 shared/team shared/team/image && from=$PWD/${images}/.store && cd shared/team/image/.store && cp $from/blobs/sha256/* tmp/ && mv tmp/* blobs/sha256/ && cp $from/index.json .`,
    );
    expect(
      await mounted.must(
        `${nobody} cat shared/team/image/quilt/base-engineering/2026.05/source/context/pinned/00-base-assistant-assistant.md`,
      ),
    ).toContain('Answer briefly');
    expect(await mounted.must('ls shared/team shared/team/image')).toBe('shared/team:\nimage\n\nshared/team/image:\nquilt\n');
    expect(await outcome(`mv shared/team/image shared/team/other`)).toMatch(/not permitted|busy/i);
  });

  test('IMG-25 a layout that was filled by hand with anything is refused by name, and never followed or waited for', async () => {
    const layout = `${mounted.store}/shared/bad/image/.store`;
    await mounted.must(`mkdir -p shared/bad/image && ls shared/bad/image/.store`);
    const bad = 'shared/bad/image';
    const digestOf = (text: string): Promise<string> =>
      mounted.must(`printf %s '${text}' | sha256sum | cut -c1-64`).then((hex) => hex.trim());
    const secret = 'a'.repeat(64);
    const entry = (key: string, hex: string, size = 10): string =>
      `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:${hex}","size":${size},"artifactType":"application/vnd.ctxfs.image.v1","annotations":{"org.opencontainers.image.ref.name":"${key}"}}`;
    const index = (entries: readonly string[]): string => `{"schemaVersion":2,"manifests":[${entries.join(',')}]}`;
    const write = async (text: string): Promise<void> => {
      await mounted.sh(`cat > ${layout}/index.json.new && mv ${layout}/index.json.new ${layout}/index.json`, { input: text });
    };
    // Manifests that are a link out, a FIFO, a device and nothing.
    const [link, fifo, device] = await Promise.all([digestOf('link'), digestOf('fifo'), digestOf('device')]);
    await mounted.must(
      `cd ${layout}/blobs/sha256 && ln -s /etc/passwd ${link} && mkfifo ${fifo} && mknod ${device} c 1 5 && printf '{"a":1}' > ${secret}`,
      { cwd: '/' },
    );
    const keys = { link, fifo, device, gone: 'b'.repeat(64), lying: secret };
    await write(
      index([...Object.entries(keys).map(([key, hex]) => entry(`${key}:1`, hex)), entry('../../etc:1', secret), entry('up/..:1', secret)]),
    );
    expect(await mounted.must(`ls ${bad}`)).toBe('device\nfifo\ngone\nlink\nlying\n');
    for (const key of Object.keys(keys)) {
      const { code, stdout, stderr } = await mounted.sh(`cat ${bad}/${key}/1/manifest.json`);
      expect([code, stdout, stderr]).toEqual([
        1,
        '',
        expect.stringMatching(/No such file|Input\/output error|Invalid argument|File too large|Too many levels|No such device/) as string,
      ]);
    }
    // An index that is too large, too deep, no JSON, a FIFO, a link.
    for (const make of [
      `truncate -s 5M ${layout}/index.json`,
      `{ printf '{"schemaVersion":2,"manifests":'; printf '[%.0s' {1..100000}; } > ${layout}/index.json`,
      `echo '{' > ${layout}/index.json`,
    ]) {
      await mounted.must(make);
      expect(await outcome(`ls ${bad}`)).toMatch(/Input\/output error|File too large|Invalid argument/);
    }
    for (const make of [`mkfifo ${layout}/index.json`, `ln -s /etc/passwd ${layout}/index.json`]) {
      await mounted.must(`rm ${layout}/index.json && ${make}`);
      expect(await mounted.must(`ls ${bad}`)).toBe('');
    }
    // The mount answers as before.
    expect(await mounted.must(`ls ${images}/quilt`)).toContain('customer-review');
  });

  test('IMG-25 a thousand tags are listed and opened', async () => {
    const program = `
      import { ImageStore, REF_NAME } from '${ROOT}dist/src/image/layout-store.js';
      const store = await ImageStore.open(process.argv[1]);
      await store.change((entries) => {
        const one = entries.find(({ annotations }) => annotations?.[REF_NAME] === 'quilt/base-engineering:2026.05');
        return [...entries, ...Array.from({ length: 1000 }, (_, n) => ({ ...one, annotations: { ...one.annotations, [REF_NAME]: 'many/n:' + n } }))];
      });`;
    await mounted.must(`${process.execPath} --input-type=module -e '${program.replaceAll("'", `'\\''`)}' ${images}/.store`);
    expect((await mounted.must(`ls ${images}/many/n | wc -l; cat ${images}/many/n/999/lineage | wc -l`)).trim().split('\n')).toEqual([
      '1000',
      '1',
    ]);
    expect((await ctx('images', 'many/', '--names')).trim().split('\n')).toHaveLength(1000);
  });
});
