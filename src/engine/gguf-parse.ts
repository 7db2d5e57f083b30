// Reads GGUF values out of a file through a window: strict, bounded, and never past the file's end.
// Large arrays (merges, scores) are digested while they pass and not kept.
import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { CtxError } from '../abi/errors.ts';

const WINDOW = 1 << 20;
const STRING_LIMIT = 1 << 24;
const ARRAY_LIMIT = 1 << 24;
/** Arrays longer than this are kept only where their key is asked for. */
const KEPT_ITEMS = 4096;
const STRING = 8;
const ARRAY = 9;
/** Bytes of the scalar types, by GGUF's number of the type. */
const SCALAR_BYTES: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };

export type GgufScalar = string | number | boolean;
export type GgufValue = GgufScalar | readonly GgufScalar[] | undefined;

/** A value, and the digest of its bytes as they stand in the file. `items` counts an array's elements, kept or not. */
export interface GgufEntry {
  readonly value: GgufValue;
  readonly digest: string;
  readonly items?: number;
}

export class GgufCursor {
  readonly #file: number;
  readonly #path: string;
  readonly size: number;
  #window: Buffer = Buffer.alloc(0);
  #start = 0;
  #at = 0;
  #digest: ReturnType<typeof createHash> | undefined;

  constructor(file: number, path: string, size: number) {
    this.#file = file;
    this.#path = path;
    this.size = size;
  }

  get position(): number {
    return this.#start + this.#at;
  }

  refuse(what: string): never {
    throw new CtxError('engine.model', 'EINVAL', what, {
      where: `${this.#path} at byte ${this.position}`,
      next: 'the file is damaged or no GGUF; fetch it again, or name another with: ctx model add',
    });
  }

  u32(): number {
    return this.take(4, 'a number').readUInt32LE();
  }

  /** Numbers past 2^53 never describe a real file. */
  u64(what: string, limit: number): number {
    const value = this.take(8, what).readBigUInt64LE();
    if (value > BigInt(limit)) this.refuse(`${what} is ${value}, more than ${limit}`);
    return Number(value);
  }

  string(what: string): string {
    const length = this.u64(`length of ${what}`, STRING_LIMIT);
    return this.take(length, what).toString('utf8');
  }

  entry(key: string, keep: boolean): GgufEntry {
    this.#digest = createHash('sha256');
    const type = this.u32();
    const kept = this.#value(key, type, keep);
    const digest = this.#digest.digest('hex');
    this.#digest = undefined;
    return { ...kept, digest };
  }

  #value(key: string, type: number, keep: boolean): { readonly value: GgufValue; readonly items?: number } {
    if (type !== ARRAY) return { value: this.#scalar(key, type) };
    const itemType = this.u32();
    const items = this.u64(`element count of ${key}`, ARRAY_LIMIT);
    if (itemType === ARRAY) this.refuse(`${key} nests arrays`);
    const smallest = itemType === STRING ? 8 : this.#scalarBytes(key, itemType);
    if (items * smallest > this.size - this.position) this.refuse(`${key} says ${items} elements, more than the file holds`);
    const list: GgufScalar[] = [];
    const kept = keep || items <= KEPT_ITEMS;
    for (let index = 0; index < items; index += 1) {
      const value = this.#scalar(key, itemType);
      if (kept) list.push(value);
    }
    return { value: kept ? list : undefined, items };
  }

  #scalarBytes(key: string, type: number): number {
    return SCALAR_BYTES[type] ?? this.refuse(`${key} has the unknown type ${type}`);
  }

  #scalar(key: string, type: number): GgufScalar {
    if (type === STRING) return this.string(key);
    const bytes = this.take(this.#scalarBytes(key, type), key);
    switch (type) {
      case 0:
        return bytes.readUInt8();
      case 1:
        return bytes.readInt8();
      case 2:
        return bytes.readUInt16LE();
      case 3:
        return bytes.readInt16LE();
      case 4:
        return bytes.readUInt32LE();
      case 5:
        return bytes.readInt32LE();
      case 6:
        return bytes.readFloatLE();
      case 7:
        return bytes.readUInt8() !== 0;
      case 10:
        return Number(bytes.readBigUInt64LE());
      case 11:
        return Number(bytes.readBigInt64LE());
      default:
        return bytes.readDoubleLE();
    }
  }

  /** The next bytes; valid until the next call. */
  take(bytes: number, what: string): Buffer {
    if (bytes > this.size - this.position) this.refuse(`the file ends inside ${what}`);
    if (this.#at + bytes > this.#window.length) this.#refill(bytes, what);
    const taken = this.#window.subarray(this.#at, this.#at + bytes);
    this.#at += bytes;
    this.#digest?.update(taken);
    return taken;
  }

  #refill(bytes: number, what: string): void {
    const start = this.position;
    const window = Buffer.allocUnsafe(Math.min(Math.max(WINDOW, bytes), this.size - start));
    let held = 0;
    while (held < window.length) {
      const got = readSync(this.#file, window, held, window.length - held, start + held);
      if (got === 0) this.refuse(`the file was cut while ${what} was read`);
      held += got;
    }
    this.#window = window;
    this.#start = start;
    this.#at = 0;
  }
}
