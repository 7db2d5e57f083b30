// What the serving thread asks of the engine. Answers come later, on the serving thread; without an engine too.
import type { ModelsReply } from '../abi/control.ts';
import type { ForeignState } from '../engine/adopt.ts';
import type { Revision } from '../session/types.ts';
import { settling } from './deriver-client.ts';
import type { Outcome } from './deriver-client.ts';
import { Slow } from './types.ts';
import type { ReplyTicket } from './types.ts';

/** A session as the engine knows it: announced to the deriver, and what the serving thread knows of its journals. */
export interface EngineSession {
  readonly session: number;
  readonly directory: string;
  readonly revision: Revision;
}

export type StateFile = 'state.bin' | 'tokens.bin';

export type ModelChange =
  | { readonly op: 'ls' }
  | { readonly op: 'add'; readonly model: Readonly<Record<string, unknown>>; readonly makeDefault: boolean }
  | { readonly op: 'rm'; readonly model: string }
  | { readonly op: 'use'; readonly model: string };

export type EngineRequest =
  | { readonly kind: 'manifest'; readonly of: EngineSession }
  /** What an open of the file would give now; nothing of it (size 0) while the state is not there. */
  | { readonly kind: 'state-now'; readonly of: EngineSession; readonly file: StateFile }
  /** `wait`: until the state of the current pack is there; else EAGAIN when it is not. */
  | { readonly kind: 'state'; readonly of: EngineSession; readonly file: StateFile; readonly wait: boolean }
  | { readonly kind: 'inspect'; readonly of: EngineSession }
  | { readonly kind: 'evict'; readonly directory: string }
  /** The session is gone from the tree: its compiled state goes with it. */
  | { readonly kind: 'forget'; readonly directory: string }
  /** Compiled state of the image that the session came from. */
  | { readonly kind: 'adopt'; readonly directory: string; readonly foreign: ForeignState }
  | { readonly kind: 'collect'; readonly dryRun: boolean }
  | { readonly kind: 'models'; readonly change: ModelChange };

/** Bytes that the reply's attributes describe. */
interface Described {
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly digest: string;
}

export interface RemovedState {
  readonly path: string;
  readonly bytes: number;
  readonly reason: string;
}

export interface EngineResults {
  readonly manifest: Described & { readonly text: string };
  readonly 'state-now': Described;
  /** An open descriptor of this process: the asker lets go of it. */
  readonly state: Described & { readonly file: number };
  readonly inspect: Readonly<Record<string, unknown>>;
  readonly evict: {
    readonly removed: readonly RemovedState[];
    /** Used by so many other sessions too. */
    readonly kept: readonly { readonly key: string; readonly sessions: number }[];
  };
  readonly forget: null;
  readonly adopt: { readonly key: string; readonly tokens: number };
  readonly collect: readonly RemovedState[];
  readonly models: ModelsReply;
}

/** One model as `/ctx/model/` shows it. */
export interface ShownModel {
  readonly provider: string;
  readonly name: string;
  /** Text by file name. */
  readonly files: Readonly<Record<string, string>>;
}

export interface EngineClient {
  /** `done` runs on the serving thread, once. */
  request<R extends EngineRequest>(request: R, done: (outcome: Outcome<EngineResults[R['kind']]>) => void, ticket?: ReplyTicket): void;
  /** Somebody opened a pack of this session. Costs one message; nothing waits for it. */
  packRead(of: EngineSession): void;
  letGo(file: number): void;
  /** Moves when packs that were read before are worth telling of once more; undefined: nothing compiles. */
  readonly mark: number | undefined;
  readonly models: readonly ShownModel[];
  /** Lines of `/ctx/status`. */
  readonly status: readonly string[];
}

/** Work of the engine: `ready` is the answer; `finish` completes it with the result on the serving thread. */
export function askEngine<R extends EngineRequest, T>(
  engine: EngineClient,
  request: R,
  ready: T,
  finish: (value: EngineResults[R['kind']]) => void,
  current?: Slow<T>['current'],
): Slow<T> {
  return new Slow<T>(ready, (done, ticket) => engine.request(request, settling(ready, finish, current, done), ticket), current);
}
