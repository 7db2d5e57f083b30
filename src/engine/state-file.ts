// The check of a saved sequence state before any native loader sees it: that loader aborts the process on some bad
// files and accepts others in silence, so size, structure, tokens and digest must all hold first.
// Layout (little endian): magic, version, n, tokens[n], streams, cells, cells × (position, sequences, sequence),
// transposed, layers, layers × (type, row bytes, rows), then values by row, or by column when transposed.
import { createHash } from 'node:crypto';
import { fstatSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { CtxError } from '../abi/errors.ts';
import { tokenBytes } from './prefix.ts';
import { eachPiece } from './state-seal.ts';
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
export function checkStateStructure(file: FileHandle, path: string, tokens: Uint32Array, shape: StateShape): void {
  const count = tokens.length;
  const { size } = fstatSync(file.fd);
  if (count === 0) throw refuse(path, 'holds no token');
  if (size !== stateBytes(shape, count)) throw refuse(path, `has ${size} bytes where ${stateBytes(shape, count)} are expected`);
  const head = read(file, path, 0, 12 + count * 4);
  const tail = 12 + count * 4;
  const cells = read(file, path, tail, 8 + count * 12 + 8);
  checkHead(path, head, tokens, shape);
  checkCells(path, cells, count, shape);
  let at = tail + cells.length;
  for (let layer = 0; layer < shape.layers; layer += 1) {
    const row = read(file, path, at, 12);
    const agrees = row.readUInt32LE(0) === shape.keyType && row.readBigUInt64LE(4) === BigInt(shape.keyRowBytes);
    if (!agrees) throw refuse(path, `has keys of another type or size in layer ${layer}`);
    at += 12 + count * shape.keyRowBytes;
  }
  const valueHead = valueRowHead(shape);
  for (let layer = 0; layer < shape.layers; layer += 1) {
    const row = read(file, path, at, 12);
    if (!row.equals(valueHead)) throw refuse(path, `has values of another type or size in layer ${layer}`);
    at += 12 + count * shape.valueRowBytes;
  }
}

/** `sha256-…` of the whole file; every piece is shown to `also`. */
export async function digestFile(file: FileHandle, signal?: AbortSignal, also?: (piece: Uint8Array) => void): Promise<string> {
  const digest = createHash('sha256');
  await eachPiece(file, signal, (piece) => {
    digest.update(piece);
    also?.(piece);
  });
  return `sha256-${digest.digest('hex')}`;
}

function checkHead(path: string, head: Buffer, tokens: Uint32Array, shape: StateShape): void {
  if (head.readUInt32LE(0) !== STATE_MAGIC) throw refuse(path, 'is no sequence state');
  if (head.readUInt32LE(4) !== STATE_VERSION) throw refuse(path, `has version ${head.readUInt32LE(4)}, not ${STATE_VERSION}`);
  if (head.readUInt32LE(8) !== tokens.length) throw refuse(path, `says ${head.readUInt32LE(8)} tokens where ${tokens.length} are expected`);
  if (!tokenBytes(tokens).equals(head.subarray(12))) {
    const at = tokens.findIndex((token, index) => head.readUInt32LE(12 + index * 4) !== token);
    throw refuse(path, `has other tokens than expected, from ${at} on`);
  }
  const unknown = tokens.find((token) => token >= shape.vocabularySize);
  if (unknown !== undefined) throw refuse(path, `has the token ${unknown}, beyond the vocabulary`);
}

function checkCells(path: string, cells: Buffer, count: number, shape: StateShape): void {
  if (cells.readUInt32LE(0) !== 1) throw refuse(path, `has ${cells.readUInt32LE(0)} streams`);
  if (cells.readUInt32LE(4) !== count) throw refuse(path, `has ${cells.readUInt32LE(4)} cells for ${count} tokens`);
  const plain = new Uint32Array(count * 3);
  for (let index = 0; index < count; index += 1) {
    plain[index * 3] = index;
    plain[index * 3 + 1] = 1;
  }
  const at = 8 + count * 12;
  if (!tokenBytes(plain).equals(cells.subarray(8, at))) throw refuse(path, 'has cells at odd places');
  if (cells.readUInt32LE(at) !== Number(shape.transposed)) throw refuse(path, 'stores its values in the other order');
  if (cells.readUInt32LE(at + 4) !== shape.layers) throw refuse(path, `has ${cells.readUInt32LE(at + 4)} layers, not ${shape.layers}`);
}

function valueRowHead(shape: StateShape): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(shape.valueType, 0);
  if (shape.transposed) {
    head.writeUInt32LE(shape.valueRowBytes / shape.valueRowItems, 4);
    head.writeUInt32LE(shape.valueRowItems, 8);
  } else {
    head.writeBigUInt64LE(BigInt(shape.valueRowBytes), 4);
  }
  return head;
}

function read(file: FileHandle, path: string, position: number, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  for (let held = 0; held < bytes;) {
    const bytesRead = readSync(file.fd, buffer, held, bytes - held, position + held);
    if (bytesRead === 0) throw refuse(path, 'was cut while it was read');
    held += bytesRead;
  }
  return buffer;
}

function refuse(path: string, what: string): CtxError {
  return new CtxError('engine.state', 'EINVAL', `the saved state ${what}`, {
    where: path,
    next: 'nothing to do: it is built again from source',
  });
}
