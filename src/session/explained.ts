// `ctx explain`: why a derived file was built, from what, and at what cost.
import type { Engine } from '../derive/engine.ts';
import type { CachedParts } from './cached-parts.ts';
import { PACK_FILES } from './derived-files.ts';
import { explainChoice, recordedMemory } from './recorded-memory.ts';

const RECENT_RUNS = 12;

/** As of its last fetch. */
export function explained(name: string, { engine, pack, history }: CachedParts['now'], memoryError: unknown): Record<string, unknown> {
  const { epoch } = pack;
  const isPack = PACK_FILES.has(name) && epoch !== undefined;
  const memory = isPack ? recordedMemory(history, epoch.start.order) : undefined;
  return {
    file: `context/${name}`,
    ...lastRun(name, engine),
    ...(isPack
      ? {
          epoch: {
            start: { messages: epoch.start.line, events: epoch.start.eventLine, order: epoch.start.order },
            cut: epoch.cut,
            reason: epoch.reason,
          },
        }
      : {}),
    ...(memory === undefined ? {} : { memory: explainChoice(memory) }),
    ...(isPack && memoryError !== undefined ? { memory_error: memoryError } : {}),
    recent: engine.log
      .slice(-RECENT_RUNS)
      .map((entry) => ({ rule: entry.rule, why: entry.why, outcome: entry.outcome, elapsed_ms: entry.elapsedMs })),
  };
}

function lastRun(name: string, engine: Engine): Record<string, unknown> {
  const run = engine.lastRun(name);
  if (run === undefined) return { why: ['served from history by reference: nothing is built'] };
  return {
    why: run.why,
    outcome: run.outcome,
    inputs: run.inputs,
    elapsed_ms: run.elapsedMs,
    size_bytes: run.sizeBytes,
    digest: run.digest,
    at: new Date(run.startedMs).toISOString(),
  };
}
