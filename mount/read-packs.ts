// What a session's prompt is, for the engine: read in process from the deriver, never through the mount.
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf } from '../src/abi/digest.ts';
import { CtxError } from '../src/abi/errors.ts';
import { parsePolicy } from '../src/context/policy.ts';
import type { Content } from '../src/derive/types.ts';
import type { PackIdentity } from '../src/engine/manifest.ts';
import type { ChatMessage, Prompt } from '../src/engine/types.ts';
import { parseBudget } from '../src/session/controls.ts';
import { readInput } from '../src/session/input-bytes.ts';
import type { Revision, SessionDeriver } from '../src/session/types.ts';
import type { EngineSession } from '../src/tree/engine-client.ts';

interface ReadPack {
  readonly revision: Revision;
  /** Moves when an input of the session changes. */
  readonly inputs: number;
  readonly identity: PackIdentity;
  readonly prompt: Content;
}

export interface Standing {
  readonly active: boolean;
  readonly remoteAllowed: boolean;
  /** policy.yaml: compact.mode is `epoch`. */
  readonly compactAtEpoch: boolean;
  readonly budgetTokens?: number;
}

const MOST_KNOWN = 4096;

export class ReadPacks {
  readonly #deriver: (session: number) => Promise<SessionDeriver>;
  /** The pack last looked at, by session. */
  readonly #known: Map<number, ReadPack> = new Map();
  readonly #inputs: Map<number, number> = new Map();

  constructor(deriver: (session: number) => Promise<SessionDeriver>) {
    this.#deriver = deriver;
  }

  /** A pinned, control, tool-schema or child file may have changed. */
  moved(session: number): void {
    this.#inputs.set(session, (this.#inputs.get(session) ?? 0) + 1);
  }

  closed(session: number): void {
    this.#known.delete(session);
    this.#inputs.delete(session);
  }

  /** The identity of the current pack where it is known; `moved`: another one was looked at; undefined: none was. */
  known({ session, revision }: EngineSession): PackIdentity | 'moved' | undefined {
    const last = this.#known.get(session);
    if (last === undefined) return undefined;
    const same =
      last.revision.messagesBytes === revision.messagesBytes &&
      last.revision.eventsBytes === revision.eventsBytes &&
      last.inputs === (this.#inputs.get(session) ?? 0);
    return same ? last.identity : 'moved';
  }

  /** Builds the pack where it is not built yet. */
  async look({ session, directory, revision }: EngineSession): Promise<ReadPack> {
    const inputs = this.#inputs.get(session) ?? 0;
    const deriver = await this.#deriver(session);
    const prompt = await deriver.fetch('prompt.json', revision);
    const { epoch } = (await deriver.explain('prompt.json', revision)) as { epoch?: { start?: { order?: unknown } } };
    const order = epoch?.start?.order;
    const identity = {
      digest: identityDigest(prompt.digest, toolsText(directory)),
      // Not folded yet since a restart: 0.
      epoch: typeof order === 'number' ? order : 0,
    };
    const pack = { revision, inputs, identity, prompt };
    this.#known.delete(session);
    this.#known.set(session, pack);
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value as number);
    return pack;
  }
}

/** The bytes of the version that was looked at, and the tools as they are now: the identity follows from what was read. */
export async function readPrompt(
  { prompt, identity }: ReadPack,
  directory: string,
): Promise<{ readonly prompt: Prompt; readonly pack: PackIdentity }> {
  const messages = JSON.parse((await readExtents(prompt)).toString('utf8')) as readonly ChatMessage[];
  const text = toolsText(directory);
  const tools = JSON.parse(text) as readonly unknown[];
  return { prompt: { messages, tools }, pack: { digest: identityDigest(prompt.digest, text), epoch: identity.epoch } };
}

/** What decides whether a session is compiled, as its control files stand now. */
export function standingOf(directory: string): Standing {
  const state = controlText(directory, 'state');
  const tokens = parseBudget(controlText(directory, 'context/budget'));
  // A state file that was deleted comes back as active.
  const active = state === '' || state.trim() === 'active';
  return { active, ...allowedBy(controlText(directory, 'context/policy.yaml')), ...(tokens === undefined ? {} : { budgetTokens: tokens }) };
}

function allowedBy(text: string): Pick<Standing, 'remoteAllowed' | 'compactAtEpoch'> {
  try {
    const { remote, compact } = parsePolicy(text);
    return { remoteAllowed: remote.allow, compactAtEpoch: compact.mode === 'epoch' };
  } catch {
    return { remoteAllowed: false, compactAtEpoch: false };
  }
}

function identityDigest(prompt: string, tools: string): string {
  return digestOf(`${prompt}\n${tools}`);
}

function toolsText(directory: string): string {
  const text = controlText(directory, 'context/tools.json');
  return text.trim() === '' ? '[]' : text;
}

/** As the pack's own inputs are read: through no symbolic link, and never waiting for a pipe. */
function controlText(directory: string, name: string): string {
  return readInput(join(directory, name))?.toString('utf8') ?? '';
}

async function readExtents(content: Content): Promise<Buffer> {
  const bytes = Buffer.alloc(content.sizeBytes);
  let at = 0;
  try {
    for (const { path, offsetBytes, sizeBytes } of content.extents) {
      const file = await open(path, 'r');
      try {
        at += (await file.read(bytes, at, sizeBytes, offsetBytes)).bytesRead;
      } finally {
        await file.close();
      }
    }
  } catch (cause) {
    throw swept(cause);
  }
  if (at !== bytes.length || digestOf(bytes) !== content.digest) throw swept(undefined);
  return bytes;
}

function swept(cause: unknown): CtxError {
  return new CtxError('engine.prompt', 'ESTALE', 'this version of the pack was swept before it was compiled', {
    next: 'the next read of the pack compiles it',
    cause,
  });
}
