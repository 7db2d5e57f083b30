// What the serving thread tells whoever keeps the wikis, and asks of them. Wikis are named by their path below the store.
import type { Digest } from '../abi/digest.ts';
import type { Outcome } from './deriver-client.ts';
import { settling } from './deriver-client.ts';
import type { ReplyTicket } from './types.ts';
import { Slow } from './types.ts';

/** Who did it, as /proc says at that moment. */
export interface Doer {
  readonly uid: number;
  /** The process, not its thread; 0 where the driver does not tell. */
  readonly pid: number;
  readonly parent: number;
  readonly program: string | undefined;
  /** What it works for; null: for none. Undefined: nobody has looked. */
  readonly session: string | null | undefined;
}

/** Paths are relative to the wiki, as text. */
export type WikiChange =
  /** `sinceMs`: when the first byte was written that this tells of. */
  | {
      readonly kind: 'written';
      readonly path: string;
      readonly sinceMs: number;
      readonly by: Doer | undefined;
      /** Of what may be a log: how much of it was there then. */
      readonly sizeBytes?: number;
    }
  | { readonly kind: 'removed'; readonly path: string; readonly atMs: number; readonly by: Doer | undefined }
  | { readonly kind: 'renamed'; readonly from: string; readonly path: string; readonly atMs: number; readonly by: Doer | undefined }
  /** A name that is no page and no file, or one that is not text: only lint looks. */
  | { readonly kind: 'other' };

export type WikiFile = 'lint.md' | 'lint.json' | 'status';

export type WikiRequest =
  | { readonly kind: 'look'; readonly wiki: string; readonly file: WikiFile }
  /** `context/gate.md` of a session. */
  | { readonly kind: 'gate'; readonly session: string }
  /** CTL: writes these bytes to `state` when the gate is open. */
  | { readonly kind: 'finish'; readonly session: string; readonly bytes: Uint8Array };

export interface WikiText {
  readonly text: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly digest: Digest;
}

export interface WikiResults {
  readonly look: WikiText;
  readonly gate: WikiText;
  readonly finish: null;
}

export interface WikiClient {
  /** Costs one message. With `done` it is answered with the session of whoever did it, as long as that can be found out. */
  changed(wiki: string, change: WikiChange, done?: (outcome: Outcome<string | null>) => void, ticket?: ReplyTicket): void;
  /** `done` runs on the serving thread, once. */
  request<R extends WikiRequest>(request: R, done: (outcome: Outcome<WikiResults[R['kind']]>) => void, ticket?: ReplyTicket): void;
}

export function askWiki<R extends WikiRequest, T>(
  client: WikiClient,
  request: R,
  ready: T,
  finish: (value: WikiResults[R['kind']]) => void,
  current?: Slow<T>['current'],
): Slow<T> {
  return new Slow<T>(ready, (done, ticket) => client.request(request, settling(ready, finish, current, done), ticket), current);
}
