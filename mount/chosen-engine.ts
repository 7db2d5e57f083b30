// Which model compiles, the compiler it works for, and what the serving thread shows of both.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelsReply } from '../src/abi/control.ts';
import { CtxError } from '../src/abi/errors.ts';
import { ArtifactStore } from '../src/engine/artifact-store.ts';
import { NO_ENGINE } from '../src/engine/compile-loop.ts';
import { Compiler } from '../src/engine/compiler.ts';
import type { Manifest } from '../src/engine/manifest.ts';
import { modelId, modelJson } from '../src/engine/models.ts';
import { openDriver } from '../src/engine/open-driver.ts';
import type { EngineDriver, ModelConfig } from '../src/engine/types.ts';
import type { ModelChange } from '../src/tree/engine-client.ts';
import { knownFailure } from './deriver-messages.ts';
import type { FromDeriver } from './deriver-messages.ts';
import { ModelShelf } from './model-shelf.ts';

export interface ChosenEngineOptions {
  readonly store: string;
  readonly limitBytes: number | undefined;
  readonly send: (message: FromDeriver) => void;
  readonly log: (line: string) => void;
  /** Further lines of `/ctx/status`. */
  readonly moreStatus: () => readonly string[];
  /** A session is queued or compiled, or is so no longer. */
  readonly onBusy: () => void;
  /** Another model may be the engine now. */
  readonly onModel: () => void;
}

/** Progress is shown at most this often. */
const SHOW_MS = 50;
const AGAIN_MS = 1000;

export class ChosenEngine {
  readonly #options: ChosenEngineOptions;
  readonly #directory: string;
  readonly #models: ModelShelf;
  #compiler: Compiler | undefined;
  #opening: Promise<Compiler> | undefined;
  #driver: EngineDriver | undefined;
  /** What #driver was opened with. */
  #configured = '';
  #fault: string | undefined;
  #turn: Promise<unknown>;
  /** Drivers that were replaced. */
  #ending: Promise<unknown> = Promise.resolve();
  /** Sessions that are queued or compiled. */
  readonly #waiting: Set<string> = new Set();
  #mark = 1;
  #showTimer: NodeJS.Timeout | undefined;
  #againTimer: NodeJS.Timeout | undefined;

  constructor(options: ChosenEngineOptions) {
    this.#options = options;
    this.#directory = join(options.store, '.engine');
    this.#models = new ModelShelf(this.#directory);
    this.#turn = this.#use().catch((error: unknown) => this.#failed(error));
    this.#showNow();
  }

  /** Why nothing compiles; undefined: something does. */
  get lacking(): string | undefined {
    return this.#driver === undefined ? (this.#fault ?? this.#models.broken ?? NO_ENGINE) : undefined;
  }

  /** Whether anything was ever compiled here: a store without models has no trace of an engine. */
  get used(): boolean {
    return this.#compiler !== undefined || existsSync(this.#directory);
  }

  /** With the engine that was chosen last. */
  async compiler(): Promise<Compiler> {
    await this.#turn;
    return this.#opened();
  }

  #opened(): Promise<Compiler> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<Compiler> {
    const { limitBytes } = this.#options;
    const store = new ArtifactStore(this.#directory, limitBytes === undefined ? {} : { limitBytes });
    await store.open();
    this.#compiler = new Compiler(store, { onChange: (session, manifest) => this.#changed(session, manifest) });
    return this.#compiler;
  }

  change(change: ModelChange): Promise<ModelsReply> {
    const turn = this.#turn.then(async () => {
      const reply = this.#models.change(change);
      if (change.op !== 'ls') {
        await this.#use();
        this.#options.onModel();
      }
      // The next look at /ctx/model comes after it.
      this.#showNow();
      return reply;
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** The one that compiles. */
  get model(): ModelConfig | undefined {
    return this.#driver === undefined ? undefined : this.#models.default;
  }

  /** A compile waits or runs. */
  get busy(): boolean {
    const status = this.#compiler?.status();
    return status !== undefined && (status.compiling !== null || status.queued > 0);
  }

  /** What the status lines are made of has changed. */
  showSoon(): void {
    this.#showTimer ??= setTimeout(() => this.#showNow(), SHOW_MS);
  }

  /** Packs that were read before are worth telling of once more. */
  again(): void {
    this.#mark += 1;
    this.#showNow();
  }

  againSoon(): void {
    this.#againTimer ??= setTimeout(() => {
      this.#againTimer = undefined;
      this.again();
    }, AGAIN_MS).unref();
  }

  /** The default model is the engine. */
  async #use(): Promise<void> {
    const model = this.#models.default;
    const configured = model === undefined ? '' : JSON.stringify(modelJson(model));
    if (configured === this.#configured) return;
    this.#configured = configured;
    this.#fault = undefined;
    const old = this.#driver;
    const driver = model === undefined ? undefined : openDriver(model, { cacheDirectory: join(this.#directory, 'models') });
    this.#driver = driver;
    this.again();
    // Nobody waits for it but the end.
    if (old !== undefined) this.#ending = Promise.all([this.#ending, old.close()]).catch(() => undefined);
    if (this.#compiler === undefined && driver === undefined) return;
    (await this.#opened()).setEngine(driver === undefined || model === undefined ? undefined : { driver, model: modelId(model) });
  }

  #failed(error: unknown): void {
    const known = knownFailure(error);
    this.#fault = known instanceof CtxError ? known.describe() : String(error);
    this.#driver = undefined;
    this.#configured = '';
    this.#options.log(`engine: ${this.#fault}`);
    this.#showNow();
  }

  #changed(session: string, { state, reason, model }: Manifest): void {
    const waited = this.#waiting.delete(session);
    if (state === 'queued' || state === 'compiling') this.#waiting.add(session);
    if (model !== null && (state === 'ready' || state === 'failed'))
      this.#models.fared(model, state === 'failed' ? (reason ?? 'failed') : undefined);
    // It did not come to its end: another read of the same pack may. This publishes the status too.
    if (state === 'failed' || (state === 'absent' && waited)) this.again();
    this.showSoon();
    this.#options.onBusy();
  }

  #showNow(): void {
    clearTimeout(this.#showTimer);
    this.#showTimer = undefined;
    const mark = this.#driver === undefined ? undefined : this.#mark;
    this.#options.send({
      op: 'engine',
      shown: { mark, status: [...this.#statusLines(), ...this.#options.moreStatus()], models: this.#models.shown() },
    });
  }

  #statusLines(): readonly string[] {
    const model = this.#driver === undefined ? undefined : this.#models.default;
    const error = this.#fault ?? this.#models.broken ?? (model === undefined ? undefined : this.#models.errorOf(modelId(model)));
    const failure = error === undefined ? [] : [`engine_error=${error.replaceAll('\n', ' ')}`];
    if (model === undefined) return ['engine=none', ...failure];
    const { compiling, queued } = this.#compiler?.status() ?? { compiling: null, queued: 0 };
    return [
      `engine=${modelId(model)}`,
      `engine_driver=${model.driver}`,
      `engine_compiling=${compiling?.split('/').at(-1) ?? ''}`,
      `engine_queued=${queued}`,
      ...failure,
    ];
  }

  /** What compiles is given up, and compiled again after the next start. */
  async close(): Promise<void> {
    await this.#turn;
    await this.#compiler?.close();
    await this.#driver?.close();
    await this.#ending;
    clearTimeout(this.#showTimer);
    clearTimeout(this.#againTimer);
  }
}
