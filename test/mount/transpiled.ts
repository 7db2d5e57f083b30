// JavaScript of some of our modules, for children that plain Node runs (as another user, say).
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Writes the modules (paths below the project, `.ts`) and returns the directory, which the caller removes. */
export async function transpile(modules: readonly string[]): Promise<string> {
  // Below the project, so that packages resolve.
  const parent = path.join(ROOT, 'node_modules/.cache');
  await mkdir(parent, { recursive: true });
  const out = await mkdtemp(path.join(parent, 'ctxfs-test-'));
  await writeFile(path.join(out, 'package.json'), '{"type":"module"}');
  for (const name of modules) {
    const { outputText } = ts.transpileModule(await readFile(path.join(ROOT, name), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, rewriteRelativeImportExtensions: true, verbatimModuleSyntax: true },
    });
    const file = path.join(out, name.replace(/\.ts$/, '.js'));
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, outputText);
  }
  return out;
}
