// The parent's end of the engine process: starts it under a memory limit, passes calls, turns its end into an error.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { CtxError } from '../../abi/errors.ts';
import { fromWire } from './wire.ts';
import type { ChildEvent, ChildSetup, Request, ToChild, ToDriver } from './wire.ts';

const TAIL_BYTES = 4096;

/** The process had ended before it saw the call: nothing was done, and another process may be asked. */
export class NotTaken extends Error {}

interface Call {
  taken: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onEvent: (event: ChildEvent) => void;
}

export class EngineChild {
  readonly #process: ChildProcess;
  readonly #setup: ChildSetup;
  readonly #calls = new Map<number, Call>();
  readonly #ended: Promise<void>;
  #next = 1;
  #tail = '';
  #closing = false;
  #end: CtxError | undefined;

  constructor(setup: ChildSetup) {
    this.#setup = setup;
    // The shell sets the limit of private memory before the program starts, then becomes it. A lower one stays.
    const kilobytes = Math.ceil(setup.memoryLimitBytes / 1024);
    this.#process = spawn('/bin/sh', ['-c', 'ulimit -d "$0" 2>/dev/null; exec "$@"', String(kilobytes), process.execPath, childFile()], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
      env: { ...process.env, NODE_OPTIONS: '', ...largePages(process.env['GLIBC_TUNABLES']) },
    });
    // A pipe that is listened to would keep this program alive; the end of the process still empties it.
    (this.#process.stderr as Socket | null)?.unref();
    this.#process.on('message', (message: ToDriver) => this.#take(message));
    this.#process.stderr?.on('data', (bytes: Buffer) => {
      this.#tail = (this.#tail + bytes.toString('utf8')).slice(-TAIL_BYTES);
    });
    this.#ended = new Promise((resolve) => {
      this.#process.once('error', (error) => this.#finish(`could not be started: ${error.message}`, resolve));
      this.#process.once('close', (code, signal) =>
        this.#finish(signal === null ? `ended with status ${code}` : `was ended by ${signal}`, resolve),
      );
    });
    this.#send({ kind: 'setup', setup });
    this.#release();
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get alive(): boolean {
    return this.#end === undefined && !this.#closing;
  }

  async call(request: Request, signal: AbortSignal | undefined, onEvent: (event: ChildEvent) => void = () => undefined): Promise<unknown> {
    if (this.#end !== undefined) throw new NotTaken(this.#end.message, { cause: this.#end });
    const id = this.#next;
    this.#next += 1;
    const cancel = (): void => this.#send({ kind: 'cancel', id });
    if (this.#calls.size === 0) this.#hold();
    try {
      const answer = new Promise<unknown>((resolve, reject) => this.#calls.set(id, { taken: false, resolve, reject, onEvent }));
      this.#send({ kind: 'call', id, request });
      signal?.addEventListener('abort', cancel, { once: true });
      if (signal?.aborted === true) cancel();
      return await answer;
    } finally {
      signal?.removeEventListener('abort', cancel);
      this.#calls.delete(id);
      if (this.#calls.size === 0) this.#release();
    }
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#process.ref();
    this.#process.kill('SIGKILL');
    await this.#ended;
  }

  // While a call runs the program stays, and sees the process end; an engine that only waits keeps no program alive.
  #hold(): void {
    this.#process.ref();
    this.#process.channel?.ref();
  }

  #release(): void {
    this.#process.unref();
    this.#process.channel?.unref();
  }

  #take(message: ToDriver): void {
    const call = this.#calls.get(message.id);
    if (message.kind === 'taken') {
      if (call !== undefined) call.taken = true;
    } else if (message.kind === 'event') call?.onEvent(message.event);
    else if (message.kind === 'done') call?.resolve(message.value);
    else call?.reject(fromWire(message.error));
  }

  #send(message: ToChild): void {
    // A process that just ended is noticed by its end, not by the pipe.
    if (this.#process.connected) this.#process.send(message, () => undefined);
  }

  #finish(how: string, resolve: () => void): void {
    this.#end ??= this.#closing ? closed() : this.#crash(how);
    for (const call of this.#calls.values())
      call.reject(call.taken || this.#closing ? this.#end : new NotTaken(this.#end.message, { cause: this.#end }));
    resolve();
  }

  #crash(how: string): CtxError {
    const { config, memoryLimitBytes } = this.#setup;
    const where = `${config.provider}/${config.name}`;
    const lines = this.#tail
      .trim()
      .split('\n')
      .filter((line) => line !== '');
    const said = lines.find((line) => /alloc|out of memory|assert|fatal|error/i.test(line)) ?? lines.at(-1) ?? '';
    if (/bad_alloc|(?:out of|insufficient) memory|allocat|mem_buffer/i.test(this.#tail)) {
      const what = `the engine needs more memory than its limit of ${Math.floor(memoryLimitBytes / 2 ** 20)} MB`;
      return new CtxError('engine.memory', 'ENOMEM', what, {
        where,
        next: 'configure a smaller context or model, or more memory for the engine',
      });
    }
    const what = `the engine process ${how}${said === '' ? '' : `: ${said.slice(0, 300)}`}`;
    return new CtxError('engine.crashed', 'EIO', what, { where, next: 'it starts anew with the next call; nothing of its state is used' });
  }
}

/**
 * Memory in large pages where the kernel has them: a state of 100 MB is restored in four fifths of the time (rationale 0044).
 * The C library of other systems knows no such variable.
 */
export function largePages(tunables: string | undefined): { readonly GLIBC_TUNABLES: string } {
  const own = 'glibc.malloc.hugetlb=1';
  return { GLIBC_TUNABLES: tunables === undefined || tunables === '' ? own : `${own}:${tunables}` };
}

function closed(): CtxError {
  return new CtxError('engine.closed', 'EINTR', 'the engine was closed');
}

/** Beside this file when built; running from sources, in the build's directory. */
function childFile(): string {
  const beside = fileURLToPath(new URL('./child.js', import.meta.url));
  if (existsSync(beside)) return beside;
  const built = fileURLToPath(new URL('../../../dist/src/engine/llama/child.js', import.meta.url));
  if (existsSync(built)) return built;
  throw new CtxError('engine.not_built', 'ENOENT', 'the engine process is not built', { where: built, next: 'npm run build' });
}
