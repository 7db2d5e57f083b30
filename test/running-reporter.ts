// What runs now, for a run that is ended from outside (scripts/check ends one that hangs): without it nobody would know which
// test it was. Prints to stderr, and nothing in a run that ends by itself.
import type { Reporter, TestCase, TestModule } from 'vitest/node';

export default class RunningReporter implements Reporter {
  /** Names, with when they began. */
  readonly #running: Map<string, number> = new Map();

  onInit(): void {
    process.once('SIGTERM', () => {
      const now = Date.now();
      for (const [name, startedMs] of this.#running)
        process.stderr.write(`still running after ${Math.round((now - startedMs) / 1000)} s: ${name}\n`);
    });
  }

  onTestModuleStart(module: TestModule): void {
    this.#running.set(module.relativeModuleId, Date.now());
  }

  onTestModuleEnd(module: TestModule): void {
    this.#running.delete(module.relativeModuleId);
  }

  onTestCaseReady(test: TestCase): void {
    this.#running.set(test.fullName, Date.now());
  }

  onTestCaseResult(test: TestCase): void {
    this.#running.delete(test.fullName);
  }
}
