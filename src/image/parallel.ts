/**
 * Runs `work` for each item, `width` at a time. The first failure stops the others through the signal and is thrown when all of
 * them have ended: nothing is still writing when the caller hears of it.
 */
export async function inParallel<T>(
  items: Iterable<T>,
  width: number,
  work: (item: T, signal: AbortSignal) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const failures: unknown[] = [];
  const rest = items[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    while (!both.aborted) {
      const next = rest.next();
      if (next.done === true) return;
      try {
        await work(next.value, both);
      } catch (error) {
        failures.push(error);
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  if (failures.length > 0) throw failures[0];
  signal?.throwIfAborted();
}
