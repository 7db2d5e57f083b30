// What a model and its configuration are, field by field (fingerprint.ts says at which level each binds).
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { arch, cpus } from 'node:os';
import { join } from 'node:path';
import { CtxError } from '../../abi/errors.ts';
import type { ModelFacts } from '../gguf.ts';
import { digestFile, STATE_MAGIC, STATE_VERSION, stateBytesPerToken, stateShape } from '../state-file.ts';
import type { StateShape } from '../state-file.ts';
import type { KvType, ModelConfig, ModelDescription } from '../types.ts';
import { CHUNK_TOKENS } from './evaluation.ts';

const DEFAULT_CONTEXT = 32_768;
// Threads meet at a barrier after each operation and spin there: on a busy machine two took 2 to 5 times the CPU time of one and 2 to 10
// times as long, and a small model gains nothing from the second even on an idle one.
const ONE_THREAD_BELOW_BYTES = 100e6;

/** The configuration with every choice made. */
export interface Choices {
  readonly contextTokens: number;
  readonly keyType: KvType;
  readonly valueType: KvType;
  readonly flashAttention: boolean;
  readonly threads: number;
}

export function choose(config: ModelConfig, facts: ModelFacts, processors: number): Choices {
  const keyType = config.kvKeyType ?? 'F16';
  const valueType = config.kvValueType ?? keyType;
  // Values of a quantized type cannot be stored by column, which is how they are stored without flash attention.
  const quantized = valueType === 'Q8_0' || valueType === 'Q4_0';
  // Without it values lie by column: a restore takes 2.7 times as long, a prefill 1.2 times (F16, processor).
  const flashAttention = config.flashAttention ?? (quantized || config.gpu !== true);
  const refuse = (what: string, next: string): never => {
    throw new CtxError('engine.config', 'EINVAL', what, { where: `${config.provider}/${config.name}`, next });
  };
  if (quantized && !flashAttention)
    refuse(`values of type ${valueType} need flash attention`, 'leave flashAttention out, or choose another type');
  for (const [type, items] of [
    [keyType, facts.keyLength],
    [valueType, facts.valueLength],
  ] as const) {
    if ((type === 'Q8_0' || type === 'Q4_0') && items % 32 !== 0)
      refuse(`heads of ${items} values cannot be stored as ${type}`, 'choose F16');
  }
  const contextTokens = config.contextTokens ?? Math.min(facts.trainedContext, DEFAULT_CONTEXT);
  if (contextTokens > facts.trainedContext) {
    refuse(`the model was trained for ${facts.trainedContext} tokens of context, not ${contextTokens}`, 'configure a smaller context');
  }
  const threads = config.threads ?? (facts.bytes < ONE_THREAD_BELOW_BYTES ? 1 : processors);
  return { contextTokens, keyType, valueType, flashAttention, threads };
}

export function shapeOf(facts: ModelFacts, choices: Choices): StateShape {
  return stateShape(facts, choices.keyType, choices.valueType, choices.flashAttention);
}

export function describeModel(
  config: ModelConfig,
  facts: ModelFacts,
  choices: Choices,
  about: { readonly weightsDigest: string; readonly engine: string; readonly release: string; readonly memoryLimitBytes: number },
): ModelDescription {
  const rope = (key: string): string | number | null => {
    const value = facts.rope[key];
    return typeof value === 'string' || typeof value === 'number' ? value : null;
  };
  const scaling = Object.entries(facts.rope).filter(([key]) => key.startsWith('scaling.') || key.startsWith('scale'));
  return {
    id: `${config.provider}/${config.name}`,
    driver: 'llama',
    contextTokens: choices.contextTokens,
    bytesPerToken: stateBytesPerToken(shapeOf(facts, choices)),
    fingerprint: {
      tokenizer_digest: `sha256-${facts.tokenizerDigest}`,
      vocabulary_digest: `sha256-${facts.vocabularyDigest}`,
      vocabulary_tokens: facts.vocabularySize,
      chat_template_digest: `sha256-${facts.chatTemplateDigest}`,
      renderer: 'jinja-0.5',
      driver: 'llama',
      architecture: facts.architecture,
      weights_digest: about.weightsDigest,
      quantization: facts.fileType,
      lora_digest: null,
      layers: facts.layers,
      kv_heads: facts.kvHeads,
      key_length: facts.keyLength,
      value_length: facts.valueLength,
      rope_dimensions: rope('dimension_count'),
      rope_frequency_base: rope('freq_base'),
      rope_frequency_scale: rope('scale_linear'),
      rope_scaling: scaling.length === 0 ? null : JSON.stringify(scaling),
      kv_key_type: choices.keyType,
      kv_value_type: choices.valueType,
      flash_attention: choices.flashAttention,
      sequences: 1,
      sliding_window: null,
      swa_full_cache: false,
      state_magic: STATE_MAGIC.toString(16),
      state_version: STATE_VERSION,
      model: facts.name,
      engine: about.engine,
      engine_build: about.release,
      cpu: `${arch()} ${cpus()[0]?.model.trim() ?? 'unknown'}`,
      gpu: config.gpu === true,
      threads: choices.threads,
      batch_tokens: CHUNK_TOKENS,
      context_tokens: choices.contextTokens,
      trained_context_tokens: facts.trainedContext,
      memory_limit_bytes: about.memoryLimitBytes,
    },
  };
}

/** Digest of a whole model file, remembered beside the store by the file's identity: hashing costs half a second a gigabyte. */
export async function weightsDigest(path: string, cacheDirectory: string | undefined): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
    const identity = [dev, ino, size, mtimeNs, ctimeNs].join(':');
    const name = createHash('sha256').update(identity).digest('hex').slice(0, 32);
    const memo = cacheDirectory === undefined ? undefined : join(cacheDirectory, `${name}.json`);
    const known = memo === undefined ? undefined : await readMemo(memo, identity);
    if (known !== undefined) return known;
    const digest = await digestFile(file);
    if (memo !== undefined && cacheDirectory !== undefined) await writeMemo(cacheDirectory, memo, { identity, digest });
    return digest;
  } finally {
    await file.close();
  }
}

async function readMemo(path: string, identity: string): Promise<string | undefined> {
  try {
    const memo = JSON.parse(await readFile(path, 'utf8')) as { identity?: unknown; digest?: unknown };
    return memo.identity === identity && typeof memo.digest === 'string' && /^sha256-[0-9a-f]{64}$/.test(memo.digest)
      ? memo.digest
      : undefined;
  } catch {
    return undefined;
  }
}

// A digest that cannot be remembered is only computed again.
async function writeMemo(directory: string, path: string, memo: { readonly identity: string; readonly digest: string }): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeFile(`${path}.${process.pid}`, JSON.stringify(memo));
    await rename(`${path}.${process.pid}`, path);
  } catch {
    return;
  }
}
