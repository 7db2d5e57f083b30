// The check of a saved sequence state before any native loader sees it: that loader aborts the process on some bad
// files and accepts others in silence, so size, structure, tokens and digest must all hold first.
// Layout (little endian): magic, version, n, tokens[n], streams, cells, cells × (position, sequences, sequence),
// transposed, layers, layers × (type, row bytes, rows), then values by row, or by column when transposed.
import { createHash } from 'node:crypto';
import { fstatSync, readSync } from 'node:fs';
import { CtxError } from '../abi/errors.ts';
import { tokensOf } from './prefix.ts';
import { eachPiece } from './state-seal.ts';
import type { OpenFile } from './state-seal.ts';
import type { KvType } from './types.ts';

export const STATE_MAGIC = 0x67677371;
export const STATE_VERSION = 3;

/** ggml's number of the type; elements and bytes of a block. */
const KV_TYPES: Readonly<Record<KvType, readonly [id: number, elements: number, bytes: number]>> = {
  F32: [0, 1, 4],
  F16: [1, 1, 2],
  BF16: [30, 1, 2],
  Q8_0: [8, 32, 34],
  Q4_0: [2, 32, 18],
};

/** What a state file of one model and configuration looks like. */
export interface StateShape {
  readonly layers: number;
  readonly keyType: number;
  readonly keyRowBytes: number;
  readonly valueType: number;
  readonly valueRowBytes: number;
  /** Values a row; used where they are stored by column. */
  readonly valueRowItems: number;
  /** Without flash attention values are stored by column. */
  readonly transposed: boolean;
  readonly vocabularySize: number;
}

export interface KvGeometry {
  readonly layers: number;
  readonly kvHeads: number;
  readonly keyLength: number;
  readonly valueLength: number;
  readonly vocabularySize: number;
}

export function stateShape(model: KvGeometry, keyType: KvType, valueType: KvType, flashAttention: boolean): StateShape {
  const key = KV_TYPES[keyType];
  const value = KV_TYPES[valueType];
  const row = (items: number, [, elements, bytes]: readonly [number, number, number]): number => (items / elements) * bytes;
  return {
    layers: model.layers,
    keyType: key[0],
    keyRowBytes: row(model.kvHeads * model.keyLength, key),
    valueType: value[0],
    valueRowBytes: row(model.kvHeads * model.valueLength, value),
    valueRowItems: model.kvHeads * model.valueLength,
    transposed: !flashAttention,
    vocabularySize: model.vocabularySize,
  };
}

/** Size of the state of so many tokens; every file of the shape has exactly this size. */
export function stateBytes(shape: StateShape, tokens: number): number {
  return 28 + tokens * stateBytesPerToken(shape) + shape.layers * (12 + 12);
}

export function stateBytesPerToken(shape: StateShape): number {
  return 16 + shape.layers * (shape.keyRowBytes + shape.valueRowBytes);
}

/** Refuses (`engine.state`) a file that is not exactly the state of these tokens in this shape. Reads 16 bytes a token. */
export function checkStateStructure(file: OpenFile, path: string, tokens: Uint32Array, shape: StateShape): void {
  const count = tokens.length;
  const { size } = fstatSync(file.fd);
  if (count === 0) throw refuse(path, 'holds no token');
  if (size !== stateBytes(shape, count)) throw refuse(path, `has ${size} bytes where ${stateBytes(shape, count)} are expected`);
  let at = 28 + count * 16;
  const bytes = Buffer.allocUnsafe(at);
  readWhole(file, path, 0, bytes);
  checkHead(path, tokensOf(bytes) as Uint32Array, tokens, shape);
  const row = Buffer.allocUnsafe(12);
  const eachLayer = (expected: Buffer, rowBytes: number, what: string): void => {
    for (let layer = 0; layer < shape.layers; layer += 1) {
      readWhole(file, path, at, row);
      if (!row.equals(expected)) throw refuse(path, `has ${what} of another type or size in layer ${layer}`);
      at += 12 + count * rowBytes;
    }
  };
  eachLayer(rowHead(shape.keyType, shape.keyRowBytes), shape.keyRowBytes, 'keys');
  eachLayer(valueRowHead(shape), shape.valueRowBytes, 'values');
}

/** `sha256-…` of the whole file. */
export async function digestFile(file: OpenFile, signal?: AbortSignal): Promise<string> {
  signal?.throwIfAborted();
  const digest = createHash('sha256');
  await eachPiece(file, signal, (piece) => void digest.update(piece));
  return `sha256-${digest.digest('hex')}`;
}

/** All that comes before the layers, as words. */
function checkHead(path: string, words: Uint32Array, tokens: Uint32Array, shape: StateShape): void {
  const count = tokens.length;
  const is = (at: number, wanted: number, say: (found: number) => string): void => {
    if (words[at] !== wanted) throw refuse(path, say(words[at] as number));
  };
  is(0, STATE_MAGIC, () => 'is no sequence state');
  is(1, STATE_VERSION, (found) => `has version ${found}, not ${STATE_VERSION}`);
  is(2, count, (found) => `says ${found} tokens where ${count} are expected`);
  for (let index = 0; index < count; index += 1) {
    const token = tokens[index] as number;
    if (words[3 + index] !== token) throw refuse(path, `has other tokens than expected, from ${index} on`);
    if (token >= shape.vocabularySize) throw refuse(path, `has the token ${token}, beyond the vocabulary`);
  }
  const cells = 3 + count;
  is(cells, 1, (found) => `has ${found} streams`);
  is(cells + 1, count, (found) => `has ${found} cells for ${count} tokens`);
  for (let index = 0, at = cells + 2; index < count; index += 1, at += 3) {
    if (words[at] !== index || words[at + 1] !== 1 || words[at + 2] !== 0) throw refuse(path, 'has cells at odd places');
  }
  is(cells + 2 + count * 3, Number(shape.transposed), () => 'stores its values in the other order');
  is(cells + 3 + count * 3, shape.layers, (found) => `has ${found} layers, not ${shape.layers}`);
}

function rowHead(type: number, rowBytes: number): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(type, 0);
  head.writeBigUInt64LE(BigInt(rowBytes), 4);
  return head;
}

function valueRowHead(shape: StateShape): Buffer {
  if (!shape.transposed) return rowHead(shape.valueType, shape.valueRowBytes);
  const head = Buffer.alloc(12);
  head.writeUInt32LE(shape.valueType, 0);
  head.writeUInt32LE(shape.valueRowBytes / shape.valueRowItems, 4);
  head.writeUInt32LE(shape.valueRowItems, 8);
  return head;
}

function readWhole(file: OpenFile, path: string, position: number, into: Buffer): void {
  for (let held = 0; held < into.length;) {
    const bytesRead = readSync(file.fd, into, held, into.length - held, position + held);
    if (bytesRead === 0) throw refuse(path, 'was cut while it was read');
    held += bytesRead;
  }
}

function refuse(path: string, what: string): CtxError {
  return new CtxError('engine.state', 'EINVAL', `the saved state ${what}`, {
    where: path,
    next: 'nothing to do: it is built again from source',
  });
}
