// A compiler over the real engine and the tiny model. A session is a list of messages; its pack is their digest.
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect } from 'vitest';
import { ArtifactStore } from '../../src/engine/artifact-store.ts';
import type { ArtifactStoreOptions } from '../../src/engine/artifact-store.ts';
import { Compiler } from '../../src/engine/compiler.ts';
import type { CompilerOptions } from '../../src/engine/compiler.ts';
import type { CompileRequest } from '../../src/engine/compile-loop.ts';
import { LlamaDriver, openLlamaDriver } from '../../src/engine/llama/driver.ts';
import type { Manifest, PackIdentity } from '../../src/engine/manifest.ts';
import type { ModelConfig, Prompt } from '../../src/engine/types.ts';
import { makeTinyModel, scratch, tinyConfig } from './tiny.ts';

const validate = new Ajv2020({ strict: true, validateFormats: false, allowUnionTypes: true }).compile(
  JSON.parse(readFileSync('abi-spec/schema/kv-manifest.json', 'utf8')) as object,
);

export function manifestIsValid(manifest: object): boolean {
  return validate(JSON.parse(JSON.stringify(manifest)));
}

export function checkManifest(manifest: Manifest): Manifest {
  expect(validate(JSON.parse(JSON.stringify(manifest))), JSON.stringify([manifest, validate.errors])).toBe(true);
  return manifest;
}

let uses = 0;

/** One message of about `count` tokens; no two begin alike, so that one engine serves tests that know nothing of each other. */
export function message(count: number): string {
  const seed = (uses += 1);
  return Array.from({ length: Math.ceil(count / 5) }, (_, index) => `${(index * 7919 + seed * 104_729) % 10_000}`.padStart(4, '0')).join(
    ' ',
  );
}

export class Session {
  readonly name: string;
  readonly contents: string[];
  epoch = 1;
  active = true;
  remoteAllowed = false;
  budgetTokens: number | undefined;
  /** How often the engine asked for the prompt. */
  reads = 0;
  /** Held before the prompt is given. */
  gate: Promise<void> = Promise.resolve();

  constructor(name: string, ...contents: string[]) {
    this.name = name;
    this.contents = contents;
  }

  get pack(): PackIdentity {
    return { digest: `sha256-${hash('sha256', JSON.stringify(this.contents), 'hex')}`, epoch: this.epoch };
  }

  get prompt(): Prompt {
    return { messages: this.contents.map((content) => ({ role: 'user', content })), tools: [] };
  }

  get request(): CompileRequest {
    return {
      session: `home/0/agent/a/session/${this.name}`,
      pack: this.pack,
      active: this.active,
      remoteAllowed: this.remoteAllowed,
      ...(this.budgetTokens === undefined ? {} : { budgetTokens: this.budgetTokens }),
      read: async () => {
        this.reads += 1;
        await this.gate;
        return { prompt: this.prompt, pack: this.pack };
      },
    };
  }
}

export class Bench {
  readonly directory: string;
  readonly driver: LlamaDriver;
  readonly store: ArtifactStore;
  readonly compiler: Compiler;
  /** Every manifest in order, each valid. */
  readonly seen: Manifest[] = [];
  readonly model: string;
  /** Called once, at the next progress of a compile. */
  atProgress: (() => void) | undefined;
  #changed: () => unknown = () => undefined;
  readonly #owned: boolean;

  /** A driver that is given stays open when the bench closes. */
  constructor(directory: string, engine: ModelConfig | LlamaDriver, options: ArtifactStoreOptions & CompilerOptions = {}) {
    this.directory = directory;
    this.model = 'local/tiny';
    this.#owned = !(engine instanceof LlamaDriver);
    this.driver = engine instanceof LlamaDriver ? engine : openDriver(engine);
    this.store = new ArtifactStore(join(directory, '.engine'), { reserveBytes: 0, ...options });
    this.compiler = new Compiler(this.store, {
      backoffMs: { first: 30, most: 60 },
      onChange: (_, manifest) => {
        this.seen.push(checkManifest(manifest));
        this.#changed();
        if (manifest.progress === null) return;
        this.atProgress?.();
        this.atProgress = undefined;
      },
      ...options,
    });
  }

  async open(): Promise<this> {
    await this.store.open();
    this.compiler.setEngine({ driver: this.driver, model: this.model });
    return this;
  }

  /** Asks as a read of the pack does, and waits until the session is neither queued nor compiling. */
  async read(session: Session): Promise<Manifest> {
    this.compiler.request(session.request);
    return this.settled(session);
  }

  async settled(session: Session): Promise<Manifest> {
    for (;;) {
      const manifest = checkManifest(this.compiler.manifest(session.request.session, session.pack));
      if (manifest.state !== 'queued' && manifest.state !== 'compiling') return manifest;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Looks at every manifest, so that no state that is over soon is missed, and in between. */
  async until(done: () => boolean): Promise<void> {
    let held = done();
    this.#changed = () => (held ||= done());
    while (!held) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      held ||= done();
    }
    this.#changed = () => undefined;
  }

  get states(): readonly string[] {
    return this.seen.map(({ state }) => state).filter((state, index, all) => state !== all[index - 1]);
  }

  async close(): Promise<void> {
    await this.compiler.close();
    if (this.#owned) await this.driver.close();
  }
}

export function openDriver(config: ModelConfig): LlamaDriver {
  return openLlamaDriver(config, { cacheDirectory: digests });
}

const digests = join(scratch(), 'digests');

let model: string | undefined;

/** The same file for every test of a test file. */
export function tinyModel(more: Partial<ModelConfig> = {}): ModelConfig {
  model ??= makeTinyModel(join(scratch(), 'tiny.gguf'));
  return tinyConfig(model, more);
}
