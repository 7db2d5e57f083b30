// The models that the store of a mount is configured with, and a driver for one of them in this process.
import type { ModelsReply } from '../abi/control.ts';
import { CtxError } from '../abi/errors.ts';
import { defaultModel, findModel, parseModel, type Models } from '../engine/models.ts';
import { openDriver } from '../engine/open-driver.ts';
import type { EngineDriver, ModelConfig } from '../engine/types.ts';
import { ask } from './control-client.ts';
import type { Mounted } from './mounted.ts';
import type { Shell } from './shell.ts';

export type ModelRequest = Parameters<typeof ask>[1] & { readonly verb: `model.${string}` };

export async function askModels(mounted: Mounted, request: ModelRequest): Promise<Models> {
  const reply = (await ask(mounted.root, request)) as ModelsReply;
  return { default: reply.default ?? undefined, models: reply.models.map((model) => parseModel(model, 'model.ls')) };
}

/** The model that is named, or the store's own. */
export async function chosenModel(mounted: Mounted, reference: string | undefined): Promise<ModelConfig> {
  const models = await askModels(mounted, { verb: 'model.ls' });
  const model = reference === undefined || reference === '' ? defaultModel(models) : findModel(models, reference);
  if (model !== undefined) return model;
  throw new CtxError('engine.no_model', 'ENODEV', 'no model is chosen for this store', {
    where: mounted.root,
    next: models.models.length === 0 ? 'run: ctx model add FILE.gguf' : 'run: ctx model use NAME, or give --model NAME',
  });
}

export function driverFor(shell: Shell, model: ModelConfig): EngineDriver {
  return openDriver(model, { environment: shell.env });
}
