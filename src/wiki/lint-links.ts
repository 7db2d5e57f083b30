// Findings about the links of one page.
import { domainOf } from './config.ts';
import { RULES, type Finding, type Rule } from './finding.ts';
import type { LintInput } from './lint-input.ts';
import type { Link, LinkKind } from './markdown.ts';
import { baseKey, isPagePath, nameOf } from './paths.ts';
import { hasAnchor } from './resolve.ts';
import { isPassedOverName } from './walk.ts';
import type { IndexedPage, ResolvedLink } from './wiki-index.ts';

const KIND_WORDS: Readonly<Record<LinkKind, string>> = {
  link: 'link',
  image: 'image',
  wikilink: 'wikilink',
  embed: 'embed',
  definition: 'link definition',
  html: 'HTML link',
};

export function linkFindings(page: IndexedPage, input: LintInput): readonly Finding[] {
  const found: Finding[] = [];
  for (const resolved of page.links) {
    const finding = linkFinding(page, resolved, input);
    if (finding !== undefined) found.push(finding);
  }
  for (const { label, line } of page.facts.markdown.undefinedReferences)
    found.push({
      rule: 'undefined-reference',
      file: page.path,
      line,
      target: label,
      message: `[${label}] is defined nowhere in this page`,
    });
  return found;
}

function linkFinding(page: IndexedPage, { link, to }: ResolvedLink, input: LintInput): Finding | undefined {
  const { index, exists } = input;
  const say = (rule: Rule, message: string): Finding => ({ rule, file: page.path, line: link.line, target: link.target, message });
  const what = KIND_WORDS[link.kind];
  switch (to.kind) {
    case 'external':
    case 'directory':
      return undefined;
    case 'empty':
      return say('empty-link', `${what} without a target`);
    case 'missing': {
      if (isPassedOver(link, to.path, input)) return undefined;
      const [candidate, ...more] = index.names.named(to.path);
      const hint = candidate !== undefined && more.length === 0 ? `; there is ${candidate}` : '';
      return say('broken-link', `${what} to ${to.path}, which is not there${hint}`);
    }
    case 'outside': {
      if (exists !== undefined && !exists(joined(page.path, to.path)))
        return say('broken-link', `${what} to ${to.path}, which is not there`);
      return say('outside-link', `${what} leads out of the wiki: ${RULES['outside-link'].about.split(': ')[1] ?? ''}`);
    }
    case 'ambiguous':
      return say('ambiguous-link', `${what} may mean ${to.candidates.slice(0, 4).join(', ')}${to.candidates.length > 4 ? ', …' : ''}`);
    case 'file': {
      const target = index.get(to.path);
      if (to.anchor !== undefined && target !== undefined && isPagePath(to.path) && target.facts.problem === undefined) {
        if (!hasAnchor(to.anchor, target.facts.markdown.anchors, isWikiLink(link)))
          return say('broken-link', `${what} to #${to.anchor}, which ${to.path === page.path ? 'this page' : to.path} does not have`);
      }
      const [own, other] = [domainOf(page.path, index.config), domainOf(to.path, index.config)];
      if (own !== undefined && other !== undefined && own !== other)
        return say('domain-leak', `${what} leads from ${own} into ${other}, which is kept apart`);
      return to.spelling ? say('link-spelling', `${what} is spelt otherwise than its file, ${nameOf(to.path)}`) : undefined;
    }
    default:
      to satisfies never;
      return undefined;
  }
}

/** What lint does not read (hidden names, and what is behind a symbolic link) may be there all the same. */
function isPassedOver(link: Link, path: string, { walk, exists }: LintInput): boolean {
  const linked = walk.some(({ rule, file }) => {
    if (rule !== 'symlink') return false;
    return path === file || path.startsWith(`${file}/`) || (isWikiLink(link) && baseKey(path) === baseKey(file));
  });
  if (linked) return isWikiLink(link) || exists === undefined || exists(path);
  return !isWikiLink(link) && path.split('/').some(isPassedOverName) && (exists === undefined || exists(path));
}

function isWikiLink({ kind }: Link): boolean {
  return kind === 'wikilink' || kind === 'embed';
}

/** From the root of the wiki, with the `..` that lead above it. */
function joined(from: string, path: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}
