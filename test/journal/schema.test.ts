import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { openOrderLog } from '../../src/journal/index.ts';
import { openFixture, outcome, temporaryDirectory, user } from './session-fixture.ts';

const SCHEMAS = fileURLToPath(new URL('../../abi-spec/schema/', import.meta.url));

function errorsOf(schema: string, value: unknown): unknown {
  const validate = new Ajv2020({ validateFormats: false }).compile(
    JSON.parse(fs.readFileSync(join(SCHEMAS, `${schema}.json`), 'utf8')) as object,
  );
  return validate(value) ? [] : validate.errors;
}

test('the files that the journal room writes match their schemas', () => {
  const { journals, directory, events } = openFixture();
  journals.messages.write('1:a', Buffer.from(user('a') + user('b').slice(0, 5)));
  journals.messages.release('1');
  outcome(() => journals.messages.write('2:a', Buffer.from('bad\n')));
  fs.appendFileSync(join(directory, 'messages.jsonl'), 'theirs\n');
  journals.refresh();
  journals.forkInto(temporaryDirectory());
  const log = openOrderLog(directory);
  log.recordInput('context/budget', Buffer.from('1\n'), 5);
  log.recordInput('context/budget', undefined, 6);
  log.close();
  const json = (path: string): unknown => JSON.parse(fs.readFileSync(join(directory, path), 'utf8'));
  expect(errorsOf('segments', json('segments.json'))).toEqual([]);
  expect(events()).toHaveLength(3);
  for (const event of events()) {
    expect(errorsOf('error-event', event)).toEqual([]);
    if (typeof event['reject'] === 'string') expect(errorsOf('reject', json(`${event['reject']}.json`))).toEqual([]);
  }
  const lines = fs.readFileSync(join(directory, 'inputs.jsonl'), 'utf8').trim().split('\n');
  expect(lines.map((line) => errorsOf('recorded-input', JSON.parse(line)))).toEqual([[], []]);
});
