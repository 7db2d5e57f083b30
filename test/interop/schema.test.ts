import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { originalBytes, splitLine } from '../../src/interop/origin.ts';
import { CASES, imported } from './session-lines.ts';

const spec = (path: string): string => readFileSync(new URL(`../../abi-spec/${path}`, import.meta.url), 'utf8');
const ajv = new Ajv2020({ validateFormats: false, allowUnionTypes: true });
const lineSchema = ajv.compile(JSON.parse(spec('schema/imported-line.json')) as object);
const markSchema = ajv.compile(JSON.parse(spec('schema/import-source.json')) as object);

test.each(CASES)('%s: every planned line is as its schema says', async (name, path) => {
  const session = await imported(name, path, { maxLineBytes: 900 });
  for (const line of [...session.messages, ...session.events]) {
    const value = JSON.parse(line) as { type?: unknown };
    const validate = value.type === 'import.source' ? markSchema : lineSchema;
    expect([validate(value), validate.errors ?? line]).toEqual([true, line]);
  }
});

test("the page's examples give their originals back", () => {
  const examples = [...spec('interop.md').matchAll(/```jsonl schema=imported-line\n([^`]*)```/g)].flatMap((match) =>
    (match[1] ?? '').trim().split('\n'),
  );
  const originals = examples.map((line) =>
    originalBytes(Buffer.from(line), splitLine(line)?.origin ?? expect.unreachable(line))?.toString(),
  );
  expect(originals).toEqual(['{"role":"user","content":"Where is parcel 17?"}', '{"type":"progress"}']);
});
