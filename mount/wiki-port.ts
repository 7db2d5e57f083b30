// The serving thread's end of the wikis.
import type { Outcome } from '../src/tree/deriver-client.ts';
import type { ReplyTicket } from '../src/tree/types.ts';
import type { WikiChange, WikiClient, WikiRequest, WikiResults } from '../src/tree/wiki-client.ts';
import type { ToWiki } from './deriver-messages.ts';

export class WikiPort implements WikiClient {
  readonly #post: (message: ToWiki) => void;
  readonly #expect: <T>(done: (outcome: Outcome<T>) => void) => number;

  constructor(post: (message: ToWiki) => void, expect: <T>(done: (outcome: Outcome<T>) => void) => number) {
    this.#post = post;
    this.#expect = expect;
  }
  changed(wiki: string, change: WikiChange, done?: (outcome: Outcome<string | null>) => void, ticket?: ReplyTicket): void {
    this.#post({ op: 'wiki-change', wiki, change, id: done === undefined ? undefined : this.#expect(done), ticket });
  }
  request<R extends WikiRequest>(request: R, done: (outcome: Outcome<WikiResults[R['kind']]>) => void, ticket?: ReplyTicket): void {
    this.#post({ op: 'wiki', id: this.#expect(done), request, ticket });
  }
}
