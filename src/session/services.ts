// What a session's derivation needs from outside: tokenizers, search, time, and (optionally) other cores.
import type { LineMark } from '../abi/line-mark.ts';
import { openCounter } from '../tokens/counter.ts';
import type { TokenCounter } from '../tokens/types.ts';
import { openRecallIndex } from '../search/recall-index.ts';
import type { TermIndex } from '../search/recall-index.ts';
import { remembering } from './count-memo.ts';
import { openMemoryReader } from './memory-service.ts';
import type { MemoryReader } from './memory-service.ts';
import { openPool } from './pool.ts';
import type { Pool } from './pool.ts';

/** The tokenizer of the model that compiles. */
export interface EngineTokens {
  /** Names it by digest. Fails where no model is chosen that counts, or it is a server and the session's policy allows none. */
  digest(remoteAllowed: boolean): string;
  /** Fails when the model is another one now. */
  counter(digest: string, remoteAllowed: boolean): TokenCounter;
}

export interface DeriverServices {
  /** Throws CtxError when the tokenizer is unavailable: never another one instead. */
  counter(name: string): TokenCounter;
  /** Absent: there is no engine here. */
  readonly engine?: EngineTokens;
  openRecall(directory: string, markOf: LineMark): TermIndex;
  now(): number;
  log(line: string): void;
  /** Absent: everything runs on this thread. */
  readonly pool?: Pool;
  /** Absent: no session has memory. */
  readonly memory?: MemoryReader;
  /** Longest that a pack waits for it. */
  readonly memoryWaitMs?: number;
  /** After a failure it is not asked again for so long. */
  readonly memoryRestMs?: number;
  close(): Promise<void>;
}

/** The real services. One pool for all sessions; counters are shared and loaded when first needed. */
export function defaultServices(
  options: {
    readonly log?: (line: string) => void;
    readonly workers?: number;
    readonly engine?: EngineTokens;
    readonly memoryWaitMs?: number;
  } = {},
): DeriverServices {
  const counters = new Map<string, TokenCounter>();
  const pool = openPool(options.workers ?? 2);
  const memory = openMemoryReader();
  return {
    counter(name) {
      let counter = counters.get(name);
      if (counter === undefined) counters.set(name, (counter = remembering(openCounter(name))));
      return counter;
    },
    openRecall: openRecallIndex,
    now: Date.now,
    log: options.log ?? ((): void => undefined),
    ...(pool === undefined ? {} : { pool }),
    ...(options.engine === undefined ? {} : { engine: options.engine }),
    memory,
    ...(options.memoryWaitMs === undefined ? {} : { memoryWaitMs: options.memoryWaitMs }),
    close: async () => {
      memory.close();
      await pool?.close();
    },
  };
}
