// JavaScript of some of our modules, for children that plain Node runs (as another user, say).
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Writes the modules (paths below the project, `.ts`) into `out` as `.js`. */
export async function transpile(out: string, modules: readonly string[]): Promise<void> {
  await writeFile(path.join(out, 'package.json'), '{"type":"module"}');
  for (const name of modules) {
    const { outputText } = ts.transpileModule(await readFile(path.join(ROOT, name), 'utf8'), {
      compilerOptions: {
        module: ts.ModuleKind.ESNext,
        target: ts.ScriptTarget.ES2023,
        rewriteRelativeImportExtensions: true,
        verbatimModuleSyntax: true,
      },
    });
    const file = path.join(out, name.replace(/\.ts$/, '.js'));
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, outputText);
  }
}
