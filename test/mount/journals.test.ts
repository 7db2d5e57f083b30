// Journals on a real mount, by the programs people use: nothing lost, torn, doubled or reordered within a writer.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT } from '../cli/program.ts';

const CLIENTS = join(ROOT, 'test/mount/clients');
let mounted: MountedStore;

beforeAll(async () => {
  mounted = await mountStore('journals');
});
afterAll(() => mounted.end());

/** A fresh session; gives its directory on the mount. */
async function session(name: string): Promise<string> {
  const path = `${mounted.agents}/coder/session/${name}`;
  await mounted.must(`mkdir -p ${mounted.agents}/coder && mkdir ${path}`);
  return path;
}

/** The journal's bytes as the store has them, without the mount. */
async function stored(name: string, file = 'messages.jsonl'): Promise<string> {
  return readFile(join(mounted.store, `home/${process.getuid?.() ?? 0}/agent/coder/session/${name}`, file), 'utf8');
}

interface Line {
  readonly w: number;
  readonly n: number;
}

describe('appending', () => {
  it('JRN: eight writers in eight ways, lines of 10 B to 8 MiB: each line whole, once, in its writer’s order', async () => {
    const at = await session('storm');
    for (const [seed, lines, most] of [
      [1, 200, 20_000],
      [2, 6, 8_000_000],
    ] as const) {
      await mounted.must(`python3 ${CLIENTS}/storm.py ${at}/messages.jsonl ${seed} ${lines} ${most}`);
    }
    const lines = (await stored('storm')).split('\n');
    expect(lines.pop()).toBe('');
    const seen = new Map<number, number[]>();
    for (const text of lines) {
      const { w, n } = JSON.parse(text) as Line;
      seen.set(w, [...(seen.get(w) ?? []), n]);
    }
    expect(lines).toHaveLength(8 * 206);
    for (const [writer, numbers] of seen) {
      // The shared descriptor has two writers in one; everyone else's lines stand in the order written.
      const order = (run: number[]): number[] => (writer === 4 ? [...run].sort((a, b) => a - b) : run);
      const expected = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
      expect([writer, order(numbers.slice(0, 200)), order(numbers.slice(200))]).toEqual([writer, expected(200), expected(6)]);
    }
    expect(await stored('storm', 'events.jsonl')).toBe('');
  });

  it('JRN: refused as ext4 with chattr +a refuses: > , truncate, sed -i, rm, mv, ln, chmod', async () => {
    const at = await session('refused');
    await mounted.must(`cd ${at} && echo '{"role":"user","content":"keep"}' >> messages.jsonl`);
    const attempts = [
      ': > messages.jsonl',
      'truncate -s 0 messages.jsonl',
      'truncate -s 0 events.jsonl',
      `sed -i s/keep/lost/ messages.jsonl`,
      'rm -f messages.jsonl',
      'mv messages.jsonl gone',
      'cp /etc/hostname messages.jsonl',
      'ln messages.jsonl context/pinned/link',
      'chmod 600 messages.jsonl',
      'dd if=/dev/zero of=messages.jsonl bs=1 count=1 conv=notrunc',
      'mv state messages.jsonl',
      'setfattr -n user.x -v 1 messages.jsonl',
      `python3 -c 'import os;os.open("messages.jsonl",os.O_RDWR)'`,
    ];
    for (const attempt of attempts) {
      const { code } = await mounted.sh(`cd ${at} && ${attempt}`);
      expect([attempt, code !== 0]).toEqual([attempt, true]);
    }
    expect(await stored('refused')).toBe('{"role":"user","content":"keep"}\n');
    await mounted.must(`cd ${at} && touch messages.jsonl`);
  });

  it('JRN: flags are checked at each WRITE: clearing O_APPEND does not open the journal', async () => {
    const at = await session('flags');
    const program = `
import fcntl, os
fd = os.open("messages.jsonl", os.O_WRONLY | os.O_APPEND)
os.write(fd, b'{"role":"user","content":"1"}\\n')
os.pwrite(fd, b'{"role":"user","content":"2"}\\n', 0)
fcntl.fcntl(fd, fcntl.F_SETFL, 0)
try:
  os.pwrite(fd, b'{"role":"user","content":"3"}\\n', 0)
except PermissionError:
  print("EPERM")`;
    expect(await mounted.must(`cd ${at} && python3 -c '${program.replaceAll("'", "'\\''")}'`)).toBe('EPERM\n');
    expect(await stored('flags')).toBe('{"role":"user","content":"1"}\n{"role":"user","content":"2"}\n');
  });

  it.each([
    ['invalid JSON', 'nonsense', 'EINVAL'],
    ['no role', '{"content":"x"}', 'EINVAL'],
    ['an unknown role', '{"role":"wizard","content":"x"}', 'EINVAL'],
    ['an array', '[1]', 'EINVAL'],
    ['invalid UTF-8', '{"role":"user","content":"\\xff"}', 'EINVAL'],
    ['an empty line', '', 'EINVAL'],
  ])('JRN: %s is refused, kept and reported; good lines of the same write are stored', async (name, bad, errno) => {
    const id = `bad-${name.replaceAll(/[^a-z]/gi, '')}`;
    const at = await session(id);
    const good = (n: number): string => `{"role":"developer","content":"${n}"}\\n`;
    const program = `
import errno, os
fd = os.open("messages.jsonl", os.O_WRONLY | os.O_APPEND)
data = b'${good(1)}' + b'${bad}' + b'\\n' + b'${good(2)}'
count = os.write(fd, data)
try:
  os.write(fd, data[count:])
  print("taken")
except OSError as e:
  print(count, errno.errorcode[e.errno])
os.write(fd, b'${good(3)}')`;
    const first = Buffer.byteLength(good(1)) - 1;
    expect(await mounted.must(`cd ${at} && python3 - <<'END'\n${program}\nEND`)).toBe(`${first} ${errno}\n`);
    expect(
      (await stored(id))
        .split('\n')
        .filter(Boolean)
        .map((text) => (JSON.parse(text) as { content: string }).content),
    ).toEqual(['1', '2', '3']);
    const event = JSON.parse((await stored(id, 'events.jsonl')).trim()) as { type: string; code: string; target: string; reject: string };
    expect(event).toMatchObject({ type: 'error', code: errno, target: 'messages.jsonl' });
    const kept = await readFile(join(mounted.store, `home/${process.getuid?.() ?? 0}/agent/coder/session/${id}`, event.reject));
    expect(kept.subarray(0, kept.length - 1).toString('latin1')).toBe(bad.replace('\\xff', '\xff'));
  });

  it.each([
    ['64 KiB', 1 << 16],
    ['1 MiB', 1 << 20],
    ['17 MiB', 17 << 20],
  ])('JRN: an over-long line in pieces of %s is EFBIG once, kept and reported; the next line is stored', async (name, piece) => {
    const id = `long-${name.replace(' ', '')}`;
    const at = await session(id);
    const program = `
import errno, os
fd = os.open("messages.jsonl", os.O_WRONLY | os.O_APPEND)
errors = []
data = b'{"role":"user","content":"' + b"x" * (17 << 20) + b'"}\\n'
for at in range(0, len(data), ${piece}):
  part = memoryview(data)[at:at + ${piece}]
  while part:
    try:
      part = part[os.write(fd, part):]
    except OSError as e:
      errors.append(errno.errorcode[e.errno])
      break
os.write(fd, b'{"role":"user","content":"after"}\\n')
print(errors)`;
    expect(await mounted.must(`cd ${at} && python3 - <<'END'\n${program}\nEND`)).toBe(`['EFBIG']\n`);
    expect(await stored(id)).toBe('{"role":"user","content":"after"}\n');
    expect(await stored(id, 'events.jsonl')).toContain('"code":"EFBIG"');
  });

  it('JRN: a caller that goes on after a short count from a copy of its bytes hears of the refusal', async () => {
    const at = await session('long-copied');
    const program = `
import errno, os
fd = os.open("messages.jsonl", os.O_WRONLY | os.O_APPEND)
data = b'{"role":"user","content":"' + bytes(range(97, 123)) * (17 << 20 >> 4) + b'"}\\n'
try:
  while data:
    data = data[os.write(fd, data):]
except OSError as e:
  print(errno.errorcode[e.errno])`;
    expect(await mounted.must(`cd ${at} && python3 - <<'END'\n${program}\nEND`)).toBe('EFBIG\n');
    expect(await stored('long-copied')).toBe('');
  });
});

describe('reading while writers run', () => {
  it('wc, cat, cp -a, tar, rsync, jq and rg see whole lines only, and a prefix of what is written', async () => {
    const at = await session('readers');
    const writer = `for n in $(seq 400); do echo "{\\"role\\":\\"user\\",\\"content\\":\\"line $n\\"}" >> ${at}/messages.jsonl; done`;
    const readers = `
      cd ${at}; d=$(mktemp -d); trap 'rm -rf $d' EXIT
      for round in $(seq 5); do
        cat messages.jsonl | jq -c .content > $d/jq; rg -c role messages.jsonl > $d/rg || true; wc -l < messages.jsonl > $d/wc
        cp -a messages.jsonl $d/cp; jq -c . $d/cp > /dev/null; tar cf $d/t.tar messages.jsonl; tar xOf $d/t.tar | jq -c . > /dev/null
        rsync -a messages.jsonl $d/rs; jq -c . $d/rs > /dev/null
      done; echo fine`;
    const [, read] = await Promise.all([mounted.must(writer), mounted.must(readers)]);
    expect(read).toBe('fine\n');
    expect(await mounted.must(`cd ${at} && wc -l < messages.jsonl && tail -n 1 messages.jsonl | jq -r .content`)).toBe('400\nline 400\n');
  });

  it('tail -f and inotifywait follow appends made through the mount', async () => {
    const at = await session('follow');
    const line = `
      cd ${at}; d=$(mktemp -d)
      tail -f -n +1 messages.jsonl > $d/tail & tail=$!
      inotifywait -e modify messages.jsonl > $d/event 2> $d/said & ino=$!
      trap 'kill $tail $ino 2> /dev/null; rm -rf $d' EXIT
      append() { echo "{\\"role\\":\\"user\\",\\"content\\":\\"$1\\"}" >> messages.jsonl; }
      # A first line shows that tail reads; what comes after it was followed.
      append 1; until [ "$(wc -l < $d/tail)" = 1 ]; do sleep 0.05; done
      until grep -q established $d/said; do sleep 0.05; done; append 2; append 3; wait $ino
      until [ "$(wc -l < $d/tail)" = 3 ]; do sleep 0.05; done; cat $d/event; jq -r .content $d/tail`;
    expect(await mounted.must(line)).toBe('messages.jsonl MODIFY \n1\n2\n3\n');
  });

  it('st_size equals what a read gives, and counts no staged byte', async () => {
    const at = await session('staged');
    const line = `cd ${at}; exec 3>>messages.jsonl; printf '{"role":"user",' >&3; stat -c %s messages.jsonl; wc -c < messages.jsonl; printf '"content":"x"}\\n' >&3; stat -c %s messages.jsonl; wc -c < messages.jsonl`;
    expect(await mounted.must(line)).toBe('0\n0\n30\n30\n');
  });
});

describe('changes made in the backing directory', () => {
  it('a whole line that another process appends there is seen through the mount', async () => {
    const at = await session('outside');
    await mounted.must(`echo '{"role":"user","content":"in"}' >> ${at}/messages.jsonl`);
    const file = join(mounted.store, `home/${process.getuid?.() ?? 0}/agent/coder/session/outside/messages.jsonl`);
    await mounted.must(`echo '{"role":"user","content":"out"}' >> ${file}`);
    expect(await mounted.must(`jq -r .content ${at}/messages.jsonl`)).toBe('in\nout\n');
    await mounted.must(`echo '{"role":"user","content":"again"}' >> ${at}/messages.jsonl`);
    expect(await mounted.must(`jq -r .content ${at}/messages.jsonl`)).toBe('in\nout\nagain\n');
  });
});
