// Turns the journal room and the child program into plain JavaScript once, so that a bare node can run it.
import * as fs from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT: string = fileURLToPath(new URL('../../../', import.meta.url));

/** Returns the path of the runnable `appender.js` below `directory`. */
export function buildAppender(directory: string): string {
  fs.writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  fs.symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  for (const folder of ['src/abi', 'src/journal', 'test/journal/child']) {
    for (const name of fs.readdirSync(join(ROOT, folder)).filter((each) => each.endsWith('.ts') && each !== 'build.ts')) {
      const path = join(ROOT, folder, name);
      const { outputText } = ts.transpileModule(fs.readFileSync(path, 'utf8'), {
        compilerOptions: {
          target: ts.ScriptTarget.ES2022,
          module: ts.ModuleKind.ESNext,
          rewriteRelativeImportExtensions: true,
          verbatimModuleSyntax: true,
        },
      });
      const target = join(directory, relative(ROOT, path)).replace(/\.ts$/, '.js');
      fs.mkdirSync(dirname(target), { recursive: true });
      fs.writeFileSync(target, outputText);
    }
  }
  return join(directory, 'test/journal/child/appender.js');
}
