// A rolldown plugin: instead of the module that compiles schemas while a program runs, one that loads, when it is first asked, the
// code that ajv has made of them.
import { Ajv } from 'ajv';
import standalone from 'ajv/dist/standalone/index.js';
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';

/** `module`: the source file whose place it takes; `options`, `names`: what that file exports; `target`: where the code goes, beside what tsc made of the file. */
export function schemaChecks({ module, options, names, target }) {
  return {
    name: 'schema-checks',
    load(id) {
      if (id !== module) return null;
      const ajv = new Ajv({ ...options, code: { source: true } });
      const checks = names.map((name, index) => [name, `check${index}`]);
      const table = checks.map(([name, check]) => `${JSON.stringify(name)}: exports.${check}`).join(', ');
      const code = standalone.default(ajv, Object.fromEntries(checks.map(([name, check]) => [check, name])));
      writeFileSync(target, `${code}\nmodule.exports = { ${table} };\n`);
      return `import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
let checks;
export const schemaCheck = (name) => (checks ??= require('./${basename(target)}'))[name];
`;
    },
  };
}
