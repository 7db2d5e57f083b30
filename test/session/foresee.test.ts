// What is made ready between an answer and the next question: nothing is folded again when that question begins an epoch, and
// no byte of it is another.
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { finish } from '../../src/abi/steps.ts';
import { BlobFiles } from '../../src/session/output-files.ts';
import { PackRun } from '../../src/session/pack-run.ts';
import { SectionFolds } from '../../src/session/section-folds.ts';
import type { SectionHistory } from '../../src/session/section-folds.ts';
import { readContent } from '../../src/session/session-deriver.ts';
import { SessionHistory } from '../../src/session/session-history.ts';
import { services, TestSession } from './session-fixture.ts';

const BUDGET = 6000;
let session: TestSession;
beforeEach(() => {
  session = new TestSession({ 'context/budget': `${BUDGET}\n` });
});
afterEach(async () => session.end());

/** A run of its own over the session's history, which counts how often sections look into that. */
function openRun(name: string): { run: PackRun; history: SessionHistory; looks: () => number; close: () => void } {
  const cache = join(session.root, name);
  const history = new SessionHistory(session.directory, cache, services);
  let looked = 0;
  const counted: SectionHistory = {
    records(from, to) {
      looked += 1;
      return history.records(from, to);
    },
    partial(first, last) {
      looked += 1;
      return history.partial(first, last);
    },
    contributions: () => history.contributions(),
  };
  const blobs = new BlobFiles(join(cache, 'out'));
  const run = new PackRun(
    history,
    new SectionFolds(counted, undefined),
    services,
    { session: 's', agent: 'a' },
    join(cache, 'epochs'),
    blobs,
  );
  const close = (): void => {
    run.close();
    history.close();
  };
  return { run, history, looks: () => looked, close };
}

async function advance({ run, history }: ReturnType<typeof openRun>): Promise<void> {
  history.log.catchUp(session.revision.messagesBytes, session.revision.eventsBytes);
  history.contributionLog.update();
  await history.prepare();
  await run.advance(history.log.length, false);
}

function ask(n: number): void {
  session.append({ role: 'user', content: `What did we say about the parser of module ${n % 7} and its tests?` });
}

function answer(n: number): void {
  session.append({ role: 'assistant', content: `The parser of module ${n % 7} reads ${n} lines. Note: module ${n} is fine. `.repeat(6) });
}

test('DRV-12 after an answer the next epoch’s sections are there: the question that begins it folds nothing', async () => {
  const one = openRun('one');
  let [foreseen, met] = [0, 0];
  for (let n = 0; n < 72; n++) {
    ask(n);
    const before = one.looks();
    const epoch = one.run.epoch;
    await advance(one);
    if (foreseen > 0 && one.run.epoch !== epoch && (one.run.epoch?.cut ?? 1) > 1) {
      expect(one.looks()).toBe(before);
      met += 1;
    }
    foreseen = 0;
    if (n % 24 === 23) {
      // One that begins from nothing, and foresees nothing.
      const other = openRun(`other-${n}`);
      await advance(other);
      for (const name of ['pack.json', 'pack.md', 'prompt.json'] as const)
        expect(readContent(one.run.content(name)).equals(readContent(other.run.content(name)))).toBe(true);
      other.close();
    }
    answer(n);
    await advance(one);
    const steps = one.run.foresee();
    if (steps === undefined) continue;
    finish(steps);
    foreseen = n;
    expect(one.run.foresee()).toBe(undefined);
  }
  expect(met).toBeGreaterThan(1);
  one.close();
});

test('DRV-12 nothing is foreseen in the middle of a turn, nor where there is room for another', async () => {
  const one = openRun('one');
  ask(1);
  answer(1);
  await advance(one);
  expect(one.run.foresee()).toBe(undefined);
  for (let n = 0, full = false; !full; n++) {
    ask(n);
    answer(n);
    await advance(one);
    full = one.run.foresee() !== undefined;
  }
  session.append({ role: 'user', content: 'And now?' });
  await advance(one);
  expect(one.run.foresee()).toBe(undefined);
  one.close();
});
