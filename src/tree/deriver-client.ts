// What the serving thread asks of the deriver thread. Requests are answered later, on the serving thread.
import type { ForkPart, ForkPlan } from '../journal/fork-plan.ts';
import type { SyncWork } from '../journal/sync-work.ts';
import type { CommitNote } from '../journal/types.ts';
import type { Content } from '../derive/types.ts';
import type { Revision } from '../session/types.ts';
import type { EngineClient } from './engine-client.ts';
import type { ReplyTicket, Settled, Slow } from './types.ts';
import type { WikiClient } from './wiki-client.ts';

export type DeriverRequest =
  | { readonly kind: 'fetch'; readonly name: string; readonly revision: Revision }
  | { readonly kind: 'list'; readonly directory: 'swap/chunk' | 'dedup/blob'; readonly revision: Revision }
  | { readonly kind: 'explain'; readonly name: string; readonly revision: Revision }
  | { readonly kind: 'search'; readonly query: string; readonly limit: number; readonly revision: Revision }
  | { readonly kind: 'pack-at'; readonly at: string; readonly revision: Revision }
  | {
      /** The newest assistant text in a range of messages.jsonl; `otherwise` when there is none. */
      readonly kind: 'latest';
      readonly fromBytes: number;
      readonly endBytes: number;
      readonly otherwise: string;
      readonly modifiedMs: number;
    }
  | { readonly kind: 'gc'; readonly dryRun: boolean }
  | { readonly kind: 'drop'; readonly name: string }
  | {
      /** What takes long in a fork. */
      readonly kind: 'plan-fork';
      readonly revision: Revision;
      readonly parts: readonly ForkPart[];
      readonly at: number | undefined;
    }
  /** What takes long in a seal. */
  | { readonly kind: 'plan-seal'; readonly revision: Revision; readonly parts: readonly ForkPart[] }
  /** The digests of what is sealed: one read of what has none yet. */
  | { readonly kind: 'digest' }
  | { readonly kind: 'close' };

/** Result type of each kind; `plan-fork` finishes when the order log holds everything up to the revision. */
export interface DeriverResults {
  readonly fetch: Content;
  readonly list: readonly string[];
  readonly explain: Readonly<Record<string, unknown>>;
  readonly search: readonly { readonly line: number; readonly score: number; readonly role: string; readonly excerpt: string }[];
  readonly 'pack-at': Readonly<Record<string, unknown>>;
  readonly latest: Pick<Content, 'sizeBytes' | 'modifiedMs' | 'digest'> & { readonly text: string };
  readonly gc: readonly { readonly path: string; readonly bytes: number; readonly reason: string }[];
  readonly drop: null;
  readonly 'plan-fork': ForkPlan;
  readonly 'plan-seal': ForkPlan;
  readonly digest: null;
  readonly close: null;
}

/** `unchanged`: the content is the ticket's current one. */
export type Outcome<T> = { readonly value: T; readonly unchanged: boolean } | { readonly error: unknown };

/**
 * How what another thread answered ends a Slow: `finish` completes `ready` with the result, on the serving thread; what was
 * current stays when the content is unchanged.
 */
export function settling<V, T>(
  ready: T,
  finish: (value: V) => void,
  current: Slow<T>['current'],
  done: (outcome: Settled<T>) => void,
): (outcome: Outcome<V>) => void {
  return (outcome) => {
    if ('error' in outcome) return done(outcome);
    try {
      if (outcome.unchanged && current !== undefined) return done({ value: current.value });
      finish(outcome.value);
      done({ value: ready });
    } catch (error) {
      done({ error });
    }
  };
}

export interface DeriverClient {
  readonly engine: EngineClient;
  readonly wiki: WikiClient;
  openSession(id: number, directory: string): void;
  committed(id: number, note: CommitNote): void;
  inputChanged(id: number, path: string): void;
  /** `done` runs on the serving thread, once. */
  request<R extends DeriverRequest>(
    id: number,
    request: R,
    done: (outcome: Outcome<DeriverResults[R['kind']]>) => void,
    ticket?: ReplyTicket,
  ): void;
  /** fsync(2) of a descriptor of this process, off the serving thread. */
  fsync(fd: number, dataOnly: boolean, done: (outcome: Outcome<null>) => void, ticket?: ReplyTicket): void;
  /** An fsync of a journal, off the serving thread. */
  sync(work: SyncWork, done: (outcome: Outcome<null>) => void, ticket?: ReplyTicket): void;
  /** Lines for /ctx/status: what is being built. */
  progress(): readonly string[];
}
