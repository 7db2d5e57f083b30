// Planned lines as appends: whole lines of one journal, at most 1 MiB a write (a longer line alone).
import type { ImportLine } from './types.ts';

const BATCH_BYTES: number = 1024 * 1024;

export interface Batch {
  readonly file: 'messages' | 'events';
  /** Whole lines with their newlines. */
  readonly bytes: Buffer;
  readonly lines: number;
}

/** INT-7: within a journal the order is the source's. */
export async function* batchLines(
  lines: AsyncIterable<ImportLine> | Iterable<ImportLine>,
  batchBytes: number = BATCH_BYTES,
): AsyncGenerator<Batch> {
  const stages = { messages: { parts: [] as Buffer[], size: 0 }, events: { parts: [] as Buffer[], size: 0 } };
  const take = (file: 'messages' | 'events'): Batch => {
    const stage = stages[file];
    const batch = { file, bytes: Buffer.concat(stage.parts), lines: stage.parts.length };
    stages[file] = { parts: [], size: 0 };
    return batch;
  };
  for await (const { file, line } of lines) {
    const bytes = Buffer.from(`${line}\n`, 'utf8');
    if (stages[file].size > 0 && stages[file].size + bytes.length > batchBytes) yield take(file);
    stages[file].parts.push(bytes);
    stages[file].size += bytes.length;
  }
  if (stages.messages.size > 0) yield take('messages');
  // Events last: the import.source mark says that everything before it is there.
  if (stages.events.size > 0) yield take('events');
}
