// Cuts a byte stream into writes of whole lines. Pure; linear in the bytes, whatever the pieces.

export interface LineBatch {
  /** Whole lines, each with its newline. */
  readonly bytes: Buffer;
  readonly lines: number;
}

/** Runs are at most this long, so that one run is one WRITE; a longer line is a run of its own. */
export const RUN_BYTES: number = 128 * 1024;

/**
 * Runs of lines in order. A line for which `alone` holds, and one longer than RUN_BYTES, is a batch by itself.
 * The last line gets a newline when it has none. What has arrived is passed on before more is awaited.
 */
export async function* lineBatches(source: AsyncIterable<Buffer>, alone: (line: Buffer) => boolean): AsyncGenerator<LineBatch> {
  let pending: Buffer[] = [];
  for await (const piece of source) {
    if (piece.length === 0) continue;
    const end = piece.lastIndexOf(0x0a) + 1;
    if (end === 0) {
      pending.push(piece);
      continue;
    }
    yield* runs(Buffer.concat([...pending, piece.subarray(0, end)]), alone);
    pending = end < piece.length ? [piece.subarray(end)] : [];
  }
  if (pending.length > 0) yield* runs(Buffer.concat([...pending, Buffer.from('\n')]), alone);
}

function* runs(bytes: Buffer, alone: (line: Buffer) => boolean): Generator<LineBatch> {
  let start = 0;
  let lines = 0;
  for (let at = 0; at < bytes.length;) {
    const next = bytes.indexOf(0x0a, at) + 1;
    const single = next - at > RUN_BYTES || alone(bytes.subarray(at, next - 1));
    if (lines > 0 && (single || next - start > RUN_BYTES)) {
      yield { bytes: bytes.subarray(start, at), lines };
      start = at;
      lines = 0;
    }
    lines += 1;
    if (single) {
      yield { bytes: bytes.subarray(start, next), lines };
      start = next;
      lines = 0;
    }
    at = next;
  }
  if (lines > 0) yield { bytes: bytes.subarray(start), lines };
}
