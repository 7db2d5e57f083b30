// Redacts one document: every string of JSON (keys, and JSON inside strings, too), or the whole of any other text. What cannot be
// read whole is refused by name (IMG-85). What is encoded (base64, compressed, images) is not looked into.
import { unscannable, type Leaf, type Scanner } from './redact-scan.ts';
import { redactYaml } from './redact-yaml.ts';

const MAX_NESTING = 8;
const COLON = /[ \t\r\n]*:/y;
const MAX_DOCUMENT_BYTES = 256 * 1024 * 1024;
/** Strings that are scanned in one go. */
const BATCH_CHARS = 1024 * 1024;

export type Count = (rule: string) => void;

export async function redactDocument(scanner: Scanner, path: string, bytes: Buffer, count: Count): Promise<Buffer> {
  if (bytes.length > MAX_DOCUMENT_BYTES) throw unscannable(path, `is ${bytes.length} bytes; at most ${MAX_DOCUMENT_BYTES} are scanned`);
  const text = decode(bytes, path);
  if (/\.jsonl$/i.test(path)) return Buffer.concat(await all(redactLines(scanner, path, once(bytes), count)));
  if (/\.json$/i.test(path) || /^\s*[[{]/.test(text)) {
    const document = tryParse(text);
    if (document !== undefined) return Buffer.from(await redactJson(scanner, path, text, count));
    if (/\.json$/i.test(path)) throw unscannable(path, 'is not JSON');
  }
  if (/\.ya?ml$/i.test(path)) return Buffer.from(await redactYaml(scanner, path, text, count));
  return Buffer.from(await redactString(scanner, text, count, path));
}

/** Lines of JSON, each an object of its own; memory for one batch. */
export async function* redactLines(
  scanner: Scanner,
  where: string,
  pieces: AsyncIterable<Uint8Array>,
  count: Count,
): AsyncGenerator<Buffer> {
  let batch: Json[] = [];
  let chars = 0;
  let number = 0;
  const flush = async (): Promise<Buffer> => {
    await scanner.scan(
      batch.flatMap(({ leaves }) => leaves),
      count,
      `${where} ${batch.length > 1 ? `lines ${number - batch.length + 1} to` : 'line'} ${number}`,
    );
    const out = Buffer.from(batch.map((json) => `${json.write()}\n`).join(''));
    batch = [];
    chars = 0;
    return out;
  };
  for await (const line of linesOf(pieces, where)) {
    number++;
    const text = decode(line, `${where} line ${number}`);
    if (text.trim() !== '' && tryParse(text) === undefined) throw unscannable(`${where} line ${number}`, 'is not JSON');
    const json = new Json(text);
    batch.push(json);
    chars += text.length;
    if (chars >= BATCH_CHARS) yield await flush();
  }
  if (batch.length > 0) yield await flush();
}

async function redactJson(scanner: Scanner, where: string, text: string, count: Count): Promise<string> {
  const json = new Json(text);
  for (let at = 0; at < json.leaves.length;) {
    const batch: Leaf[] = [];
    for (let chars = 0; at < json.leaves.length && chars < BATCH_CHARS; at++) {
      const leaf = json.leaves[at] as Leaf;
      batch.push(leaf);
      chars += leaf.value.length;
    }
    await scanner.scan(batch, count, where);
  }
  return json.write();
}

export async function redactString(scanner: Scanner, value: string, count: Count, where: string): Promise<string> {
  const leaf: Leaf = { before: '', value };
  await scanner.scan([leaf], count, where);
  return leaf.redacted ?? value;
}

/** In valid JSON a quote begins and ends a string and nothing else: only those strings change, every other byte stays. */
class Json {
  readonly leaves: Leaf[] = [];
  readonly #text: string;
  readonly #strings: { readonly start: number; readonly end: number; readonly value: string; readonly content: Leaf | Json }[] = [];

  constructor(text: string, nesting = 0) {
    this.#text = text;
    let key: string | undefined;
    for (const match of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"/g)) {
      const end = match.index + match[0].length;
      const value = JSON.parse(match[0]) as string;
      COLON.lastIndex = end;
      const isKey = COLON.test(text);
      const before = key === undefined || isKey ? '' : `${key}="`;
      const content =
        nesting < MAX_NESTING && /^\s*[[{]/.test(value) && tryParse(value) !== undefined ? new Json(value, nesting + 1) : { before, value };
      if (content instanceof Json) for (const leaf of content.leaves) this.leaves.push(leaf);
      else this.leaves.push(content);
      this.#strings.push({ start: match.index, end, value, content });
      // The strings of a list stand behind its key, all of them.
      if (isKey) key = value;
    }
  }

  write(): string {
    let out = '';
    let at = 0;
    for (const { start, end, value, content } of this.#strings) {
      const now = content instanceof Json ? content.write() : (content.redacted ?? value);
      if (now === value) continue;
      out += this.#text.slice(at, start) + JSON.stringify(now);
      at = end;
    }
    return out + this.#text.slice(at);
  }
}

async function* linesOf(pieces: AsyncIterable<Uint8Array>, where: string): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const piece of pieces) {
    let rest = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    for (let newline = rest.indexOf(0x0a); newline >= 0; newline = rest.indexOf(0x0a)) {
      yield Buffer.concat([...held, rest.subarray(0, newline)]);
      held = [];
      heldBytes = 0;
      rest = rest.subarray(newline + 1);
    }
    heldBytes += rest.length;
    if (heldBytes > MAX_DOCUMENT_BYTES) throw unscannable(where, `has a line of more than ${MAX_DOCUMENT_BYTES} bytes`);
    if (rest.length > 0) held.push(rest);
  }
  if (heldBytes > 0) throw unscannable(where, 'ends inside a line');
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes.length > 0 && bytes.at(-1) !== 0x0a ? Buffer.concat([bytes, Buffer.from('\n')]) : bytes;
}

async function all(pieces: AsyncIterable<Buffer>): Promise<readonly Buffer[]> {
  const parts: Buffer[] = [];
  for await (const piece of pieces) parts.push(piece);
  return parts;
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (!text.includes('\u0000')) return text;
  } catch (cause) {
    throw unscannable(where, 'is not UTF-8', cause);
  }
  throw unscannable(where, 'is binary');
}

function tryParse(text: string): object | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
