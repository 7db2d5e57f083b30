// MOD-3: what a server says of itself when its model is added: asked once, bounded, changing nothing there.
import { CtxError } from '../abi/errors.ts';
import { serverAddress, readProperties } from './llama-server/properties.ts';
import { serverTokens } from './llama-server/server-prompt.ts';
import { openOpenAiDriver } from './openai/driver.ts';
import { RemoteServer } from './remote-server.ts';
import type { RemoteLimits, RemoteOptions } from './remote-server.ts';
import type { ModelConfig, Prompt } from './types.ts';

export interface FoundServer {
  readonly model: string;
  readonly contextTokens: number;
  /** Whether its chat template renders the smallest conversation; undefined: the server keeps it to itself. */
  readonly template: boolean | undefined;
  /** Whether it saves what is compiled; undefined: not asked. */
  readonly savesState: boolean | undefined;
  /** What will not work, each with its place and the next step. */
  readonly warnings: readonly string[];
}

/** Somebody waits at a terminal. */
export const PROBE_LIMITS: Partial<RemoteLimits> = { connectMs: 3000, firstByteMs: 5000, idleMs: 2000, attempts: 1, replyBytes: 8 << 20 };
const PROBE_MS = 10_000;
const SAMPLE: Prompt = { messages: [{ role: 'user', content: 'Hello' }], tools: [] };

/** Throws what the first call would throw: not reached, refused, no such model. */
export async function probeServer(config: ModelConfig, options: RemoteOptions = {}): Promise<FoundServer> {
  const limits = { ...PROBE_LIMITS, ...options.limits };
  if (config.driver === 'openai') {
    const { id, contextTokens } = await openOpenAiDriver(config, { ...options, limits }).describe();
    return { model: id, contextTokens, template: undefined, savesState: undefined, warnings: [] };
  }
  const server = new RemoteServer(serverAddress(config), {
    ...options,
    limits,
    ...(config.apiKeyEnv === undefined ? {} : { keyEnv: config.apiKeyEnv }),
  });
  const signal = AbortSignal.timeout(PROBE_MS);
  const { model, contextTokens } = await readProperties(server, signal);
  const template = await failureOf(serverTokens(server, SAMPLE, true, signal));
  const warnings = template === undefined ? [] : [template.describe()];
  const wanted = config.contextTokens ?? 0;
  if (wanted > contextTokens)
    warnings.push(`${server.base} has ${contextTokens} tokens of context, not ${wanted}; start it with more (-c), or give --context less`);
  return { model, contextTokens, template: template === undefined, savesState: await saves(server, signal), warnings };
}

/** An action that no server knows: one that saves slots says so, one that was started without a place for them says that first. */
async function saves(server: RemoteServer, signal: AbortSignal): Promise<boolean | undefined> {
  const failure = await failureOf(server.json('POST', '/slots/0?action=none', {}, signal, true));
  if (failure?.message.includes('answered 501') === true) return false;
  return failure?.message.includes('answered 400') === true ? true : undefined;
}

async function failureOf(work: Promise<unknown>): Promise<CtxError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof CtxError) return error;
    throw error;
  }
}
