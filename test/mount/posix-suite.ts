// Our own POSIX suite, written from the man pages: the cases are Python programs in posix/, run by a child process,
// because this process must never wait for a mount. One suite for plain directories, libfuse's examples and our mount.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';

import { runProgram } from '../cli/program.ts';

const RUN = fileURLToPath(new URL('./posix/run.py', import.meta.url));
// No compiled files beside the sources.
const PYTHON = ['-B'];
const LIMIT_MS = 290_000;

export interface Deviations {
  /** Calls that are refused there as a whole: each such case must meet exactly this errno. */
  readonly refused?: readonly (readonly [cases: RegExp, errno: string])[];
  /** Known limits: cases that fail there. Each must really fail, so that the list stays true. */
  readonly limits?: readonly RegExp[];
  /** Known races: cases that may fail there, and then only with this. */
  readonly sometimes?: readonly (readonly [cases: RegExp, failure: string])[];
  /** Cases that mean nothing there, and so are no tests of that place. */
  readonly without?: readonly string[];
  /** Divides how many names the large-directory cases make. */
  readonly fewer?: number;
}

interface CaseResult {
  readonly name: string;
  /** `pass`, `skip`, `fail`, `stuck`, or the errno of a call that is refused as a whole. */
  readonly outcome: string;
  readonly detail?: string;
}

/** Cases that need a second user, for areas that only their owner may enter. */
export const SECOND_USER: readonly string[] = list('--list-second-user');

/** Declares one test for each case. `directory` is asked for when the tests run. */
export function posixSuite(name: string, directory: () => string, deviations: Deviations = {}): void {
  describe(`POSIX: ${name}`, () => {
    const results = new Map<string, CaseResult>();

    const cases = list('--list').filter((name) => deviations.without?.includes(name) !== true);

    beforeAll(async () => {
      const run = [RUN, directory(), '--cases'];
      const { code, stdout, stderr } = await runProgram('python3', [...PYTHON, ...run], {
        timeoutMs: LIMIT_MS,
        input: JSON.stringify(cases),
        env: { CASE_FEWER: String(deviations.fewer ?? 1) },
      });
      if (code !== 0) throw new Error(`the suite ended with ${code}: ${stderr}`);
      for (const result of JSON.parse(stdout) as CaseResult[]) results.set(result.name, result);
    }, LIMIT_MS);

    for (const name of cases) {
      test(name, () => {
        const result = results.get(name);
        const refused = deviations.refused?.find(([pattern]) => pattern.test(name));
        const limited = deviations.limits?.some((pattern) => pattern.test(name)) === true;
        const race = deviations.sometimes?.find(([pattern]) => pattern.test(name));
        if (race !== undefined && result?.outcome === 'fail') {
          expect(result.detail).toContain(race[1]);
          return;
        }
        expect(result?.outcome, result?.detail ?? 'it did not run').toBe(refused?.[1] ?? (limited ? 'fail' : 'pass'));
      });
    }
  });
}

function list(flag: string): readonly string[] {
  return JSON.parse(execFileSync('python3', [...PYTHON, RUN, flag], { encoding: 'utf8' })) as string[];
}
