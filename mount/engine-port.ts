// The serving thread's end of the engine: what it asks, and what it shows without asking.
import type { Outcome } from '../src/tree/deriver-client.ts';
import type { EngineClient, EngineRequest, EngineResults, EngineSession, ShownModel } from '../src/tree/engine-client.ts';
import type { ReplyTicket } from '../src/tree/types.ts';
import type { EngineShown, ToEngine } from './deriver-messages.ts';

export class EnginePort implements EngineClient {
  readonly #post: (message: ToEngine) => void;
  readonly #expect: <T>(done: (outcome: Outcome<T>) => void) => number;
  #shown: EngineShown = { mark: undefined, status: ['engine=none'], models: [] };

  constructor(post: (message: ToEngine) => void, expect: <T>(done: (outcome: Outcome<T>) => void) => number) {
    this.#post = post;
    this.#expect = expect;
  }

  request<R extends EngineRequest>(request: R, done: (outcome: Outcome<EngineResults[R['kind']]>) => void, ticket?: ReplyTicket): void {
    this.#post({ op: 'engine', id: this.#expect(done), request, ticket });
  }
  packRead(of: EngineSession): void {
    this.#post({ op: 'pack-read', of });
  }
  letGo(file: number): void {
    this.#post({ op: 'let-go', file });
  }

  show(shown: EngineShown): void {
    this.#shown = shown;
  }
  get mark(): number | undefined {
    return this.#shown.mark;
  }
  get models(): readonly ShownModel[] {
    return this.#shown.models;
  }
  get status(): readonly string[] {
    return this.#shown.status;
  }
}
