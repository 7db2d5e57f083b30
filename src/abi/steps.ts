// Long work in steps: each `yield` is a place where others may have their turn. The result does not depend on what happens in between.
export type Steps<T> = Generator<undefined, T, undefined>;

/** All of it, here and now. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
