// Reading JSON that is not trusted to have any particular shape.

/** Undefined unless the text is JSON of an object (or a list). */
export function parsedObject(text: string): Readonly<Record<string, unknown>> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
}

export function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

export function countOf(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Ids as the server's numbers; undefined when any is no token id. */
export function tokenIds(value: unknown): Uint32Array | undefined {
  const list = listOf(value);
  return Array.isArray(value) && list.every((each) => (countOf(each) ?? 2 ** 32) < 2 ** 32)
    ? Uint32Array.from(list as readonly number[])
    : undefined;
}
