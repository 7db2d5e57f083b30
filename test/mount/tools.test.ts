// The programs people use work in ordinary areas of the mount (design section 3). Each is run as they run it, in a child
// process; a program that is not installed is skipped, and says so.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { canMount } from './can-mount.ts';

function installed(...programs: readonly string[]): boolean {
  const missing = programs.filter((program) => {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
  if (missing.length > 0) console.warn(`skipped: ${missing.join(', ')} not installed`);
  return missing.length === 0;
}

describe.runIf(canMount)('programs in ordinary areas', () => {
  let mounted: MountedStore;
  /** Runs bash lines in a fresh directory of an ordinary area; any failing line fails the test. */
  const inArea = async (area: string, name: string, lines: string): Promise<string> => {
    const at = join(mounted.root, area, name);
    await mounted.must(`mkdir '${at}'`);
    return mounted.must(`set -eu\n${lines}`, {
      cwd: at,
      env: { HOME: join(mounted.store, '..'), GIT_CONFIG_NOSYSTEM: '1' },
    });
  };
  const PINNED = 'home/0/agent/coder/session/s/context/pinned';

  beforeAll(async () => {
    mounted = await mountStore('tools');
    await mounted.must(`mkdir shared/x && mkdir -p ${mounted.agents}/coder && mkdir ${mounted.agents}/coder/session/s`);
  });
  afterAll(() => mounted.end());

  for (const area of ['shared/x', PINNED]) {
    test.runIf(installed('git'))(`git: init, commit, branch, merge, gc, clone and worktree in ${area}`, async () => {
      const out = await inArea(
        area,
        'git',
        `
        git init -q -b main repo && cd repo
        git config user.email a@example.org && git config user.name A
        for n in $(seq 40); do echo "line $n" > file$n; done
        git add . && git commit -q -m one
        git checkout -q -b side && echo side >> file1 && git commit -q -am side
        git checkout -q main && echo main >> file2 && git commit -q -am main
        git merge -q -m merge side
        git gc -q && git fsck --strict --no-progress
        git worktree add -q ../tree side && test -f ../tree/file40
        cd .. && git clone -q repo copy && diff -r --exclude=.git repo copy
        cd copy && git status --porcelain && git log --oneline | wc -l && cat file1 file2 | grep -c -e side -e main`,
      );
      expect(out.trim().split('\n')).toEqual(['4', '2']);
    });

    test.runIf(installed('sqlite3'))(`sqlite3: rollback journal and WAL, two writers at once, in ${area}`, async () => {
      const out = await inArea(
        area,
        'sqlite',
        `
        for mode in delete wal; do
          sqlite3 $mode.db "pragma journal_mode=$mode; create table t(w, n)"
          for w in 1 2; do
            for n in $(seq 15); do echo ".timeout 20000
begin immediate; insert into t values($w, $n); commit;"; done | sqlite3 $mode.db &
          done
          wait
          sqlite3 $mode.db "select count(*), count(distinct w || '-' || n) from t; pragma integrity_check"
        done
        sqlite3 wal.db 'pragma wal_checkpoint(truncate); vacuum; pragma journal_mode'`,
      );
      expect(out.trim().split('\n')).toEqual(['delete', '30|30', 'ok', 'wal', '30|30', 'ok', '0|0|0', 'wal']);
    });

    test.runIf(installed('vim'))(`vim: edits and saves, with backup and swap file, in ${area}`, async () => {
      const out = await inArea(
        area,
        'vim',
        `
        printf 'one\\ntwo\\n' > note.md && chmod 640 note.md
        for copy in yes no; do
          vim -es -N -u NONE -c "set backup backupskip= backupcopy=$copy swapfile" -c '%s/o/0/g' -c "normal Go$copy" -c wq note.md || true
        done
        cat note.md; stat -c %a note.md; ls -A`,
      );
      expect(out.trim().split('\n')).toEqual(['0ne', 'tw0', 'yes', 'no', '640', 'note.md', 'note.md~']);
    });
  }

  test.runIf(installed('npm'))('npm install of an offline tarball with a program', async () => {
    const out = await inArea(
      'shared/x',
      'npm',
      `
      mkdir pkg && cd pkg
      echo '{"name":"greet","version":"1.0.0","bin":{"greet":"greet.js"}}' > package.json
      printf '#!/usr/bin/env node\\nconsole.log("hello from greet")\\n' > greet.js
      npm pack --silent >/dev/null
      mkdir ../app && cd ../app && echo '{"name":"app","version":"1.0.0"}' > package.json
      npm install --offline --no-audit --no-fund --silent ../pkg/greet-1.0.0.tgz
      node_modules/.bin/greet && npm ls --json | grep -c '"greet"'`,
    );
    expect(out.trim().split('\n')).toEqual(['hello from greet', '1']);
  });

  test.runIf(installed('rsync', 'tar'))('tar, cp -a and rsync -aHAX keep links, times, modes, holes and names', async () => {
    const out = await inArea(
      'shared/x',
      'copies',
      `
      mkdir -p src/deep/er && cd src
      echo a > file && ln file hard && ln -s file soft && ln -s nowhere dangling && chmod 750 deep
      printf 'x' > 'odd name é' && truncate -s 5M sparse && mkfifo pipe
      find . -exec touch -h -d '2001-02-03 04:05:06 UTC' {} + && touch -d '2001-02-03 04:05:06.789012345 UTC' file
      setfattr -n user.note -v kept file 2>/dev/null || true
      cd .. && mkdir tarred
      tar --format=posix -C src -cSf all.tar . && tar -C tarred -xSpf all.tar
      cp -a src copied
      rsync -aHSX src/ synced/ && rsync -aHSX --itemize-changes src/ synced/
      for copy in tarred copied synced; do
        diff -r --no-dereference src $copy 2>&1 | grep -v 'is a fifo' || true
        test "$(stat -c %i $copy/file)" = "$(stat -c %i $copy/hard)"
        (cd src; find . -printf '%p %y %m %l %s %T@\\n' | grep -v '^\\. ' | sort) > want
        (cd $copy; find . -printf '%p %y %m %l %s %T@\\n' | grep -v '^\\. ' | sort) > have
        cmp want have && echo $copy same
      done`,
    );
    expect(out.trim().split('\n')).toEqual(['tarred same', 'copied same', 'synced same']);
  });

  test('python: mmap, tempfile, shelve and zipfile', async () => {
    const out = await inArea(
      'shared/x',
      'python',
      `python3 - <<'END'
import mmap, os, shelve, tempfile, zipfile
with open('data', 'wb') as file:
    file.write(bytes(1 << 20))
with open('data', 'r+b') as file, mmap.mmap(file.fileno(), 0) as shared:
    shared[123456:123461] = b'hello'
    shared.flush()
    assert os.pread(file.fileno(), 5, 123456) == b'hello'
with tempfile.NamedTemporaryFile(dir='.') as file:
    file.write(b'x' * 100000); file.flush()
    assert os.path.getsize(file.name) == 100000
with tempfile.TemporaryFile(dir='.') as file:
    file.write(b'nameless'); file.seek(0)
    assert file.read() == b'nameless'
with shelve.open('shelf') as shelf:
    shelf['a'] = list(range(100))
with shelve.open('shelf') as shelf:
    assert shelf['a'][-1] == 99
with zipfile.ZipFile('z.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.write('data')
assert zipfile.ZipFile('z.zip').testzip() is None
print('done', sorted(name for name in os.listdir('.') if name.startswith('tmp')))
END`,
    );
    expect(out.trim()).toBe('done []');
  });

  test.runIf(installed('gcc', 'make'))('make and gcc: a build is done once and then up to date', async () => {
    const out = await inArea(
      'shared/x',
      'build',
      `
      printf 'int main(void){return 0;}\\n' > a.c
      printf 'a: a.c\\n\\tgcc -o a a.c && echo built\\n' > Makefile
      make -s && make && ./a && until [ a.c -nt a ]; do touch a.c; done && make -s`,
    );
    expect(out.trim().split('\n')).toEqual(['built', "make: 'a' is up to date.", 'built']);
  });

  test('shell: redirections, here documents, heads and tails, find, grep -r, sort -u, sed -i', async () => {
    const out = await inArea(
      'shared/x',
      'shell',
      `
      seq 1000 > n; seq 1001 2000 >> n; wc -l < n; tail -n 1 n; head -c 4 n | tr '\\n' ' '; echo
      sed -i 's/^1$/first/' n; head -n 1 n; grep -r -c first . ; find . -name 'n*' | sort; sort -ru n > sorted; head -n 1 sorted; rm sorted
      exec 3<> rw; echo hello >&3; exec 3>&-; cat rw; mv rw moved; cp moved copy; cmp moved copy; rm moved copy; ls -A`,
    );
    expect(out.trim().split('\n')).toEqual(['2000', '2000', '1 2 ', 'first', './n:1', './n', 'first', 'hello', 'n']);
  });
});
