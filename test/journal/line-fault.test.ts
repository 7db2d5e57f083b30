import fc from 'fast-check';
import { expect, test } from 'vitest';
import { lineFault, ROLES } from '../../src/abi/records.ts';

/** The rule without shortcuts. */
function plainFault(line: Buffer): 'json' | 'object' | 'role' | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    return 'json';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'object';
  return (ROLES as readonly unknown[]).includes((value as { role?: unknown }).role) ? undefined : 'role';
}

test('lineFault agrees with the plain rule on any text', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.constantFrom(...ROLES).map((role) => ` {"role":"${role}"}\r`),
    fc.constantFrom('', '\ufeff{}', ' ', 'true', 'nul', '\u0000', '{"role":"user"}\u0000', '-', '\u00a0{}'),
  );
  fc.assert(
    fc.property(text, (value) => {
      const line = Buffer.from(value);
      const fault = lineFault('messages', line);
      expect(fault === 'nul' ? 'json' : fault).toBe(plainFault(line));
      if (fault === 'nul') expect(line.includes(0)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});
