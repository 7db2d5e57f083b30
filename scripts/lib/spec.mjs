// spec.mjs [TESTS]: the ABI against its evidence. Requirements are well formed and unique; schemas compile; tagged examples
// of the pages validate; and (given vitest's JSON report) every MUST, and every test a requirement names, has passed.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';

const SPEC = 'abi-spec';
const faults = [];

const requirements = readRequirements();
const schemas = readSchemas();
const examples = checkExamples();
const report = process.argv[2];
const proven = report !== undefined && existsSync(report) ? checkEvidence(JSON.parse(readFileSync(report, 'utf8'))) : undefined;

for (const fault of faults) console.log(`   ${fault}`);
const evidence = proven === undefined ? 'evidence not looked at (no test report)' : `${proven} proven by tests that ran`;
console.log(`   ${requirements.length} requirements, ${evidence}; ${schemas.size} schemas, ${examples} examples, ${faults.length} faults`);
process.exitCode = faults.length > 0 ? 1 : 0;

function list(directory, extension) {
  return existsSync(directory)
    ? readdirSync(directory)
        .filter((name) => name.endsWith(extension))
        .sort()
    : [];
}

function parse(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    faults.push(`${path}: ${error.message}`);
    return undefined;
  }
}

function readRequirements() {
  const all = [];
  const seen = new Map();
  for (const name of list(join(SPEC, 'requirements'), '.json')) {
    const path = join(SPEC, 'requirements', name);
    const entries = parse(path);
    if (!Array.isArray(entries)) {
      faults.push(`${path}: is not an array`);
      continue;
    }
    for (const entry of entries) {
      const { id, level, text, source, tests } = entry;
      if (!/^[A-Z][A-Z0-9]{1,7}-[0-9]+[a-z]?$/.test(id ?? '')) faults.push(`${path}: ${JSON.stringify(id)} is not an id such as JRN-1`);
      if (!['MUST', 'SHOULD', 'MAY'].includes(level)) faults.push(`${path}: ${id}: level is not MUST, SHOULD or MAY`);
      for (const [key, value] of Object.entries({ text, source }))
        if (typeof value !== 'string' || value === '') faults.push(`${path}: ${id}: no ${key}`);
      if (!Array.isArray(tests) || tests.some((test) => typeof test !== 'string' || test === ''))
        faults.push(`${path}: ${id}: tests is not a list of names`);
      if (seen.has(id)) faults.push(`${path}: ${id} is taken by ${seen.get(id)}`);
      seen.set(id, path);
      all.push({ path, ...entry, tests: Array.isArray(tests) ? tests : [] });
    }
  }
  return all;
}

function readSchemas() {
  const validators = new Map();
  const modern = new Ajv2020({ allErrors: true, strict: true, validateFormats: false, allowUnionTypes: true });
  const draft7 = new Ajv({ allErrors: true, strict: true, validateFormats: false, allowUnionTypes: true });
  const found = list(join(SPEC, 'schema'), '.json')
    .map((name) => [name, parse(join(SPEC, 'schema', name))])
    .filter(([, schema]) => schema !== undefined);
  const ajvOf = (schema) => (String(schema.$schema ?? '').includes('draft-07') ? draft7 : modern);
  // All are added before any is compiled: schemas refer to each other.
  for (const [name, schema] of found) ajvOf(schema).addSchema(schema, name);
  for (const [name, schema] of found) {
    try {
      validators.set(basename(name, '.json').replace(/\.schema$/, ''), ajvOf(schema).getSchema(name));
    } catch (error) {
      faults.push(`${join(SPEC, 'schema', name)}: ${error.message}`);
    }
  }
  return validators;
}

function checkExamples() {
  let count = 0;
  for (const name of list(SPEC, '.md')) {
    const page = readFileSync(join(SPEC, name), 'utf8');
    for (const [, language, tag, body] of page.matchAll(/^```(jsonl?) schema=(\S+)\n([\s\S]*?)^```$/gm)) {
      const validate = schemas.get(tag.replace(/(\.schema)?\.json$/, ''));
      if (validate === undefined) {
        faults.push(`${name}: an example names the schema ${tag}, which does not exist`);
        continue;
      }
      for (const text of language === 'jsonl' ? body.trim().split('\n') : [body]) {
        count += 1;
        try {
          if (!validate(JSON.parse(text)))
            faults.push(`${name}: an example of ${tag}: ${validate.errors.map((e) => `${e.instancePath || '/'} ${e.message}`).join('; ')}`);
        } catch (error) {
          faults.push(`${name}: an example of ${tag}: ${error.message}`);
        }
      }
    }
  }
  return count;
}

function checkEvidence({ testResults }) {
  const tests = testResults.flatMap((file) => file.assertionResults);
  const passed = tests.filter(({ status }) => status === 'passed').map(({ fullName }) => fullName);
  let count = 0;
  for (const { path, id, level, tests: names } of requirements) {
    const missing = names.filter((name) => !passed.some((fullName) => fullName.includes(name)));
    for (const name of missing) faults.push(`${path}: ${id}: no test that passed is named ${JSON.stringify(name)}`);
    if (level === 'MUST' && names.length === 0) faults.push(`${path}: ${id} is a MUST without a test`);
    if (names.length > 0 && missing.length === 0) count += 1;
  }
  return count;
}
