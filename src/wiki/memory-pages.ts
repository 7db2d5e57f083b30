// The pages of a wiki as search and memory take them. Read when asked: what was deleted or edited is never served as it was.
import { domainOf } from './config.ts';
import type { MemoryPages } from './memory.ts';
import type { PageFacts } from './page.ts';
import type { SearchPage } from './page-search.ts';
import { splitPage } from './frontmatter.ts';
import { nameOf, withoutExtension } from './paths.ts';
import { sectionsOf } from './sections.ts';
import type { WikiDirectory } from './wiki-directory.ts';
import type { IndexedPage } from './wiki-index.ts';

/** By facts, which are as the bytes are: an edited page has others. */
const known = new WeakMap<PageFacts, { readonly targets: ReadonlySet<string>; readonly page: SearchPage }>();

/** `domain`: only what is common, and what belongs to it; null: only what is common; undefined: everything. */
export function memoryPages(wiki: WikiDirectory, plans: readonly string[] = [], domain?: string | null): MemoryPages {
  const { index } = wiki;
  const text = ({ path }: IndexedPage): string => wiki.text(path) ?? '';
  const [entry] = index.special('index');
  return {
    // A pointer of a few words stands for the schema it names.
    schema: index
      .special('schema')
      .filter(({ facts }) => facts.sketch.words > 30 || index.special('schema').length === 1)
      .slice(0, 1)
      .map((page) => ({ path: page.path, text: text(page) })),
    index: entry === undefined ? undefined : { path: entry.path, text: text(entry) },
    pages: index
      .curated()
      .filter(({ path }) => domain === undefined || [undefined, domain ?? undefined].includes(domainOf(path, wiki.config)))
      .map((page) => searchPage(wiki, page)),
    plans,
  };
}

function searchPage(wiki: WikiDirectory, page: IndexedPage): SearchPage {
  const before = known.get(page.facts);
  if (before !== undefined && before.targets === page.targets && before.page.path === page.path) return before.page;
  const { facts, path } = page;
  const { body, bodyLine } = splitPage(wiki.text(path) ?? '');
  const padded = `${'\n'.repeat(bodyLine)}${body}`;
  const made: SearchPage = {
    path,
    title: facts.title ?? withoutExtension(nameOf(path)),
    names: [withoutExtension(nameOf(path)), ...facts.aliases],
    tags: facts.tags,
    status: facts.status,
    sections: facts.problem?.kind === 'binary' ? [] : sectionsOf(padded, facts.markdown.headings, bodyLine),
    links: [...page.targets].filter((target) => wiki.index.get(target)?.place === 'page'),
  };
  known.set(facts, { targets: page.targets, page: made });
  return made;
}
