// Figures of the journal room, printed as JSON. Run: `node dist/test/bench/journal.js [DIRECTORY]` after building it, or with any
// TypeScript runner. Ratios are against a bare write(2) of the same bytes in the same run.
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openHistory, openOrderLog, openSessionJournals, type CommitNote } from '../../src/journal/index.ts';

const root: string = process.argv[2] ?? tmpdir();
const directory = fs.mkdtempSync(join(root, 'ctx-journal-bench-'));
const figures: Record<string, number> = {};

function perSecond(count: number, run: (index: number) => void): number {
  for (let index = 0; index < Math.min(count, 5000); index++) run(index);
  const start = process.hrtime.bigint();
  for (let index = 0; index < count; index++) run(index);
  return Math.round(count / (Number(process.hrtime.bigint() - start) / 1e9));
}

function milliseconds(run: () => void): number {
  const start = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

try {
  const line = Buffer.from(`{"role":"user","content":"${'x'.repeat(172)}"}\n`);
  const bare = fs.openSync(join(directory, 'bare'), 'a');
  figures['bareWritesPerSecond'] = perSecond(200_000, () => fs.writeSync(bare, line, 0, line.length));
  fs.closeSync(bare);

  const session = join(directory, 'session');
  fs.mkdirSync(session);
  const notes: CommitNote[] = [];
  const journals = openSessionJournals(session, { onCommit: (note) => notes.push(note) });
  figures['lineBytes'] = line.length;
  figures['commitsPerSecond'] = perSecond(200_000, () => journals.messages.write('1:a', line));
  figures['commitsToBareRatio'] = round((figures['commitsPerSecond'] ?? 0) / (figures['bareWritesPerSecond'] ?? 1));

  const batch = Buffer.concat(Array.from({ length: 600 }, () => line));
  figures['batchMiBPerSecond'] = round((perSecond(400, () => journals.messages.write('1:a', batch)) * batch.length) / (1 << 20));
  const long = Buffer.from(`{"role":"user","content":"${'y'.repeat(8 << 20)}"}\n`);
  figures['line8MiBIn1MiBPiecesMs'] = round(
    milliseconds(() => {
      for (let at = 0; at < long.length; at += 1 << 20) journals.messages.write('1:a', long.subarray(at, at + (1 << 20)));
    }),
  );
  figures['fsyncMs'] = round(milliseconds(() => journals.messages.fsync()));

  const log = openOrderLog(session);
  const size = journals.messages.sizeBytes;
  figures['orderNotes'] = notes.length;
  const commitMs = milliseconds(() => log.commit(notes));
  figures['orderCommitMiBPerSecond'] = round(size / (1 << 20) / (commitMs / 1000));
  figures['orderRecords'] = log.length;
  figures['orderLiveCommitsPerSecond'] = perSecond(20_000, () => {
    notes.length = 0;
    journals.messages.write('1:a', line);
    log.commit(notes);
  });
  const history = openHistory(session, 'messages.jsonl', log);
  const lines = history.lines;
  figures['lines'] = lines;
  let seed = 1;
  figures['offsetOfLinePerSecond'] = perSecond(5_000, () => history.offsetOfLine(1 + ((seed = (seed * 48271) % 0x7fffffff) % lines)));
  figures['lineOfOffsetPerSecond'] = perSecond(5_000, () => history.lineOfOffset((seed = (seed * 48271) % 0x7fffffff) % size));
  history.close();
  log.close();
  figures['reopenOrderLogMs'] = round(milliseconds(() => openOrderLog(session).close()));
  figures['coldHistoryOpenMs'] = round(
    milliseconds(() => {
      const cold = openHistory(session, 'messages.jsonl');
      figures['coldLines'] = cold.lines;
      cold.close();
    }),
  );
  const child = join(directory, 'child');
  fs.mkdirSync(child);
  figures['forkMs'] = round(milliseconds(() => journals.forkInto(child)));
  figures['historyMiB'] = round(size / (1 << 20));
  journals.close();
  figures['reopenJournalsMs'] = round(milliseconds(() => openSessionJournals(session).close()));
  process.stdout.write(`${JSON.stringify(figures, null, 1)}\n`);
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
