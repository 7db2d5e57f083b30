// The serving thread's end: sends requests to the deriver and hands back what it answers.
import { receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { SyncWork } from '../src/journal/sync-work.ts';
import type { CommitNote } from '../src/journal/types.ts';
import type { DeriverClient, DeriverRequest, DeriverResults, Outcome } from '../src/tree/deriver-client.ts';
import type { ReplyTicket } from '../src/tree/types.ts';
import type { CommitRing } from './commit-ring.ts';
import { revive } from './deriver-messages.ts';
import type { FromDeriver, ToDeriver, ToEngine, ToWiki } from './deriver-messages.ts';
import { EnginePort } from './engine-port.ts';
import { WikiPort } from './wiki-port.ts';

export class PortClient implements DeriverClient {
  readonly #port: MessagePort;
  readonly #ring: CommitRing;
  readonly #waiting: Map<number, (outcome: Outcome<never>) => void> = new Map();
  readonly engine: EnginePort;
  readonly wiki: WikiPort;
  #nextId = 1;
  #progress: readonly string[] = [];
  /** Set by the composition: a session's directory changed behind the mount. */
  onChanged: (session: number, path: string) => void = () => {};

  constructor(port: MessagePort, ring: CommitRing) {
    this.#port = port;
    this.#ring = ring;
    this.engine = new EnginePort(
      (message) => this.#post(message),
      (done) => this.#expect(done),
    );
    this.wiki = new WikiPort(
      (message) => this.#post(message),
      (done) => this.#expect(done),
    );
  }

  #post(message: ToDeriver | ToEngine | ToWiki): void {
    this.#port.postMessage(message);
  }
  openSession(session: number, directory: string): void {
    this.#post({ op: 'open', session, directory });
  }
  committed(session: number, note: CommitNote): void {
    if (this.#ring.push(session, note)) this.#post({ op: 'notes' });
  }
  inputChanged(session: number, path: string): void {
    this.#post({ op: 'input', session, path });
  }
  request<R extends DeriverRequest>(
    session: number,
    request: R,
    done: (outcome: Outcome<DeriverResults[R['kind']]>) => void,
    ticket?: ReplyTicket,
  ): void {
    this.#post({ op: 'request', session, id: this.#expect(done), request, ticket });
  }
  fsync(file: number, dataOnly: boolean, done: (outcome: Outcome<null>) => void, ticket?: ReplyTicket): void {
    this.#post({ op: 'fsync', id: this.#expect(done), file, dataOnly, ticket });
  }
  sync(work: SyncWork, done: (outcome: Outcome<null>) => void, ticket?: ReplyTicket): void {
    this.#post({ op: 'sync', id: this.#expect(done), work, ticket });
  }
  progress(): readonly string[] {
    return this.#progress;
  }

  /** Serving loop without an event loop: takes what has arrived. */
  drain(): void {
    for (let received = receiveMessageOnPort(this.#port); received !== undefined; received = receiveMessageOnPort(this.#port)) {
      this.handle(received.message as FromDeriver);
    }
  }

  handle(message: FromDeriver): void {
    switch (message.op) {
      case 'changed':
        return this.onChanged(message.session, message.path);
      case 'progress':
        this.#progress = message.lines;
        return;
      case 'engine':
        return this.engine.show(message.shown);
      case 'result':
        return this.#finish(message.id, { value: message.value as never, unchanged: message.unchanged });
      case 'failed':
        return this.#finish(message.id, { error: revive(message.error) });
    }
  }

  #expect<T>(done: (outcome: Outcome<T>) => void): number {
    const id = this.#nextId++;
    this.#waiting.set(id, done as (outcome: Outcome<never>) => void);
    return id;
  }

  #finish(id: number, outcome: Outcome<never>): void {
    const done = this.#waiting.get(id);
    this.#waiting.delete(id);
    done?.(outcome);
  }
}
