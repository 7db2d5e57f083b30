// Ordinary areas behave as POSIX (design section 3): our suite on a plain directory, which shows that the suite is right,
// and on the mount.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';

import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { canMount } from './can-mount.ts';
import { posixSuite, SECOND_USER } from './posix-suite.ts';

const NO_TMPFILE = [/^open: O_TMPFILE /, 'EOPNOTSUPP'] as const;
// Defects of the mount, to be taken off this list as they are mended (a case here must fail).
const DEFECTS: readonly RegExp[] = [];

// Other local filesystems differ from the man pages in corners of their own (overlayfs, 9p): there it proves nothing.
const plainType = execFileSync('stat', ['-f', '-c', '%T', tmpdir()], { encoding: 'utf8' }).trim();
const isOracle = process.geteuid?.() === 0 && ['ext2/ext3', 'xfs'].includes(plainType);
if (!isOracle) console.warn(`the suite is not checked against a plain directory: that needs root and ext4 or xfs, not ${plainType}`);

// Says something about the suite, nothing about ctxfs: where it cannot be said, there is no such test.
if (isOracle)
  describe('the suite itself', () => {
    const directory = mkdtempSync(join(tmpdir(), 'posix-plain-'));
    beforeAll(() => chmod(directory, 0o755));
    afterAll(() => rmSync(directory, { recursive: true }));
    posixSuite('a plain directory', () => directory);
  });

describe.runIf(canMount)('on the mount', () => {
  let mounted: MountedStore;
  beforeAll(async () => {
    mounted = await mountStore('posix');
    await mounted.must(`mkdir shared/x && mkdir -p ${mounted.agents}/coder && mkdir ${mounted.agents}/coder/session/s`);
  });
  afterAll(() => mounted.end());

  posixSuite('shared/NAME', () => join(mounted.root, 'shared/x'), { refused: [NO_TMPFILE], limits: DEFECTS });
  // home/<uid> is mode 0700: a second user never gets there.
  posixSuite('context/pinned of a session', () => join(mounted.agents, 'coder/session/s/context/pinned'), {
    refused: [NO_TMPFILE],
    without: SECOND_USER,
    // The same directories as in shared/NAME, where they are filled in earnest.
    fewer: 10,
    limits: DEFECTS,
  });
});
