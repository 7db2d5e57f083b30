// tally.mjs STEPS TESTS: prints what failed, then `N passed, N failed, N skipped`. Exit 1 when anything failed, or when
// something was skipped in CI. STEPS holds `passed NAME` or `failed NAME` lines; TESTS is vitest's JSON report.
import { existsSync, readFileSync } from 'node:fs';

const [stepsFile = '', testsFile = ''] = process.argv.slice(2);
const steps = readFileSync(stepsFile, 'utf8').trimEnd().split('\n');
const failed = steps.filter((line) => line.startsWith('failed ')).map((line) => line.slice('failed '.length));
const skipped = [];
let passedCount = steps.length - failed.length;

if (existsSync(testsFile)) {
  let failedTests = 0;
  for (const file of JSON.parse(readFileSync(testsFile, 'utf8')).testResults) {
    // A file that could not be loaded has no tests in the report.
    if (file.status === 'failed' && file.assertionResults.length === 0) failed.push(`${file.name}: ${file.message ?? 'did not load'}`);
    for (const { status, fullName } of file.assertionResults) {
      if (status === 'passed') passedCount += 1;
      else if (status === 'failed') failedTests += failed.push(fullName) > 0 ? 1 : 0;
      else skipped.push(fullName);
    }
  }
  // The run as a step failed because of these tests: they are counted one by one.
  const run = failed.indexOf('test run');
  if (run >= 0 && failed.length > 1 && failedTests > 0) failed.splice(run, 1);
}

const SHOWN = 20;
for (const name of skipped.slice(0, SHOWN)) console.log(`skipped: ${name}`);
if (skipped.length > SHOWN) console.log(`skipped: ${skipped.length - SHOWN} more`);
for (const name of failed) console.log(`failed: ${name}`);
const ci = (process.env.CI ?? '') !== '';
if (ci && skipped.length > 0) console.log('CI accepts no skipped test');
process.exitCode = failed.length > 0 || (ci && skipped.length > 0) ? 1 : 0;
console.log(`${passedCount} passed, ${failed.length} failed, ${skipped.length} skipped`);
