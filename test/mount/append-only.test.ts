// Journals against ext4's own meaning of append-only (measured with chattr +a), case by case: abi-spec/cases/append-only.json.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ROOT } from '../cli/program.ts';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { canMount } from './can-mount.ts';

interface Case {
  readonly case: string;
  /** What ext4 answers. */
  readonly ext4: string;
  /** What a journal answers; where it differs, `why` says so. */
  readonly result: string;
  readonly why?: string;
  /** The operation appends one line. */
  readonly adds?: boolean;
}

const FILE = join(ROOT, 'abi-spec/cases/append-only.json');
const LINE = '{"role":"user","type":"note","content":"x"}\n';
const MAPPING = 'mmap shared write';
const cases = JSON.parse(await readFile(FILE, 'utf8')) as readonly Case[];

it('a case differs from ext4 exactly where it says why', () => {
  for (const each of cases) expect([each.case, each.result === each.ext4]).toEqual([each.case, each.why === undefined]);
});

describe.skipIf(!canMount)('append-only', () => {
  let mounted: MountedStore;
  beforeAll(async () => {
    mounted = await mountStore('append-only');
    await mounted.must('ctx new a/s');
  });
  afterAll(() => mounted.end());

  type Found = Readonly<Record<string, { readonly result: string; readonly added: string; readonly kept: boolean }>>;
  const run = async (file: string): Promise<Found> => {
    const client = join(ROOT, 'test/mount/clients/append_only.py');
    const path = join(mounted.agents, 'a/session/s', file);
    return JSON.parse(await mounted.must(`printf '${LINE.trim()}\\n' >> ${path} && python3 ${client} ${path} ${FILE}`)) as Found;
  };

  for (const file of ['messages.jsonl', 'events.jsonl']) {
    it(`${file} answers as ext4 does for an append-only file, and takes nothing through a mapping`, async () => {
      const found = await run(file);
      expect(Object.keys(found)).toEqual(cases.map((each) => each.case));
      for (const { case: name, result, adds } of cases) {
        const now = found[name];
        expect([name, now?.result.split(':')[0], now?.kept]).toEqual([name, result, true]);
        expect([name, now?.added]).toEqual([name, adds === true ? LINE : '']);
      }
      expect(found[MAPPING]?.result).toBe('EPERM');
    });
  }

  it('a mapping of a control file or a contribution is only read', async () => {
    const line = `python3 -c "
import mmap, os, sys
for name in ['budget', 'summary.md']:
    fd = os.open(name, os.O_RDWR)
    m = mmap.mmap(fd, 4, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    m[0:2] = b'99'
    try:
        m.flush()
        print(name, 'written')
    except OSError as error:
        print(name, error.errno)
"; cat budget`;
    const stdout = await mounted.must(
      `cd ${mounted.agents}/a/session/s/context && for i in 1 2 3 4; do echo text; done > summary.md && ${line}`,
    );
    expect(stdout).toBe('budget 1\nsummary.md 1\n32000\n');
  });

  it('a daemon that is given one CPU, and all of them again, takes every line and goes on to hear of changed pages', async () => {
    // Where it may use one CPU only, a read of /dev/fuse blocks.
    const line = `
pid=$(sed -n 's/^pid=//p' status)
all=$(taskset -p -c "$pid" | sed 's/.*: //')
journal=${join(mounted.agents, 'a/session/s/messages.jsonl')}
page=${join(mounted.agents, '../wiki/page.md')}
before=$(wc -l < "$journal")
serves() {
  for ((try = 0; try < 600; try++)); do
    for ((read = 0; read < 70; read++)); do [ -s "$journal" ]; done
    flags=$(for fd in /proc/$pid/fd/*; do if [ "$(readlink "$fd")" = /dev/fuse ]; then sed -n 's/^flags:\\t*//p' "/proc/$pid/fdinfo/\${fd##*/}"; fi; done | head -1)
    if ((( 8#$flags & 04000 ) == $1)); then return 0; fi
  done
  echo "flags $flags are not those of $2" >&2
  return 1
}
append() { for ((i = 0; i < 100; i++)); do echo '${LINE.trim()}' >> "$journal"; done; }
taskset -a -p -c "\${all%%[,-]*}" "$pid" > /dev/null
serves 0 'one CPU'
for writer in 1 2 3 4; do append & done; wait
echo kept > "$page" || exit
serves 0 'one CPU'
taskset -a -p -c "$all" "$pid" > /dev/null
if [ "$(nproc)" -gt 1 ]; then serves 04000 'several CPUs'; fi
append
echo "$(( $(wc -l < "$journal") - before )) $(cat "$page")"`;
    expect(await mounted.must(line)).toBe('500 kept\n');
  });
});
