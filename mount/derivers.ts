// What derivation needs, wired together: tokenizers, search, the worker pool.
import type { EngineTokens } from '../src/session/services.ts';
import type { SessionDeriver } from '../src/session/types.ts';

export interface Derivers {
  readonly open: (directory: string) => SessionDeriver;
  readonly close: () => Promise<void>;
}

/** What a pack waits for its memory at most, of what its reader waits for the pack. */
const MEMORY_PART = 1 / 6;

export async function openDerivers(log: (line: string) => void, engine: EngineTokens, rebuildWaitMs: number): Promise<Derivers> {
  const { openSessionDeriver, defaultServices } = await import('../src/session/session-deriver.ts');
  const services = defaultServices({ log, engine, memoryWaitMs: rebuildWaitMs * MEMORY_PART });
  return { open: (directory) => openSessionDeriver(directory, services), close: () => services.close() };
}
