// The serving thread's end of the wikis.
import type { Outcome } from '../src/tree/deriver-client.ts';
import type { ReplyTicket } from '../src/tree/types.ts';
import type { WikiChange, WikiClient, WikiRequest, WikiResults } from '../src/tree/wiki-client.ts';
import type { ToldChange, ToWiki } from './deriver-messages.ts';

/** A message costs 20 µs, most of it for the first change in it. */
const HOLD_MS = 10;
const MOST_HELD = 64;

/**
 * Changes whose maker is known go together in one message: nothing about them gets lost in a few milliseconds.
 * Everything else goes at once, behind what is held.
 */
export class WikiPort implements WikiClient {
  readonly #post: (message: ToWiki) => void;
  readonly #expect: <T>(done: (outcome: Outcome<T>) => void) => number;
  #held: ToldChange[] = [];
  #sinceMs = 0;
  /** Whether somebody calls {@link dueMs} before they sleep. */
  holds = false;

  constructor(post: (message: ToWiki) => void, expect: <T>(done: (outcome: Outcome<T>) => void) => number) {
    this.#post = post;
    this.#expect = expect;
  }

  changed(wiki: string, change: WikiChange, done?: (outcome: Outcome<string | null>) => void, ticket?: ReplyTicket): void {
    if (done === undefined && this.holds && mayWait(change)) {
      if (this.#held.length === 0) this.#sinceMs = Date.now();
      this.#held.push({ wiki, change });
      if (this.#held.length >= MOST_HELD) this.flush();
      return;
    }
    this.flush();
    this.#post({ op: 'wiki-change', wiki, change, id: done === undefined ? undefined : this.#expect(done), ticket });
  }

  request<R extends WikiRequest>(request: R, done: (outcome: Outcome<WikiResults[R['kind']]>) => void, ticket?: ReplyTicket): void {
    this.flush();
    this.#post({ op: 'wiki', id: this.#expect(done), request, ticket });
  }

  flush(): void {
    if (this.#held.length === 0) return;
    const changes = this.#held;
    this.#held = [];
    this.#post({ op: 'wiki-changes', changes });
  }

  /** In how many milliseconds this is to be called again; -1: nothing is held. */
  dueMs(): number {
    if (this.#held.length === 0) return -1;
    const leftMs = this.#sinceMs + HOLD_MS - Date.now();
    // A clock that was set back holds nothing up.
    if (leftMs > 0 && leftMs <= HOLD_MS) return leftMs;
    this.flush();
    return -1;
  }
}

/** An entry of the log counts from when it is met; who is not known yet may be gone in a moment. */
function mayWait(change: WikiChange): boolean {
  if (change.kind === 'other') return true;
  return (change.by === undefined || change.by.session !== undefined) && !(change.kind === 'written' && change.sizeBytes !== undefined);
}
