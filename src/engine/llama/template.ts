// What a model file brings along is somebody else's program: its chat template may never end, say without end, or fill the
// memory. So it runs in a process of its own, which may be ended (a thread that fills its heap takes its process with it).
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CtxError } from '../../abi/errors.ts';
import type { OpenTemplate, Template } from '../chat-prompt.ts';

export interface TemplateLimits {
  /** One rendering. */
  readonly ms: number;
  readonly heapMB: number;
}

/** A megabyte of messages takes a tenth of a second, and some 20 MB. */
const LIMITS: TemplateLimits = { ms: 20_000, heapMB: 256 };
/** Over the limit that the process keeps itself: to start, and to answer on a busy machine. */
const GRACE_MS = 20_000;
/** Unused for so long it is ended: it takes 40 MB. */
const IDLE_MS = 30_000;

export interface Rendering {
  readonly engineDirectory: string;
  readonly source: string;
  readonly limitMs: number;
  readonly variables: Record<string, unknown>;
}

export type Rendered = { readonly text: string } | { readonly refused: string; readonly stage: 'read' | 'render' };

/** Templates read and rendered by the engine's own package, each rendering bounded in time and memory. */
export function boundedTemplates(engineDirectory: string, limits: TemplateLimits = LIMITS): OpenTemplate {
  return (source) => new BoundedTemplate(engineDirectory, source, limits);
}

class BoundedTemplate implements Template {
  readonly #engineDirectory: string;
  readonly #source: string;
  readonly #limits: TemplateLimits;
  #process: ChildProcess | undefined;
  #idle: NodeJS.Timeout | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(engineDirectory: string, source: string, limits: TemplateLimits) {
    this.#engineDirectory = engineDirectory;
    this.#source = source;
    this.#limits = limits;
  }

  render(variables: Record<string, unknown>): Promise<string> {
    const turn = this.#queue.then(() => this.#render(variables));
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #render(variables: Record<string, unknown>): Promise<string> {
    clearTimeout(this.#idle);
    const answer = await this.#ask(variables).catch((error: unknown) => {
      this.#end();
      throw error;
    });
    this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref();
    if ('text' in answer) return answer.text;
    throw new TemplateRefusal(answer.refused, answer.stage);
  }

  async #ask(variables: Record<string, unknown>): Promise<Rendered> {
    const { ms, heapMB } = this.#limits;
    const child = (this.#process ??= start(heapMB));
    child.ref();
    child.channel?.ref();
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Rendered>((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`it runs longer than ${ms / 1000} s`)), ms + GRACE_MS);
        child.once('message', (message) => resolve(message as Rendered));
        child.once('error', reject);
        child.once('exit', (code, signal) =>
          reject(new Error(`it needs more than ${heapMB} MB, or fails otherwise: its process ended (${signal ?? code})`)),
        );
        const rendering: Rendering = { engineDirectory: this.#engineDirectory, source: this.#source, limitMs: ms, variables };
        child.send(rendering, (error) => {
          if (error !== null) reject(error);
        });
      });
    } finally {
      clearTimeout(timer);
      for (const event of ['message', 'error', 'exit']) child.removeAllListeners(event);
      // What ends later is nobody's concern.
      child.on('error', () => undefined);
      child.unref();
      child.channel?.unref();
    }
  }

  #end(): void {
    this.#process?.kill('SIGKILL');
    this.#process = undefined;
  }
}

/** What the template or its reader raised: it may render something else. */
class TemplateRefusal extends Error {
  readonly stage: 'read' | 'render';
  constructor(message: string, stage: 'read' | 'render') {
    super(message);
    this.stage = stage;
  }
}

function start(heapMB: number): ChildProcess {
  return fork(processFile(), {
    serialization: 'advanced',
    execArgv: [`--max-old-space-size=${heapMB}`],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
}

/** Beside this file when built; running from sources, in the build's directory. */
function processFile(): string {
  const beside = fileURLToPath(new URL('./template-process.js', import.meta.url));
  if (existsSync(beside)) return beside;
  const built = fileURLToPath(new URL('../../../dist/src/engine/llama/template-process.js', import.meta.url));
  if (existsSync(built)) return built;
  throw new CtxError('engine.not_built', 'ENOENT', "the template's process is not built", { where: built, next: 'npm run build' });
}
