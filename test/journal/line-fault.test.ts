import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isPlain } from '../../src/abi/plain-line.ts';
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

test('lineFault takes a line for plain only where the parser agrees, whatever byte of it is another', () => {
  const value = fc.oneof(
    fc.constantFrom(...ROLES, 'tools', '', 'a "b" \\n c', '\u0001', 'é', '\\'),
    fc.string({ maxLength: 8 }),
    fc.constantFrom(1, null, true),
  );
  const key = fc.constantFrom('role', 'type', 'content', 'rol', '__proto__', 'r\\/', '');
  const member = fc
    .tuple(key, value, fc.constantFrom(':', ': ', ' : '))
    .map(([name, held, colon]) => JSON.stringify(name) + colon + JSON.stringify(held));
  const line = fc
    .tuple(fc.array(fc.oneof(member, fc.constantFrom('"role":"tool"', '"type": "x"')), { maxLength: 3 }), fc.constantFrom(',', ', ', ' ,'))
    .map(([members, comma]) => Buffer.from(`{${members.join(comma)}}`));
  const changes = fc.array(fc.tuple(fc.nat(60), fc.constantFrom(...Buffer.from('"\\{},:u \t\0\x7f\xc3r', 'latin1'))), { maxLength: 2 });
  let plain = 0;
  fc.assert(
    fc.property(line, changes, fc.constantFrom('messages', 'events'), (bytes, changed, journal) => {
      for (const [at, byte] of changed) if (at < bytes.length) bytes[at] = byte;
      if (!isPlain(journal, bytes)) return;
      plain += 1;
      const parsed = JSON.parse(bytes.toString()) as Record<string, unknown>;
      expect(isUtf8(bytes) && typeof parsed === 'object').toBe(true);
      if (journal === 'messages') expect(ROLES).toContain(parsed['role']);
      else expect(parsed['type']).toMatch(/^[^]/);
    }),
    { numRuns: 4000 },
  );
  expect(plain).toBeGreaterThan(100);
});

test.each([
  ['messages', '{"role":"user","content":"a \\"b\\" c"}', true],
  ['messages', '{"content": "x", "role": "developer"}', true],
  ['messages', '{"role":"user","role":"nobody"}', false],
  ['messages', String.raw`{"role":"nobody","rol\u0065":"user"}`, false],
  ['messages', String.raw`{"role":"user","rol\u0065":"nobody"}`, false],
  ['messages', String.raw`{"role":"user","content":"\u00"}`, false],
  ['events', '{"type":"x"}', true],
  ['events', '{"type":""}', false],
  ['messages', '{"role":"user","content":"é"}', false],
] as const)('lineFault: a line of %s %s is plain: %s', (journal, text, plain) => {
  expect(isPlain(journal, Buffer.from(text))).toBe(plain);
});
