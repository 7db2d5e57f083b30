// Pulls exact numbers of bytes out of a stream of pieces of any size.

export class ByteSource {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);
  /** Bytes given so far. */
  position = 0;

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** At least one byte and at most `most`; undefined at the end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#held.length === 0) {
      const next = await this.#pieces.next();
      if (next.done === true) return undefined;
      this.#held = next.value;
    }
    const piece = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(piece.length);
    this.position += piece.length;
    return piece;
  }

  /** `count` bytes, or fewer at the end. */
  async take(count: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for (let wanted = count; wanted > 0;) {
      const piece = await this.some(wanted);
      if (piece === undefined) break;
      parts.push(piece);
      wanted -= piece.length;
    }
    return Buffer.concat(parts);
  }

  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}
