// Runs a TypeScript benchmark on Node 20: node test/bench/run.mjs test/bench/mount.ts [arguments].
// Types are stripped while loading; nothing is built or checked.
import { register } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

register('./strip-types.mjs', import.meta.url);
const script = process.argv[2];
if (script === undefined) {
  process.stderr.write('usage: node test/bench/run.mjs BENCHMARK.ts [arguments]\n');
  process.exit(2);
}
process.argv.splice(1, 2, path.resolve(script));
await import(pathToFileURL(path.resolve(script)).href);
