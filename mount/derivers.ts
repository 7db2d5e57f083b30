// What derivation needs, wired together: tokenizers, search, the worker pool.
import type { EngineTokens } from '../src/session/services.ts';
import type { SessionDeriver } from '../src/session/types.ts';

export interface Derivers {
  readonly open: (directory: string) => SessionDeriver;
  readonly close: () => Promise<void>;
}

export async function openDerivers(log: (line: string) => void, engine: EngineTokens): Promise<Derivers> {
  const { openSessionDeriver, defaultServices } = await import('../src/session/session-deriver.ts');
  const services = defaultServices({ log, engine });
  return { open: (directory) => openSessionDeriver(directory, services), close: () => services.close() };
}
