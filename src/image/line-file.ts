// A JSONL file of a source bundle, checked line by line while it is stored: what a session would refuse, a build refuses.
import { CtxError } from '../abi/errors.ts';
import { lineFault } from '../abi/records.ts';
import { DEFAULT_MAX_LINE_BYTES } from '../abi/session-files.ts';
import type { OpenSource } from './bundle.ts';

export interface LineCount {
  lines: number;
  /** Newest time that a line has, RFC 3339. */
  newest: string | undefined;
  /** Up to the last MiB, whole lines. */
  tail: Buffer;
}

const TAIL_BYTES = 1024 * 1024;

/** The file's bytes as they are, with a newline at the end; `count` is filled on the way. Closes the file. */
export async function* checkedLines({ file, path }: OpenSource, journal: 'messages' | 'events', count: LineCount): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of file.createReadStream({ highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const end = bytes.lastIndexOf(10) + 1;
    look(bytes.subarray(0, end), path, journal, count);
    rest = bytes.subarray(end);
    if (rest.length > DEFAULT_MAX_LINE_BYTES) throw refuse(path, count.lines + 1, 'too_long');
    if (end > 0) yield bytes.subarray(0, end);
  }
  if (rest.length === 0) return;
  const last = Buffer.concat([rest, Buffer.from('\n')]);
  look(last, path, journal, count);
  yield last;
}

function look(bytes: Buffer, path: string, journal: 'messages' | 'events', count: LineCount): void {
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(10, start);
    const line = bytes.subarray(start, end);
    count.lines++;
    const fault = end - start + 1 > DEFAULT_MAX_LINE_BYTES ? 'too_long' : lineFault(journal, line);
    if (fault !== undefined) throw refuse(path, count.lines, fault);
    const time = /"(?:time|timestamp|created_at)"\s*:\s*"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,}(?:Z|[+-][0-9]{2}:[0-9]{2}))"/.exec(
      line.toString('latin1'),
    )?.[1];
    if (time !== undefined && !Number.isNaN(Date.parse(time)) && Date.parse(time) > Date.parse(count.newest ?? '0001-01-01T00:00:00Z'))
      count.newest = time;
    start = end + 1;
  }
  const kept = Buffer.concat([count.tail, bytes]);
  if (kept.length <= TAIL_BYTES) count.tail = kept;
  else {
    const from = kept.indexOf(10, kept.length - TAIL_BYTES) + 1;
    count.tail = Buffer.from(kept.subarray(from < kept.length ? from : kept.length));
  }
}

function refuse(path: string, line: number, fault: string): CtxError {
  return new CtxError('image.line', 'EINVAL', `line ${line} could not be a line of a session: ${fault}`, {
    where: path,
    next: 'mend the line (ctx import reads other formats), then build again',
  });
}
