// Who reads wikis for packs: a child process for each owner, with that owner's rights (the daemon may be root), kept for a while
// because it knows what it read. Everything has a bound: a child that does not answer is ended.
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { CtxError } from '../abi/errors.ts';
import { WikiReader } from './memory-reader.ts';
import type { MemoryReply, MemoryRequest } from './memory-reader.ts';

export interface MemoryReader {
  choose(request: MemoryRequest): Promise<MemoryReply>;
  close(): void;
}

export type MemoryAnswer = { readonly reply: MemoryReply } | { readonly error: string };

const ANSWER_MS = 60_000;
const IDLE_MS = 20_000;
const MOST_CHILDREN = 8;
const HEAP_MB = 1024;

/** Where the built child is not beside this file (running from sources) it is read here, with the rights of this process. */
export function openMemoryReader(): MemoryReader {
  const file = fileURLToPath(new URL('./memory-child.js', import.meta.url));
  if (existsSync(file)) return new MemoryChildren(file);
  const reader = new WikiReader();
  return {
    choose: (request) => new Promise((resolve) => resolve(reader.choose(request, (area) => join(request.store, area)))),
    close: () => undefined,
  };
}

interface Seat {
  readonly child: ChildProcess;
  /** One question at a time. */
  last: Promise<unknown>;
  waiting: number;
  timer: NodeJS.Timeout | undefined;
}

class MemoryChildren implements MemoryReader {
  readonly #file: string;
  readonly #seats = new Map<string, Seat>();

  constructor(file: string) {
    this.#file = file;
  }

  choose(request: MemoryRequest): Promise<MemoryReply> {
    const { store, owner } = request;
    const key = `${owner.uid} ${owner.gid} ${store}`;
    const seat = this.#seats.get(key) ?? this.#open(key, request);
    if (seat === undefined) return Promise.reject(new CtxError('memory.busy', 'EAGAIN', 'too many wikis are being read', { where: store }));
    clearTimeout(seat.timer);
    seat.waiting += 1;
    const answer = seat.last.then(() => ask(seat.child, request));
    seat.last = answer.catch(() => this.#end(key, seat));
    return answer.finally(() => {
      seat.waiting -= 1;
      if (seat.waiting === 0) seat.timer = setTimeout(() => this.#end(key, seat), IDLE_MS).unref();
    });
  }

  close(): void {
    for (const [key, seat] of this.#seats) this.#end(key, seat);
  }

  #open(key: string, { store, owner }: MemoryRequest): Seat | undefined {
    if (this.#seats.size >= MOST_CHILDREN) {
      const idle = [...this.#seats].find(([, { waiting }]) => waiting === 0);
      if (idle === undefined) return undefined;
      this.#end(...idle);
    }
    const child = fork(this.#file, [store, `${owner.uid}`, `${owner.gid}`], {
      cwd: '/',
      // Neither settings nor secrets of the daemon.
      env: {},
      execArgv: [`--max-old-space-size=${HEAP_MB}`],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    child.unref();
    child.channel?.unref();
    const seat: Seat = { child, last: Promise.resolve(), waiting: 0, timer: undefined };
    // Said by whoever waits for an answer.
    child.on('error', () => this.#end(key, seat));
    child.once('exit', () => this.#end(key, seat));
    this.#seats.set(key, seat);
    return seat;
  }

  #end(key: string, seat: Seat): void {
    clearTimeout(seat.timer);
    if (this.#seats.get(key) === seat) this.#seats.delete(key);
    seat.child.kill('SIGKILL');
  }
}

function ask(child: ChildProcess, request: MemoryRequest): Promise<MemoryReply> {
  return new Promise((resolve, reject) => {
    const fail = (what: string): void => {
      done();
      reject(new CtxError('memory.reader', 'EIO', what, { where: request.store, next: 'the pack goes on without it; see: ctx explain' }));
    };
    const onMessage = (answer: MemoryAnswer): void => {
      if ('error' in answer) return fail(answer.error);
      done();
      resolve(answer.reply);
    };
    const onExit = (): void => fail('the reader of the wiki ended');
    const timer = setTimeout(() => fail(`the wiki was not read within ${ANSWER_MS / 1000} s`), ANSWER_MS);
    const done = (): void => {
      clearTimeout(timer);
      child.off('message', onMessage).off('exit', onExit).off('error', onExit);
    };
    child.on('message', onMessage).on('exit', onExit).on('error', onExit);
    if (child.exitCode !== null || child.signalCode !== null) return onExit();
    child.send(request, (error) => {
      if (error !== null) fail(`the reader of the wiki takes no question: ${error.message}`);
    });
  });
}
