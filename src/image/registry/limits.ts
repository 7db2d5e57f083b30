// Every wait for a registry has an end. All of them are parameters.

export interface RegistryLimits {
  /** No answer's head, or fewer than {@link minBytes} of a body, in so long: the registry stalls. */
  readonly idleMs: number;
  /** In {@link idleMs} of waiting. */
  readonly minBytes: number;
  /** A registry puts a large upload together before it answers. */
  readonly finishMs: number;
  /** Of one request, or of one blob, after what may pass (a cut, a stall, 429, 5xx). */
  readonly attempts: number;
  /** Before the second attempt; doubled for each one after it. */
  readonly backoffMs: number;
  /** The longest pause, also where Retry-After asks for a longer one. */
  readonly maxPauseMs: number;
  /** Blobs on their way at once. */
  readonly width: number;
  /** A blob up to this size is sent whole; a larger one in pieces of it, each of which is held in memory. */
  readonly chunkBytes: number;
}

export const DEFAULT_LIMITS: RegistryLimits = {
  idleMs: 60_000,
  minBytes: 64 * 1024,
  finishMs: 300_000,
  attempts: 5,
  backoffMs: 250,
  maxPauseMs: 30_000,
  width: 3,
  chunkBytes: 8 * 1024 * 1024,
};
