// A journal of an image, read as the ranges of blobs that it is made of.
import { open } from 'node:fs/promises';
import type { ImageConfig } from './config.ts';
import { sizeOf, stretchesOf } from './layers.ts';
import type { ImageStore } from './layout-store.ts';
import { invalid } from './oci.ts';
import type { JournalSide } from './transcript-diff.ts';

export function journalOfImage(store: ImageStore, config: ImageConfig, of: 'messages' | 'events'): JournalSide {
  const stretches = stretchesOf(config.layers, of);
  return {
    bytes: sizeOf(stretches),
    lines: config.continuation[of],
    stretches,
    async read(offset, bytes) {
      const pieces: Buffer[] = [];
      let start = 0;
      for (const { digest, size } of stretches) {
        const from = Math.max(0, offset - start);
        const to = Math.min(size, offset + bytes - start);
        start += size;
        if (from < to) pieces.push(await readRange(store.blobPath(digest), from, to - from, digest));
      }
      return Buffer.concat(pieces);
    },
  };
}

async function readRange(path: string, offset: number, bytes: number, where: string): Promise<Buffer> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw invalid(where, 'is not in the store', cause);
  });
  try {
    const piece = Buffer.allocUnsafe(bytes);
    const { bytesRead } = await file.read(piece, 0, bytes, offset);
    if (bytesRead < bytes) throw invalid(where, `is ${offset + bytesRead} bytes, and less than its image says`);
    return piece;
  } finally {
    await file.close();
  }
}
