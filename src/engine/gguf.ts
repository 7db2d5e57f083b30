// A model file's header: what the fingerprint and the check of saved state need to know, and nothing that trusts the file.
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { CtxError } from '../abi/errors.ts';
import { GgufCursor } from './gguf-parse.ts';
import type { GgufEntry, GgufScalar, GgufValue } from './gguf-parse.ts';

const MAGIC = 0x46554747;
const [ENTRY_LIMIT, TENSOR_LIMIT, DIMENSION_LIMIT] = [4096, 65_536, 4];
const KEPT_KEYS: ReadonlySet<string> = new Set(['tokenizer.ggml.tokens', 'tokenizer.ggml.token_type']);

/** Elements and bytes of one block, by ggml's number of the type. */
const BLOCKS: Readonly<Record<number, readonly [elements: number, bytes: number]>> = {
  0: [1, 4],
  1: [1, 2],
  2: [32, 18],
  3: [32, 20],
  6: [32, 22],
  7: [32, 24],
  8: [32, 34],
  9: [32, 36],
  10: [256, 84],
  11: [256, 110],
  12: [256, 144],
  13: [256, 176],
  14: [256, 210],
  15: [256, 292],
  16: [256, 66],
  17: [256, 74],
  18: [256, 98],
  19: [256, 50],
  20: [32, 18],
  21: [256, 110],
  22: [256, 82],
  23: [256, 136],
  24: [1, 1],
  25: [1, 2],
  26: [1, 4],
  27: [1, 8],
  28: [1, 8],
  29: [256, 56],
  30: [1, 2],
  34: [256, 54],
  35: [256, 66],
  39: [32, 17],
};

/** Plain causal attention with one position a token: saved state can be cut at any token. */
const ARCHITECTURES: ReadonlySet<string> = new Set([
  'llama',
  'qwen2',
  'qwen3',
  'qwen2moe',
  'qwen3moe',
  'granite',
  'olmo2',
  'internlm2',
  'smollm3',
]);

export interface ModelFacts {
  readonly path: string;
  readonly bytes: number;
  readonly name: string;
  readonly architecture: string;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly keyLength: number;
  readonly valueLength: number;
  readonly vocabularySize: number;
  readonly trainedContext: number;
  readonly fileType: number;
  /** The metadata under `<architecture>.rope.`, by what follows. */
  readonly rope: Readonly<Record<string, GgufValue>>;
  /** `gpt2`: byte-level BPE; `llama`: SentencePiece. */
  readonly tokenizerModel: string;
  readonly bosToken: number | undefined;
  readonly eosToken: number | undefined;
  readonly chatTemplate: string | undefined;
  readonly tokens: readonly string[];
  readonly tokenTypes: readonly number[];
  /** Hex sha256: tokens and their kinds; everything of `tokenizer.*` but the template; the template; all of the header. */
  readonly vocabularyDigest: string;
  readonly tokenizerDigest: string;
  readonly chatTemplateDigest: string;
  readonly headerDigest: string;
}

/** Reads and checks the header; a file that is truncated, foreign or hostile is `engine.model`. Cost: the header's bytes. */
export function readModelFacts(path: string): ModelFacts {
  const file = open(path);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw model(path, 'is not a file', 'name a GGUF file');
    const cursor = new GgufCursor(file, path, stat.size);
    if (stat.size < 24 || cursor.u32() !== MAGIC) throw model(path, 'is no GGUF file', 'name a GGUF file with: ctx model add');
    return parse(cursor, path);
  } finally {
    closeSync(file);
  }
}

/** Refuses models whose saved state this project cannot promise to restore: sliding windows, recurrent layers, several files. */
function requireCompilable(facts: ModelFacts, entries: ReadonlyMap<string, GgufEntry>): void {
  const refuse = (what: string): never => {
    throw new CtxError('engine.unsupported', 'EOPNOTSUPP', what, {
      where: facts.path,
      next: `use a model with plain attention (${[...ARCHITECTURES].join(', ')})`,
    });
  };
  const value = (key: string): unknown => entries.get(`${facts.architecture}.${key}`)?.value;
  if (Number(entries.get('split.count')?.value ?? 0) > 1) refuse('the model is split into several files; merge them into one');
  if (Number(value('attention.sliding_window') ?? 0) > 0) refuse('the model attends through a sliding window, whose state is not saved');
  for (const key of entries.keys())
    if (/\.(ssm|wkv|shortconv)\./.test(key)) refuse('the model has recurrent layers, whose state is not saved');
  if (value('rope.dimension_sections') !== undefined) refuse('the model has more than one position a token');
  if (!ARCHITECTURES.has(facts.architecture)) refuse(`the architecture '${facts.architecture}' is not one whose saved state was verified`);
}

function open(path: string): number {
  try {
    // O_NONBLOCK: a named pipe must not hold the caller.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const missing = code === 'ENOENT';
    throw new CtxError('engine.model', missing ? 'ENOENT' : 'EACCES', missing ? 'does not exist' : `cannot be read (${code})`, {
      where: path,
      next: 'name a GGUF file with: ctx model add',
      cause: error,
    });
  }
}

function parse(cursor: GgufCursor, path: string): ModelFacts {
  const version = cursor.u32();
  if (version !== 2 && version !== 3) cursor.refuse(`GGUF version ${version} is not known`);
  const tensors = cursor.u64('the tensor count', TENSOR_LIMIT);
  const count = cursor.u64('the metadata count', ENTRY_LIMIT);
  const entries = new Map<string, GgufEntry>();
  for (let index = 0; index < count; index += 1) {
    const key = cursor.string('a metadata key');
    if (!/^[ -~]{1,512}$/.test(key) || entries.has(key))
      cursor.refuse(`the metadata key ${JSON.stringify(key.slice(0, 80))} is odd or doubled`);
    entries.set(key, cursor.entry(key, KEPT_KEYS.has(key)));
  }
  checkTensors(cursor, tensors, number(entries, 'general.alignment') ?? 32);
  const facts = factsOf(cursor, path, entries);
  requireCompilable(facts, entries);
  return facts;
}

function checkTensors(cursor: GgufCursor, count: number, alignment: number): void {
  if (alignment < 8 || alignment > 4096 || (alignment & (alignment - 1)) !== 0)
    cursor.refuse(`the alignment ${alignment} is not a power of two`);
  let end = 0;
  const names = new Set<string>();
  for (let index = 0; index < count; index += 1) {
    const name = cursor.string('a tensor name');
    if (names.has(name)) cursor.refuse(`the tensor ${name} is there twice`);
    names.add(name);
    const dimensions = cursor.u32();
    if (dimensions < 1 || dimensions > DIMENSION_LIMIT) cursor.refuse(`the tensor ${name} has ${dimensions} dimensions`);
    let elements = 1;
    let width = 1;
    for (let axis = 0; axis < dimensions; axis += 1) {
      const length = cursor.u64(`a dimension of ${name}`, 2 ** 40);
      if (axis === 0) width = length;
      elements *= length;
    }
    const type = cursor.u32();
    const block = BLOCKS[type] ?? cursor.refuse(`the tensor ${name} has the unknown type ${type}`);
    const offset = cursor.u64(`the offset of ${name}`, Number.MAX_SAFE_INTEGER);
    if (elements < 1 || elements > 2 ** 44 || width % block[0] !== 0 || offset % alignment !== 0)
      cursor.refuse(`the tensor ${name} is misshapen`);
    end = Math.max(end, offset + (elements / block[0]) * block[1]);
  }
  const start = Math.ceil(cursor.position / alignment) * alignment;
  if (start + end > cursor.size) cursor.refuse(`the file is cut short: its tensors need ${start + end} bytes, it has ${cursor.size}`);
}

function factsOf(cursor: GgufCursor, path: string, entries: ReadonlyMap<string, GgufEntry>): ModelFacts {
  const need = (value: unknown, key: string): number => {
    const found = typeof value === 'number' && Number.isSafeInteger(value) && value >= 1 && value < 2 ** 31;
    return found ? value : cursor.refuse(`the metadata says no ${key}`);
  };
  const architecture = entries.get('general.architecture')?.value;
  if (typeof architecture !== 'string' || !/^[a-z0-9._-]{1,64}$/i.test(architecture)) cursor.refuse('the metadata names no architecture');
  const own = (key: string): number | undefined => number(entries, `${architecture}.${key}`);
  const heads = need(own('attention.head_count'), `${architecture}.attention.head_count`);
  const embedding = need(own('embedding_length'), `${architecture}.embedding_length`);
  const tokens = entries.get('tokenizer.ggml.tokens')?.value;
  if (!Array.isArray(tokens) || tokens.length === 0) cursor.refuse('the file carries no vocabulary');
  const types = entries.get('tokenizer.ggml.token_type')?.value;
  const chatTemplate = entries.get('tokenizer.chat_template')?.value;
  const template = typeof chatTemplate === 'string' ? chatTemplate : undefined;
  const name = entries.get('general.name')?.value;
  return {
    path,
    bytes: cursor.size,
    name: typeof name === 'string' ? name : '',
    architecture,
    layers: need(own('block_count'), `${architecture}.block_count`),
    heads,
    kvHeads: kvHeadsOf(cursor, entries, architecture) ?? heads,
    keyLength: own('attention.key_length') ?? Math.floor(embedding / heads),
    valueLength: own('attention.value_length') ?? Math.floor(embedding / heads),
    vocabularySize: tokens.length,
    trainedContext: need(own('context_length'), `${architecture}.context_length`),
    fileType: number(entries, 'general.file_type') ?? -1,
    rope: Object.fromEntries(
      select(entries, (key) => key.startsWith(`${architecture}.rope.`)).map(([key, entry]) => [
        key.slice(architecture.length + 6),
        entry.value,
      ]),
    ),
    tokenizerModel: String(entries.get('tokenizer.ggml.model')?.value ?? ''),
    bosToken: number(entries, 'tokenizer.ggml.bos_token_id'),
    eosToken: number(entries, 'tokenizer.ggml.eos_token_id'),
    chatTemplate: template,
    tokens: tokens as readonly string[],
    tokenTypes: Array.isArray(types) ? (types as readonly number[]) : [],
    vocabularyDigest: digestEntries(select(entries, (key) => KEPT_KEYS.has(key))),
    tokenizerDigest: digestEntries(select(entries, (key) => key.startsWith('tokenizer.') && !key.startsWith('tokenizer.chat_template'))),
    chatTemplateDigest: createHash('sha256')
      .update(template ?? '')
      .digest('hex'),
    headerDigest: digestEntries(select(entries, () => true)),
  };
}

// One number for every layer, or one for each: these must agree, or rows of saved state have several sizes.
function kvHeadsOf(cursor: GgufCursor, entries: ReadonlyMap<string, GgufEntry>, architecture: string): number | undefined {
  const value = entries.get(`${architecture}.attention.head_count_kv`)?.value;
  const list: readonly GgufScalar[] = Array.isArray(value) ? value : value === undefined ? [] : [value as GgufScalar];
  const first = list[0];
  if (first === undefined) return undefined;
  if (typeof first !== 'number' || first < 1 || list.some((each) => each !== first))
    cursor.refuse('the layers have different numbers of K/V heads');
  return first as number;
}

function select(entries: ReadonlyMap<string, GgufEntry>, wanted: (key: string) => boolean): [string, GgufEntry][] {
  return [...entries].filter(([key]) => wanted(key)).sort(([a], [b]) => (a < b ? -1 : 1));
}

function digestEntries(list: readonly [string, GgufEntry][]): string {
  return createHash('sha256')
    .update(JSON.stringify(list.map(([key, entry]) => [key, entry.digest])))
    .digest('hex');
}

function number(entries: ReadonlyMap<string, GgufEntry>, key: string): number | undefined {
  const value = entries.get(key)?.value;
  return typeof value === 'number' ? value : undefined;
}

function model(where: string, what: string, next: string): CtxError {
  return new CtxError('engine.model', 'EINVAL', what, { where, next });
}
