// Our own POSIX suite, written from the man pages: the cases are Python programs in posix/, run by a child process,
// because this process must never wait for a mount. One suite for plain directories, libfuse's examples and our mount.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';

import { runProgram } from '../cli/program.ts';

const RUN = fileURLToPath(new URL('./posix/run.py', import.meta.url));
const LIMIT_MS = 240_000;

export interface Deviations {
  /** Cases that cannot be tried there; each must really be skipped, so that none is lost in silence. */
  readonly skipped?: readonly (string | RegExp)[];
  /** Known limits: cases that fail there. Each must really fail, so that the list stays true. */
  readonly limits?: readonly (string | RegExp)[];
  /** Cases that are not run there at all, and why. */
  readonly notRun?: { readonly why: string; readonly cases: RegExp };
}

interface CaseResult {
  readonly name: string;
  readonly outcome: 'pass' | 'skip' | 'fail' | 'stuck';
  readonly detail?: string;
}

/** Cases that need a second user, for areas that only their owner may enter. */
export const SECOND_USER: readonly string[] = list('--list-second-user');

/** Declares one test for each case. `directory` is asked for when the tests run. */
export function posixSuite(name: string, directory: () => string, deviations: Deviations = {}): void {
  describe(`POSIX: ${name}`, () => {
    const results = new Map<string, CaseResult>();

    beforeAll(async () => {
      const pattern = deviations.notRun === undefined ? '' : `^(?!${deviations.notRun.cases.source})`;
      const { code, stdout, stderr } = await runProgram('python3', [RUN, directory(), pattern], { timeoutMs: LIMIT_MS });
      if (code !== 0) throw new Error(`the suite ended with ${code}: ${stderr}`);
      for (const result of JSON.parse(stdout) as CaseResult[]) results.set(result.name, result);
    }, LIMIT_MS);

    for (const name of list('--list')) {
      const { notRun } = deviations;
      if (notRun !== undefined && new RegExp(`^${notRun.cases.source}`).test(name)) {
        test.skip(`${name} (${notRun.why})`);
        continue;
      }
      test(name, () => {
        const result = results.get(name);
        const wanted = matches(deviations.skipped, name) ? 'skip' : matches(deviations.limits, name) ? 'fail' : 'pass';
        expect(result?.outcome, result?.detail ?? 'it did not run').toBe(wanted);
      });
    }
  });
}

function list(flag: string): readonly string[] {
  return JSON.parse(execFileSync('python3', [RUN, flag], { encoding: 'utf8' })) as string[];
}

function matches(list: readonly (string | RegExp)[] | undefined, name: string): boolean {
  return list?.some((pattern) => (typeof pattern === 'string' ? pattern === name : pattern.test(name))) ?? false;
}
