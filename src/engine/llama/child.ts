// The engine's own process: a native crash ends this and nothing else. Calls are answered one after the other.
import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { CtxError } from '../../abi/errors.ts';
import { ModelHost } from './model-host.ts';
import { toWire } from './wire.ts';
import type { ChildEvent, Request, ToChild, ToDriver } from './wire.ts';

const NICE = 10;
const running = new Map<number, AbortController>();
let host: ModelHost | undefined;
let queue: Promise<void> = Promise.resolve();

// The driver is gone: native work cannot be waited for, and nobody would take its result.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.on('message', (message: ToChild) => {
  if (message.kind === 'cancel') {
    running.get(message.id)?.abort(new CtxError('engine.cancelled', 'EINTR', 'the caller stopped waiting'));
    return;
  }
  const abort = new AbortController();
  if (message.kind === 'call') running.set(message.id, abort);
  queue = queue.then(
    () =>
      new Promise<void>((resolve) => {
        void take(message, abort.signal, resolve).finally(resolve);
      }),
  );
});

/** Linux has a priority for each thread, and new ones take that of the thread that makes them: the pool's threads, which evaluate, are there already. */
function giveWay(): void {
  const nice = Math.max(NICE, getPriority());
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      setPriority(Number(thread), nice);
    } catch {
      // It has ended.
    }
  }
}

/** Never rejects. `free`: the next call may begin. */
async function take(message: Exclude<ToChild, { kind: 'cancel' }>, signal: AbortSignal, free: () => void): Promise<void> {
  if (message.kind === 'setup') {
    // Compiling gives way to everybody; for a count a reader waits.
    if (message.setup.vocabularyOnly !== true) giveWay();
    setup = () => new ModelHost(message.setup);
    return;
  }
  const { id, request } = message;
  send({ kind: 'taken', id });
  try {
    signal.throwIfAborted();
    host ??= setup();
    send({ kind: 'done', id, value: await perform(host, id, request, signal, free) });
  } catch (error) {
    send({ kind: 'failed', id, error: toWire(withLog(error)) });
  } finally {
    running.delete(id);
  }
}

let setup = (): ModelHost => {
  throw new CtxError('engine.failed', 'EIO', 'the engine process was asked before it was set up');
};

function perform(model: ModelHost, id: number, request: Request, signal: AbortSignal, free: () => void): Promise<unknown> {
  const tell = (event: ChildEvent): void => send({ kind: 'event', id, event });
  switch (request.method) {
    case 'describe':
      return model.describe();
    case 'tokenize':
      return model.tokenize(request);
    case 'count':
      return model.count(request);
    case 'count-prompt':
      return model.countPrompt(request);
    case 'compile':
      return model.compile(
        request,
        signal,
        (done, total) => tell({ kind: 'progress', done, total }),
        () => {
          tell({ kind: 'free' });
          free();
        },
      );
    case 'generate':
      return model.generate(request, signal, tell);
  }
}

// What the engine logged says more than its exception.
function withLog(error: unknown): unknown {
  if (error instanceof CtxError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const log = host?.log ?? '';
  const named = error instanceof Error && error.name === 'InsufficientMemoryError';
  if (
    named ||
    /unable to allocate|failed to allocate|cannot allocate|out of memory|too large for the available/i.test(`${message}\n${log}`)
  ) {
    return new CtxError('engine.memory', 'ENOMEM', `the model does not fit in memory: ${message}`, {
      next: 'configure a smaller context, a quantized K/V type, or more memory for the engine',
    });
  }
  return new Error(log === '' ? message : `${message} (${log.split('\n').slice(-3).join('; ')})`);
}

function send(message: ToDriver): void {
  if (process.connected) process.send?.(message);
}
