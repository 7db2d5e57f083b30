// Lines of a journal file, streamed.
import { createReadStream } from 'node:fs';

/** Whole lines without their newlines; a last line without newline counts. */
export async function* fileLines(path: string): AsyncGenerator<string> {
  let pending: Buffer[] = [];
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
    const bytes = chunk as Buffer;
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      if (pending.length > 0) {
        yield Buffer.concat([...pending, bytes.subarray(start, end)]).toString('utf8');
        pending = [];
      } else yield bytes.toString('utf8', start, end);
      start = end + 1;
    }
    if (start < bytes.length) pending.push(bytes.subarray(start));
  }
  if (pending.length > 0) yield Buffer.concat(pending).toString('utf8');
}
