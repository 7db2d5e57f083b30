// models.json of this store, what is known of each model, and how /ctx/model shows it.
import { join } from 'node:path';
import type { ModelsReply } from '../src/abi/control.ts';
import { CtxError } from '../src/abi/errors.ts';
import { readModelFacts } from '../src/engine/gguf.ts';
import { choose } from '../src/engine/llama/describe.ts';
import {
  addModel,
  defaultModel,
  findModel,
  modelId,
  modelJson,
  NO_MODELS,
  parseModel,
  readModels,
  removeModel,
  useModel,
  writeModels,
} from '../src/engine/models.ts';
import type { Models } from '../src/engine/models.ts';
import type { ModelConfig } from '../src/engine/types.ts';
import type { ModelChange, ShownModel } from '../src/tree/engine-client.ts';

/** `unknown`: a server that nobody has asked yet. */
type Health = { readonly state: 'ready' | 'unknown' } | { readonly state: 'error'; readonly error: string };

export class ModelShelf {
  readonly #path: string;
  #models: Models = NO_MODELS;
  /** models.json is not valid: nothing is changed in it before somebody mends it. */
  #broken: CtxError | undefined;
  readonly #health: Map<string, Health> = new Map();
  readonly #limits: Map<string, number> = new Map();

  /** Never fails: what is wrong is shown. */
  constructor(directory: string) {
    this.#path = join(directory, 'models.json');
    try {
      this.#models = readModels(this.#path);
    } catch (error) {
      this.#broken =
        error instanceof CtxError
          ? error
          : new CtxError('engine.models', 'EIO', `cannot be read: ${(error as Error).message}`, { where: this.#path, cause: error });
    }
    for (const model of this.#models.models) this.#examine(model);
  }

  get default(): ModelConfig | undefined {
    return defaultModel(this.#models);
  }

  get broken(): string | undefined {
    return this.#broken?.describe();
  }

  /** KVT-13: a model whose file is no model is refused, and nothing is changed. */
  change(change: ModelChange): ModelsReply {
    if (this.#broken !== undefined) throw this.#broken;
    const next = this.#changed(change);
    if (next !== this.#models) {
      writeModels(this.#path, next);
      this.#models = next;
      for (const id of this.#health.keys())
        if (!next.models.some((model) => modelId(model) === id)) for (const map of [this.#health, this.#limits]) map.delete(id);
    }
    return { default: next.default ?? null, models: next.models.map(modelJson) };
  }

  #changed(change: ModelChange): Models {
    switch (change.op) {
      case 'ls':
        return this.#models;
      case 'use': {
        const next = useModel(this.#models, change.model);
        this.#examine(findModel(next, change.model));
        return next;
      }
      case 'rm':
        return removeModel(this.#models, change.model);
      case 'add': {
        const model = parseModel(change.model);
        const limit = limitOf(model);
        const id = modelId(model);
        this.#health.set(id, { state: model.driver === 'llama' ? 'ready' : 'unknown' });
        if (limit === undefined) this.#limits.delete(id);
        else this.#limits.set(id, limit);
        return addModel(this.#models, model, change.makeDefault);
      }
    }
  }

  /** How the engine fared with its model. */
  fared(id: string, error: string | undefined, limit?: number): void {
    this.#health.set(id, error === undefined ? { state: 'ready' } : { state: 'error', error });
    if (limit !== undefined) this.#limits.set(id, limit);
  }

  errorOf(id: string): string | undefined {
    const health = this.#health.get(id);
    return health?.state === 'error' ? health.error : undefined;
  }

  shown(): readonly ShownModel[] {
    return this.#models.models.map((model) => {
      const id = modelId(model);
      const health = this.#health.get(id);
      const limit = this.#limits.get(id);
      return {
        provider: model.provider,
        name: model.name,
        files: {
          id: `${id}\n`,
          driver: `${model.driver}\n`,
          limit: `${limit ?? 'unknown'}\n`,
          status: `${health?.state === 'error' ? `error: ${health.error}` : (health?.state ?? 'unknown')}\n`,
          'config.json': `${JSON.stringify(modelJson(model), null, 2)}\n`,
        },
      };
    });
  }

  #examine(model: ModelConfig): void {
    const id = modelId(model);
    try {
      const limit = limitOf(model);
      if (limit !== undefined) this.#limits.set(id, limit);
      this.#health.set(id, { state: model.driver === 'llama' ? 'ready' : 'unknown' });
    } catch (error) {
      this.#health.set(id, { state: 'error', error: error instanceof CtxError ? error.describe() : String(error) });
    }
  }
}

/** Tokens of context. Reads a local model's header, and fails as it does; no server is asked. */
function limitOf(model: ModelConfig): number | undefined {
  if (model.driver !== 'llama' || model.path === undefined) return model.contextTokens;
  const facts = readModelFacts(model.path);
  if (facts.chatTemplate === undefined)
    throw new CtxError('engine.template', 'EOPNOTSUPP', 'the model carries no chat template', {
      where: model.path,
      next: 'use an instruction-tuned model',
    });
  return choose(model, facts, 1).contextTokens;
}
