// swap/ and dedup/: indexes over block records; chunks and blobs are found again in history when they are read.
// Rows of whole blocks are appended once to a cache file, so an index costs what is new, and an id is found by one search
// through that file.
import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { digestOf, parseDigest } from '../abi/digest.ts';
import { dedupFold } from '../context/dedup.ts';
import type { DedupState } from '../context/dedup.ts';
import { swapChunks, swapRows } from '../context/swap.ts';
import { BLOCK_LINES } from '../context/types.ts';
import type { BlockRecord } from '../context/types.ts';
import type { Content } from '../derive/types.ts';
import type { BlobFiles } from './output-files.ts';
import type { SessionHistory } from './session-history.ts';

export interface LineRange {
  readonly first: number;
  readonly last: number;
}

const SEARCH_BYTES = 4 << 20;
/** Lines looked at one by one for an id that no row has (a partial item of a very small budget names any line). */
const LOOK_BACK_LINES = 4096;

export class SwapFiles {
  readonly #history: SessionHistory;
  readonly #blobs: BlobFiles;
  readonly #path: string;
  #fd: number | undefined;
  /** End of each whole block's rows in the file. */
  #ends: number[] = [];
  /** Digest of the rows of the first `#hashed` blocks. */
  #hash: Hash = createHash('sha256');
  #hashed = 0;
  #dedup: { readonly state: DedupState; blocks: number } = { state: dedupFold.initial(), blocks: 0 };

  #dedupView: { readonly lines: number; readonly state: DedupState } | undefined;

  constructor(history: SessionHistory, blobs: BlobFiles, cache: string) {
    this.#history = history;
    this.#blobs = blobs;
    this.#path = join(cache, 'swap-rows.jsonl');
  }

  /** Rows for everything below the cut: whole blocks, then the part of a block that the cut leaves. */
  index(cut: number, modifiedMs: number): Content {
    const whole = this.#wholeBelow(cut);
    this.#rowsThrough(whole);
    const sizeBytes = whole === 0 ? 0 : (this.#ends[whole - 1] as number);
    this.#hashThrough(whole);
    const first = whole * BLOCK_LINES + 1;
    const rest = first < cut ? swapRows(this.#history.partial(first, cut - 1)) : '';
    const extents = sizeBytes === 0 ? [] : [{ path: this.#path, offsetBytes: 0, sizeBytes }];
    if (rest !== '') extents.push(this.#blobs.put(rest));
    return {
      digest: `sha256-${this.#hash.copy().update(rest).digest('hex')}`,
      sizeBytes: sizeBytes + Buffer.byteLength(rest),
      modifiedMs,
      extents,
    };
  }

  chunkIds(cut: number): readonly string[] {
    const ids = new Set<string>();
    for (const record of this.#below(cut)) for (const chunk of swapChunks(record)) ids.add(chunk.id);
    return [...ids];
  }

  /** A chunk's bytes are history's own: extents of the segments, nothing copied. */
  chunk(id: string): Omit<Content, 'modifiedMs'> | undefined {
    const range = this.chunkRange(id);
    if (range === undefined) return undefined;
    const { messages } = this.#history;
    const start = messages.offsetOfLine(range.first);
    const end = messages.offsetOfLine(range.last + 1);
    const digest = /^sha256-[0-9a-f]{64}$/.test(id) ? id : digestOf(this.#history.messageBytes(range.first, range.last));
    return { digest, sizeBytes: end - start, extents: messages.extents(start, end) };
  }

  /** Lines of a chunk; a short id of at least 8 characters names the first that begins so. */
  chunkRange(id: string): LineRange | undefined {
    const digest = parseDigest(id);
    if (digest === undefined) return undefined;
    const prefix = `sha256-${digest.hex}`;
    const match = (record: BlockRecord): LineRange | undefined => {
      const chunk = swapChunks(record).find((candidate) => candidate.id.startsWith(prefix));
      return chunk === undefined ? undefined : { first: chunk.firstLine, last: chunk.lastLine };
    };
    const { blocks, messages } = this.#history;
    const block = this.#blockWith(`{"id":"${prefix}`);
    if (block !== undefined) return match(blocks.record(block));
    const lines = messages.lines;
    // Below the cut of the current pack a block may be whole in history but cut in the index: its first part has an id too.
    for (const record of this.#openParts()) {
      const found = match(record);
      if (found !== undefined) return found;
    }
    for (let line = lines; line >= 1 && line > lines - LOOK_BACK_LINES; line--) {
      if (digestOf(this.#history.messageBytes(line, line)).startsWith(prefix)) return { first: line, last: line };
    }
    return undefined;
  }

  /** The current cut: where the index ends. */
  cut = 1;

  dedupIndex(modifiedMs: number): Content {
    return this.#blobs.content(dedupFold.text(this.#dedupNow()), modifiedMs);
  }

  blobDigests(): readonly string[] {
    return dedupFold.digests(this.#dedupNow());
  }

  blobReferences(): ReadonlyMap<string, number> {
    return dedupFold.references(this.#dedupNow());
  }

  blob(digest: string, modifiedMs: number): Content | undefined {
    const text = this.blobText(digest);
    return text === undefined ? undefined : this.#blobs.content(text, modifiedMs);
  }

  blobText(digest: string): Buffer | undefined {
    const found = dedupFold.find(this.#dedupNow(), digest);
    if (found === undefined) return undefined;
    const result = this.#history.lines.at(found.line).view.toolResults.find((candidate) => digestOf(candidate.text) === digest);
    return result === undefined ? undefined : Buffer.from(result.text);
  }

  /** The cache file may have been deleted by anyone: it is written again when next needed. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  *#openParts(): Generator<BlockRecord> {
    const { blocks, messages } = this.#history;
    const open = blocks.count * BLOCK_LINES + 1;
    if (open <= messages.lines) yield this.#history.partial(open, messages.lines);
    const first = Math.floor((this.cut - 1) / BLOCK_LINES) * BLOCK_LINES + 1;
    if (first < this.cut) yield this.#history.partial(first, this.cut - 1);
  }

  #wholeBelow(cut: number): number {
    return Math.min(Math.floor((cut - 1) / BLOCK_LINES), this.#history.blocks.count);
  }

  *#below(cut: number): Generator<BlockRecord> {
    const whole = this.#wholeBelow(cut);
    yield* this.#history.blocks.records(0, whole);
    const first = whole * BLOCK_LINES + 1;
    if (first < cut) yield this.#history.partial(first, cut - 1);
  }

  /** Rows of the first `count` blocks are in the file. */
  #rowsThrough(count: number): void {
    if (this.#fd !== undefined && !existsSync(this.#path)) this.close();
    if (this.#fd === undefined) {
      this.#fd = openSync(this.#path, 'a+', 0o600);
      if (fstatSync(this.#fd).size !== (this.#ends.at(-1) ?? 0)) {
        ftruncateSync(this.#fd, 0);
        this.#ends = [];
      }
    }
    let end = this.#ends.at(-1) ?? 0;
    let pending = '';
    const write = (): void => {
      const bytes = Buffer.from(pending);
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fd as number, bytes, at);
      pending = '';
    };
    for (const record of this.#history.blocks.records(this.#ends.length, count)) {
      const rows = swapRows(record);
      pending += rows;
      end += Buffer.byteLength(rows);
      this.#ends.push(end);
      if (pending.length > 1 << 20) write();
    }
    if (pending !== '') write();
  }

  #hashThrough(count: number): void {
    if (count < this.#hashed) {
      this.#hash = createHash('sha256');
      this.#hashed = 0;
    }
    const from = this.#hashed === 0 ? 0 : (this.#ends[this.#hashed - 1] as number);
    const to = count === 0 ? 0 : (this.#ends[count - 1] as number);
    for (const bytes of this.#pieces(from, to)) this.#hash.update(bytes);
    this.#hashed = count;
  }

  /** The whole block that has a row beginning with this text. */
  #blockWith(text: string): number | undefined {
    this.#rowsThrough(this.#history.blocks.count);
    const mark = Buffer.from(text);
    let before = 0;
    for (const bytes of this.#pieces(0, this.#ends.at(-1) ?? 0)) {
      const at = bytes.indexOf(mark);
      if (at >= 0) {
        const offset = before + at;
        let low = 0;
        for (let high = this.#ends.length; low < high;) {
          const middle = (low + high) >>> 1;
          if ((this.#ends[middle] as number) > offset) high = middle;
          else low = middle + 1;
        }
        return low;
      }
      before += bytes.length;
    }
    return undefined;
  }

  /** The file in pieces that end at block boundaries, so that no row is cut. */
  *#pieces(from: number, to: number): Generator<Buffer> {
    for (let at = from; at < to;) {
      let low = 0;
      for (let high = this.#ends.length - 1; low < high;) {
        const middle = (low + high + 1) >>> 1;
        if ((this.#ends[middle] as number) <= at + SEARCH_BYTES) low = middle;
        else high = middle - 1;
      }
      let end = Math.min(to, this.#ends[low] as number);
      if (end <= at) end = Math.min(to, this.#ends[low + 1] ?? to);
      const bytes = Buffer.allocUnsafe(end - at);
      readSync(this.#fd as number, bytes, 0, bytes.length, at);
      yield bytes;
      at = end;
    }
  }

  /** Whole blocks are folded once; the lines of the open block are added to a copy. */
  #dedupNow(): DedupState {
    const { blocks, messages } = this.#history;
    for (const record of blocks.records(this.#dedup.blocks, blocks.count)) {
      dedupFold.addBlock(this.#dedup.state, record);
      this.#dedup.blocks += 1;
    }
    const first = blocks.count * BLOCK_LINES + 1;
    const { lines } = messages;
    if (first > lines) return this.#dedup.state;
    if (this.#dedupView?.lines !== lines) {
      const state = structuredClone(this.#dedup.state);
      dedupFold.addBlock(state, this.#history.partial(first, lines));
      this.#dedupView = { lines, state };
    }
    return this.#dedupView.state;
  }
}
