// Which plans are being carried out, by what the open items of a todo name.
import { nameOf, withoutExtension } from './paths.ts';
import type { WikiDirectory } from './wiki-directory.ts';

const MOST_TODO = 64 * 1024;

/** Pages of a plan type whose path, or whose name as a wikilink, stands in an open item (`- [ ]`). */
export function openPlans(wiki: WikiDirectory, todo: string): readonly string[] {
  const open = todo
    .slice(0, MOST_TODO)
    .split('\n')
    .filter((line) => /^\s*[-*] \[ \] /.test(line))
    .join('\n');
  if (open === '') return [];
  const types = new Set(wiki.config.planTypes);
  return wiki.index
    .curated()
    .filter(({ facts }) => facts.type !== undefined && types.has(facts.type))
    .map(({ path }) => path)
    .filter(
      (path) => open.includes(path) || open.includes(`[[${withoutExtension(path)}`) || open.includes(`[[${withoutExtension(nameOf(path))}`),
    );
}
