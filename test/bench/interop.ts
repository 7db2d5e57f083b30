// Import and export speed on a large transcript made of the sample, repeated under new ids. Plain figures, printed as JSON.
//   node test/bench/run.mjs test/bench/interop.ts [MEBIBYTES]
import { mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import {
  batchLines,
  exportOpenAiLines,
  exportOriginal,
  fileLines,
  fileSource,
  planImport,
  readImportState,
} from '../../src/interop/index.ts';

const MEBI = 1024 * 1024;
const targetBytes = Number(process.argv[2] ?? 64) * MEBI;
const directory = mkdtempSync(join(tmpdir(), 'ctx-interop-bench-'));
const path = join(directory, 'session.jsonl');
const journals = { messages: join(directory, 'messages.jsonl'), events: join(directory, 'events.jsonl') };

async function seconds(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

try {
  const sample = readFileSync(new URL('../../samples/dockd.jsonl', import.meta.url), 'utf8');
  const out = openSync(path, 'w');
  for (let copy = 0, size = 0; size < targetBytes; copy++)
    size += writeSync(out, sample.replaceAll(/"uuid":"[0-9a-f]{8}/g, `"uuid":"${String(copy).padStart(8, '0')}`));
  closeSync(out);
  const bytes = statSync(path).size;

  let batches = 0;
  const state = await readImportState();
  const planned = await seconds(async () => {
    const files = { messages: openSync(journals.messages, 'a'), events: openSync(journals.events, 'a') };
    for await (const batch of batchLines(planImport(fileSource(path), state))) {
      writeSync(files[batch.file], batch.bytes);
      batches++;
    }
    closeSync(files.messages);
    closeSync(files.events);
  });
  const journalBytes = statSync(journals.messages).size + statSync(journals.events).size;
  let known = state;
  const scanned = await seconds(async () => {
    known = await readImportState(fileLines(journals.messages), fileLines(journals.events));
  });
  let added = 0;
  const again = await seconds(async () => {
    for await (const line of planImport(fileSource(path), known)) added += line.line.length;
  });
  const original = await seconds(async () => {
    for await (const piece of exportOriginal(
      () => fileLines(journals.messages),
      () => fileLines(journals.events),
    ))
      added += piece.length > 0 ? 0 : 1;
  });
  const chat = await seconds(async () => {
    for await (const line of exportOpenAiLines(fileLines(journals.messages))) added += line.length > 0 ? 0 : 1;
  });
  const rate = (duration: number): number => Math.round((bytes / MEBI / duration) * 10) / 10;
  const figures = {
    source_mib: Math.round(bytes / MEBI),
    batches,
    stored_bytes_per_source_byte: Math.round((journalBytes / bytes) * 1000) / 1000,
    added_by_reimport: added,
    import_mib_s: rate(planned),
    read_state_mib_s: rate(scanned),
    reimport_mib_s: rate(again),
    export_original_mib_s: rate(original),
    export_openai_mib_s: rate(chat),
    peak_rss_mib: Math.round(process.resourceUsage().maxRSS / 1024),
  };
  process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
