// The checks themselves: a check that cannot fail proves nothing.
import { mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { ROOT, runProgram, type Outcome } from './program.ts';

const test = (fullName: string, status: string): object => ({ fullName, status });
const report = (...assertionResults: object[]): string =>
  JSON.stringify({ testResults: [{ name: 'a.test.ts', status: 'passed', assertionResults }] });

async function place(files: Readonly<Record<string, string>>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'check-'));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(directory, name, '..'), { recursive: true });
    await writeFile(join(directory, name), text);
  }
  await symlink(`${ROOT}node_modules`, join(directory, 'node_modules'));
  return directory;
}

async function tally(steps: string, tests: string, ci: string): Promise<Outcome> {
  const cwd = await place({ steps, 'tests.json': tests });
  return runProgram(process.execPath, [`${ROOT}scripts/lib/tally.mjs`, 'steps', 'tests.json'], { cwd, env: { CI: ci } });
}

async function spec(files: Readonly<Record<string, string>>): Promise<Outcome> {
  const cwd = await place(files);
  return runProgram(process.execPath, [`${ROOT}scripts/lib/spec.mjs`, 'tests.json'], { cwd });
}

const requirement = (change: object): string =>
  JSON.stringify([{ id: 'ABC-1', level: 'MUST', text: 't', source: 'design', tests: ['the law'], ...change }]);

describe('the last line of scripts/test', () => {
  it('counts tests and steps, and passes when nothing failed', async () => {
    const { code, stdout } = await tally('passed build\npassed test run\n', report(test('a', 'passed'), test('b', 'passed')), '1');
    expect([code, stdout]).toEqual([0, '4 passed, 0 failed, 0 skipped\n']);
  });

  it('a failed test fails the run and is named', async () => {
    const { code, stdout } = await tally('passed build\nfailed test run\n', report(test('a', 'passed'), test('b', 'failed')), '');
    expect([code, stdout]).toEqual([1, 'failed: b\n2 passed, 1 failed, 0 skipped\n']);
  });

  it('a failed step, and a test run that failed without a failed test, fail the run', async () => {
    const lint = await tally('failed lint\npassed test run\n', report(test('a', 'passed')), '');
    const teardown = await tally('passed build\nfailed test run\n', report(test('a', 'passed')), '');
    expect([lint.code, lint.stdout]).toEqual([1, 'failed: lint\n2 passed, 1 failed, 0 skipped\n']);
    expect([teardown.code, teardown.stdout]).toEqual([1, 'failed: test run\n2 passed, 1 failed, 0 skipped\n']);
  });

  it('a test file that does not load fails the run', async () => {
    const broken = JSON.stringify({
      testResults: [{ name: 'x.test.ts', status: 'failed', message: 'no such module', assertionResults: [] }],
    });
    const { code, stdout } = await tally('failed test run\n', broken, '');
    expect(code).toBe(1);
    expect(stdout).toContain('failed: x.test.ts: no such module');
  });

  it('a skipped test is counted, and fails the run in CI', async () => {
    const skipped = report(test('a', 'passed'), test('b', 'pending'));
    const [local, ci] = [await tally('passed build\n', skipped, ''), await tally('passed build\n', skipped, 'true')];
    expect([local.code, ci.code]).toEqual([0, 1]);
    expect(ci.stdout.trimEnd().split('\n').at(-1)).toBe('2 passed, 0 failed, 1 skipped');
  });
});

describe('the specification check', () => {
  const ran = report(test('room the law holds', 'passed'), test('room another', 'failed'));

  it('accepts a MUST whose test passed', async () => {
    const { code, stdout } = await spec({ 'abi-spec/requirements/a.json': requirement({}), 'tests.json': ran });
    expect([code, stdout.trim()]).toEqual([0, '1 requirements, 1 proven by tests that ran; 0 schemas, 0 examples, 0 faults']);
  });

  it.each([
    ['a MUST without a test', { tests: [] }],
    ['a test that did not run', { tests: ['no such test'] }],
    ['a test that failed', { tests: ['another'] }],
    ['a malformed id', { id: 'abc' }],
    ['an unknown level', { level: 'WILL' }],
    ['a missing text', { text: '' }],
  ])('refuses %s', async (_, change) => {
    const { code, stdout } = await spec({ 'abi-spec/requirements/a.json': requirement(change), 'tests.json': ran });
    expect(code).toBe(1);
    expect(stdout).toContain('abi-spec/requirements/a.json');
  });

  it('refuses an id that two rooms use', async () => {
    const files = { 'abi-spec/requirements/a.json': requirement({}), 'abi-spec/requirements/b.json': requirement({}), 'tests.json': ran };
    const { code, stdout } = await spec(files);
    expect(code).toBe(1);
    expect(stdout).toContain('ABC-1 is taken by abi-spec/requirements/a.json');
  });

  it('validates tagged examples against their schemas, JSONL line by line', async () => {
    const schema = JSON.stringify({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      required: ['id'],
      properties: { id: { type: 'string' } },
    });
    const page = (body: string): string => `# page\n\n\`\`\`jsonl schema=row.json\n${body}\n\`\`\`\n`;
    const files = { 'abi-spec/schema/row.schema.json': schema, 'tests.json': ran };
    const good = await spec({ ...files, 'abi-spec/a.md': page('{"id":"1"}\n{"id":"2"}') });
    const bad = await spec({ ...files, 'abi-spec/a.md': page('{"id":"1"}\n{"id":2}') });
    const unknown = await spec({ 'tests.json': ran, 'abi-spec/a.md': page('{}') });
    expect([good.code, bad.code, unknown.code]).toEqual([0, 1, 1]);
    expect(good.stdout).toContain('1 schemas, 2 examples, 0 faults');
  });

  it('refuses a schema that does not compile', async () => {
    const { code } = await spec({ 'abi-spec/schema/x.json': '{"type":"objekt"}', 'tests.json': ran });
    expect(code).toBe(1);
  });
});

it('the npm package holds the program, its documents and the sample, and nothing of the build or the tests', async () => {
  const { stdout } = await runProgram('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: ROOT });
  const files = (JSON.parse(stdout) as { files: { path: string }[] }[])[0]?.files.map(({ path }) => path) ?? [];
  for (const path of [
    'bin/ctx',
    'dist/src/cli/main.js',
    'dist/mount/daemon.js',
    'dist/bundle/mount-daemon.js',
    'samples/dockd.jsonl',
    'abi-spec/README.md',
    'docs/cli.md',
    'LICENSE',
  ])
    expect(files).toContain(path);
  expect(files.filter((path) => /^(test|src|mount|scripts(?!\/engine\/))\/|\/\.|\.py$/.test(path))).toEqual([]);
});

describe('scripts', () => {
  it('an interrupt at the terminal ends them, whatever they wait for', async () => {
    // What is waited for takes an interrupt for its end, as npm does: the script must not go on.
    const waits = `. '${ROOT}scripts/lib/ground.sh'\nbounded 600 bash -c 'trap "exit 0" INT; : >runs; sleep 600 & wait'\necho went on\n`;
    const cwd = await place({ waits });
    const typed = "(until [ -e runs ]; do sleep 0.1; done; printf '\\003')";
    const ended = await runProgram('bash', ['-c', `${typed} | timeout 60 script -qec 'bash waits' /dev/null`], { cwd });
    expect(ended).toMatchObject({ code: 130, stdout: expect.not.stringContaining('went on') as string });
  });
});
