// ctx model: which models this store may use, and which one compiles. The daemon keeps the list; keys are never in it.
import { realpath, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';

import { readModelFacts } from '../engine/gguf.ts';
import { checkTemplate } from '../engine/llama/check-template.ts';
import { engineDirectory } from '../engine/llama/native.ts';
import { defaultModel, modelId, modelJson, parseModel, type Models } from '../engine/models.ts';
import { probeServer } from '../engine/probe-server.ts';
import type { ModelConfig } from '../engine/types.ts';
import { asCtxError, describeFailure, usageError } from './errors.ts';
import { askModels } from './models-on-mount.ts';
import { requireMount } from './mounted.ts';
import { examples, type Shell } from './shell.ts';

interface AddOptions {
  readonly name?: string;
  readonly provider?: string;
  readonly driver?: string;
  readonly model?: string;
  readonly keyEnv?: string;
  readonly context?: string;
  readonly threads?: string;
  readonly kv?: string;
  readonly gpu?: boolean;
  readonly memory?: string;
  readonly default?: boolean;
  /** `--no-check`: false. */
  readonly check: boolean;
  readonly json?: boolean;
}

export function registerModel(program: Command, shell: Shell): void {
  const model = program.command('model').description('models that compile sessions and answer: add, ls, rm, use');
  model.addHelpText(
    'after',
    examples(
      ['ctx model add qwen.gguf', 'a model file; the first one becomes the default'],
      ['ctx model add http://127.0.0.1:8080 --driver llama-server', 'a server'],
      ['ctx model ls', 'what there is'],
      ['ctx model use qwen', 'the one that compiles'],
    ),
  );
  registerAdd(model, shell);
  model
    .command('ls')
    .description('models, the default one marked')
    .option('--json', 'print an object')
    .action(async (options: { json?: boolean }) => show(shell, await askModels(await requireMount(shell), { verb: 'model.ls' }), options));
  for (const [verb, about] of [
    ['rm', 'forget a model; its compiled state goes with ctx gc'],
    ['use', 'make it the one that compiles'],
  ] as const) {
    model
      .command(verb)
      .description(about)
      .argument('<name>', 'PROVIDER/NAME, or NAME where only one provider has it')
      .option('--json', 'print the models that there are then')
      .action(async (name: string, options: { json?: boolean }) =>
        show(shell, await askModels(await requireMount(shell), { verb: `model.${verb}`, model: name }), options),
      );
  }
}

function registerAdd(model: Command, shell: Shell): void {
  model
    .command('add')
    .description('add a model, or replace the one of that name')
    .argument('<where>', 'a GGUF file, or the address of a server')
    .option('--name <name>', "its name (default: the file's; of a server that of --model, or the driver's)")
    .option('--provider <name>', 'its provider (default: local for a file, the host for a server)')
    .option('--driver <driver>', 'llama for a file; llama-server or openai (the default) for an address')
    .option('--model <name>', "the server's name of the model (openai)")
    .option('--key-env <name>', 'environment variable that holds the key; the key itself is never stored')
    .option('--context <tokens>', 'tokens of context')
    .option('--threads <n>', 'threads that evaluate (default: 1 below 100 MB of weights, else one a processor)')
    .option('--kv <type>', 'type of keys and values: F16 (default), F32, BF16, Q8_0, Q4_0')
    .option('--gpu', 'evaluate on the graphics processor, where the engine has the package for it')
    .option('--memory <MiB>', "the most that the engine's process may take (default: four fifths of the machine's)")
    .option('--default', 'make it the one that compiles')
    .option('--no-check', 'of a server: do not ask it what it is; it may be started later')
    .option('--json', 'print the models that there are then')
    .addHelpText(
      'after',
      examples(
        ['ctx model add ./qwen2.5-7b-q8_0.gguf --context 16384', 'a file'],
        ['ctx model add https://host/v1 --model big --key-env BIG_KEY', 'a server with a key'],
      ),
    )
    .action(async (where: string, options: AddOptions) => {
      const mounted = await requireMount(shell);
      const given = /^https?:\/\//i.test(where) ? serverModel(where, options) : await fileModel(shell, where, options);
      const count = (name: string, text: string | undefined): object => (text === undefined ? {} : { [name]: wholeNumber(name, text) });
      const entry = {
        ...given,
        ...count('context_tokens', options.context),
        ...count('threads', options.threads),
        ...(options.gpu === true ? { gpu: true } : {}),
        ...(options.memory === undefined ? {} : { memory_limit_bytes: wholeNumber('memory', options.memory) * 2 ** 20 }),
        ...(options.kv === undefined ? {} : { kv_key_type: options.kv.toUpperCase(), kv_value_type: options.kv.toUpperCase() }),
      };
      // What is wrong with the entry itself is refused before anybody is asked anything.
      const config = parseModel(entry, `${String(given['provider'])}/${String(given['name'])}`);
      const found = config.driver === 'llama' || !options.check ? undefined : await askServer(shell, config);
      const models = await askModels(mounted, { verb: 'model.add', model: entry, makeDefault: options.default === true });
      show(shell, models, options, config.driver === 'llama' || !options.check ? {} : { found: found ?? null });
    });
}

/** MOD-3: a server that cannot be asked is added all the same, and that it could not is told. */
async function askServer(shell: Shell, config: ModelConfig): Promise<Readonly<Record<string, unknown>> | undefined> {
  const { terminal } = shell;
  try {
    const { model, contextTokens, template, savesState, warnings } = await probeServer(config, { environment: shell.env });
    const said = [
      `found ${model}`,
      `${contextTokens} tokens of context`,
      ...(template === undefined ? [] : [template ? 'its chat template works' : 'its chat template fails']),
      ...(savesState === undefined
        ? []
        : [savesState ? 'it saves compiled state' : 'it saves no compiled state (start it with --slot-save-path DIRECTORY for that)']),
    ];
    terminal.note(`ctx: ${said.join('; ')}`);
    for (const warning of warnings) terminal.note(`ctx: warning: ${warning}`);
    return { model, context_tokens: contextTokens, template: template ?? null, saves_state: savesState ?? null, warnings };
  } catch (error) {
    terminal.note(`ctx: warning: ${describeFailure(error, false)}; it is added all the same, and asked when it is used`);
    return undefined;
  }
}

/** A file that is no model is refused here, before anything is configured. */
async function fileModel(shell: Shell, where: string, options: AddOptions): Promise<Readonly<Record<string, unknown>>> {
  const driver = options.driver ?? 'llama';
  if (driver !== 'llama') throw usageError(`${driver} is for the address of a server`, 'leave --driver out, or give a URL');
  const path = await realpath(where).catch((error: unknown) => {
    throw asCtxError(error, where);
  });
  if (!(await stat(path)).isFile()) throw usageError(`${where} is not a file`);
  await checkTemplate(readModelFacts(path), engineDirectory(shell.env));
  const name = options.name ?? objectName(basename(path).replace(/\.gguf$/i, ''));
  return { provider: options.provider ?? 'local', name, driver, path };
}

function serverModel(where: string, options: AddOptions): Readonly<Record<string, unknown>> {
  const driver = options.driver ?? 'openai';
  if (driver === 'llama') throw usageError('llama is for a file', 'use --driver llama-server or openai');
  if (!URL.canParse(where)) throw usageError(`${where} is not an address`);
  return {
    provider: options.provider ?? objectName(new URL(where).hostname),
    name: options.name ?? objectName(options.model?.split('/').at(-1) ?? driver),
    driver,
    url: where,
    ...(options.model === undefined ? {} : { model: options.model }),
    ...(options.keyEnv === undefined ? {} : { api_key_env: options.keyEnv }),
  };
}

function objectName(text: string): string {
  const name = text
    .replace(/[^a-zA-Z0-9._+-]+/g, '-')
    .replace(/^[^a-zA-Z0-9]+/, '')
    .slice(0, 64);
  return name === '' ? 'model' : name;
}

function wholeNumber(name: string, text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw usageError(`${name} ${text} is not a whole number`);
  return Number(text);
}

function show(shell: Shell, models: Models, options: { readonly json?: boolean }, more: Readonly<Record<string, unknown>> = {}): void {
  const { terminal } = shell;
  if (options.json === true) return terminal.json({ default: models.default ?? null, models: models.models.map(modelJson), ...more });
  const chosen = defaultModel(models);
  for (const model of models.models) {
    const where = model.path ?? `${model.url ?? ''}${model.model === undefined ? '' : ` ${model.model}`}`;
    terminal.line(`${model === chosen ? '*' : ' '} ${modelId(model)}\t${model.driver}\t${where}`);
  }
  if (models.models.length === 0) terminal.note('no model is configured; run: ctx model add FILE.gguf');
  else if (chosen === undefined) terminal.note('none of them is chosen; run: ctx model use NAME');
}
