// dist: every module as tsc writes it, and the programs bundled, so that each starts by reading a few files instead of hundreds.
// Packages stay packages: none of their code is copied (abi-spec/rationale/0021).
// Usage: node scripts/build.mjs (npm run build). Exit status: tsc's, which writes what has type errors all the same.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { schemaChecks } from './schema-checks.mjs';

/** Programs, threads and child processes: what a running Node starts by the name of its file. */
const PROGRAMS = [
  'mount/daemon',
  'mount/serving-worker',
  'mount/wiki-worker',
  'src/cli/main',
  'src/engine/count-worker',
  'src/engine/llama/child',
  'src/engine/llama/template-process',
  'src/image/redact-process',
  'src/session/map-worker',
  'src/session/memory-child',
];

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = ['src', 'mount'].map((room) => resolve(root, room));

/** A module in the bundle still finds what lies beside it, by the place that tsc gives it. */
const ownPlace = {
  name: 'own-place',
  transform(code, id) {
    if (!sources.some((directory) => id.startsWith(`${directory}/`)) || !code.includes('import.meta.url')) return null;
    const place = relative(root, id).replace(/\.ts$/, '.js');
    return code.replaceAll('import.meta.url', `new URL('../${place}', import.meta.url).href`);
  },
};

const compiled = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});

const directory = resolve(root, 'dist/bundle');
rmSync(directory, { recursive: true, force: true });
const { AJV_OPTIONS, CHECKED } = await import('../dist/src/image/schema-checks.js');
const build = await rolldown({
  input: Object.fromEntries(PROGRAMS.map((name) => [name.replaceAll('/', '-'), resolve(root, `${name}.ts`)])),
  platform: 'node',
  external: (id) => !id.startsWith('.') && !id.startsWith('/'),
  plugins: [
    schemaChecks({
      module: resolve(root, 'src/image/schema-checks.ts'),
      options: AJV_OPTIONS,
      names: CHECKED,
      target: resolve(root, 'dist/src/image/schema-checks.cjs'),
    }),
    ownPlace,
  ],
});
await build.write({ dir: directory, format: 'esm', entryFileNames: '[name].js', chunkFileNames: 'chunk-[name]-[hash].js' });
for (const name of PROGRAMS) {
  const from = resolve(root, 'dist', `${name}.js`);
  writeFileSync(from, `export * from '${relative(dirname(from), resolve(directory, `${name.replaceAll('/', '-')}.js`))}';\n`);
}
process.exitCode = compiled.status ?? 1;
