// swap/ and dedup/: indexes over block records; chunks and blobs found again in history when they are read.
import { dedupFold } from '../context/dedup.ts';
import type { DedupState } from '../context/dedup.ts';
import { swapChunks, swapRows } from '../context/swap.ts';
import { BLOCK_LINES } from '../context/types.ts';
import type { BlockRecord } from '../context/types.ts';
import { digestOf } from '../abi/digest.ts';
import type { Content } from '../derive/types.ts';
import type { BlobFiles } from './output-files.ts';
import type { SessionHistory } from './session-history.ts';

export class SwapFiles {
  readonly #history: SessionHistory;
  readonly #blobs: BlobFiles;
  #dedup: { readonly state: DedupState; blocks: number } = { state: dedupFold.initial(), blocks: 0 };

  constructor(history: SessionHistory, blobs: BlobFiles, _cache: string) {
    this.#history = history;
    this.#blobs = blobs;
  }

  /** Rows for everything below the cut: whole blocks, then the part of a block that the cut leaves. */
  index(cut: number, modifiedMs: number): Content {
    let text = '';
    for (const record of this.#below(cut)) text += swapRows(record);
    return this.#blobs.content(text, modifiedMs);
  }

  chunkIds(cut: number): readonly string[] {
    const ids = new Set<string>();
    for (const record of this.#below(cut)) for (const chunk of swapChunks(record)) ids.add(chunk.id);
    return [...ids];
  }

  /** A chunk's bytes are history's own: extents of the segments, nothing copied. */
  chunk(id: string): Omit<Content, 'modifiedMs'> | undefined {
    const lines = this.#history.messages.lines;
    for (const record of this.#below(lines + 1)) {
      for (const chunk of swapChunks(record)) if (chunk.id === id) return this.#range(id, chunk.firstLine, chunk.lastLine);
    }
    for (let line = lines; line >= 1 && line > lines - 4096; line--) {
      if (digestOf(this.#history.messageBytes(line, line)) === id) return this.#range(id, line, line);
    }
    return undefined;
  }

  dedupIndex(modifiedMs: number): Content {
    return this.#blobs.content(dedupFold.text(this.#dedupNow()), modifiedMs);
  }

  blobDigests(): readonly string[] {
    return dedupFold.digests(this.#dedupNow());
  }

  blob(digest: string, modifiedMs: number): Content | undefined {
    const found = dedupFold.find(this.#dedupNow(), digest);
    if (found === undefined) return undefined;
    const { view } = this.#history.lines.at(found.line);
    const result = view.toolResults.find((candidate) => digestOf(candidate.text) === digest);
    return result === undefined ? undefined : this.#blobs.content(result.text, modifiedMs);
  }

  close(): void { /* nothing is held open */ }

  #range(digest: string, first: number, last: number): Omit<Content, 'modifiedMs'> {
    const start = this.#history.messages.offsetOfLine(first);
    const end = this.#history.messages.offsetOfLine(last + 1);
    return { digest, sizeBytes: end - start, extents: this.#history.messages.extents(start, end) };
  }

  *#below(cut: number): Generator<BlockRecord> {
    const whole = Math.min(Math.floor((cut - 1) / BLOCK_LINES), this.#history.blocks.count);
    yield* this.#history.blocks.records(0, whole);
    const first = whole * BLOCK_LINES + 1;
    if (first < cut) yield this.#history.partial(first, cut - 1);
  }

  /** Whole blocks are folded once; the open block is added to a copy-free second look each time it matters. */
  #dedupNow(): DedupState {
    const { blocks } = this.#history;
    for (const record of blocks.records(this.#dedup.blocks, blocks.count)) {
      dedupFold.addBlock(this.#dedup.state, record);
      this.#dedup.blocks += 1;
    }
    return this.#dedup.state;
  }
}
