// What the server says of its model. It names no digest of the weights: their place, size and kind stand for them, and state
// stays in the server that made it.
import { CtxError } from '../../abi/errors.ts';
import { canonicalDigest } from '../fingerprint.ts';
import { countOf, listOf, objectOf, textOf } from '../json-fields.ts';
import type { RemoteServer } from '../remote-server.ts';
import type { Fingerprint, ModelConfig } from '../types.ts';

export interface ServerProperties {
  readonly model: string;
  readonly contextTokens: number;
  readonly fingerprint: Fingerprint;
}

export async function readProperties(server: RemoteServer, signal?: AbortSignal): Promise<ServerProperties> {
  const properties = objectOf(await server.json('GET', '/props', undefined, signal));
  const meta = objectOf(objectOf(listOf(objectOf(await server.json('GET', '/v1/models', undefined, signal))['data'])[0])['meta']);
  const contextTokens = countOf(objectOf(properties['default_generation_settings'])['n_ctx']) ?? countOf(properties['n_ctx']);
  const path = textOf(properties['model_path']) ?? textOf(properties['model_alias']);
  if (contextTokens === undefined || contextTokens === 0 || path === undefined) {
    throw new CtxError('engine.http', 'EIO', 'does not describe a model', {
      where: `${server.base}/props`,
      next: 'check that this is a llama-server that has loaded a model; other servers: --driver openai',
    });
  }
  const model = path.split('/').at(-1) ?? path;
  return {
    model,
    contextTokens,
    fingerprint: {
      driver: 'llama-server',
      server: server.base,
      renderer: 'server',
      chat_template_digest: canonicalDigest(properties['chat_template'] ?? null),
      vocabulary_tokens: countOf(meta['n_vocab']) ?? null,
      quantization: textOf(properties['model_ftype']) ?? textOf(meta['ftype']) ?? null,
      served_model: path,
      served_parameters: countOf(meta['n_params']) ?? null,
      served_bytes: countOf(meta['size']) ?? null,
      model,
      engine: 'llama-server',
      engine_build: textOf(properties['build_info']) ?? null,
      context_tokens: contextTokens,
      trained_context_tokens: countOf(meta['n_ctx_train']) ?? null,
    },
  };
}

/** Given as for an OpenAI-compatible server it is meant all the same. */
export function serverAddress({ url }: ModelConfig): string {
  return (url ?? '').replace(/\/+$/, '').replace(/\/v1$/, '');
}
