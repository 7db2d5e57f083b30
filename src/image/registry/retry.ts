// Pauses between attempts: doubled, with chance in them so that many clients do not come back at once, and bounded.
import { setTimeout as sleep } from 'node:timers/promises';
import { isTransient } from './failures.ts';
import type { RegistryLimits } from './limits.ts';

/** What a busy registry asked for, in milliseconds; from Retry-After. */
export function retryAfterMs(header: string | undefined, nowMs: number = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

export function pauseMs(limits: RegistryLimits, attempt: number, askedMs: number | undefined, chance: number = Math.random()): number {
  const grown = limits.backoffMs * 2 ** Math.min(attempt, 20) * (0.5 + chance / 2);
  return Math.min(limits.maxPauseMs, Math.max(grown, askedMs ?? 0));
}

/** Carries what Retry-After asked for from where the answer was read to where the pause is made. */
const asked = new WeakMap<Error, number>();

export function askedToWait<E extends Error>(error: E, waitMs: number | undefined): E {
  if (waitMs !== undefined) asked.set(error, waitMs);
  return error;
}

/** Waits before the next attempt, or throws: what cannot pass, and the last attempt's failure. `attempt` counts from 0. */
export async function pauseOrThrow(error: unknown, attempt: number, limits: RegistryLimits, signal?: AbortSignal): Promise<void> {
  if (!isTransient(error) || attempt + 1 >= limits.attempts || signal?.aborted === true) throw error;
  await sleep(pauseMs(limits, attempt, asked.get(error)), undefined, signal === undefined ? {} : { signal }).catch(() => {
    throw error;
  });
}
