// Reads the wikis of a session and chooses from them, as whoever runs it: in the daemon, a child with the owner's rights.
// Knows what it read: a wiki that did not change costs a look at each file.
import { lstatSync } from 'node:fs';
import { join } from 'node:path';

import { digestOf } from '../abi/digest.ts';
import { CtxError } from '../abi/errors.ts';
import { linesOf, type ChosenPage, type ChosenWiki, type LeftPage, type MemoryPart } from '../context/memory-choice.ts';
import { memoryPages } from '../wiki/memory-pages.ts';
import { planPages } from '../wiki/memory.ts';
import { openPlans } from '../wiki/plans.ts';
import { WikiDirectory } from '../wiki/wiki-directory.ts';
import type { SessionMemory } from './memory-mounts.ts';

export interface MemoryRequest {
  /** Directory that `home/…` and `shared/…` are below. */
  readonly store: string;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly mounts: readonly SessionMemory[];
  readonly question: string;
  /** Open items; one that names a plan is its execution. */
  readonly todo: string;
}

export interface MemoryReply {
  readonly wikis: readonly ChosenWiki[];
  /** The pages that were chosen, by path below the store. */
  readonly files: readonly { readonly path: string; readonly bytes: Uint8Array }[];
}

/** A longer page is left out: it is recorded whole. */
const MAX_PAGE_BYTES = 512 * 1024;
const MOST_PLANNED = 16;
const MOST_UNREAD = 8;
/** A page that changes while it is read is read again so often. */
const ATTEMPTS = 3;
const MOST_WIKIS = 16;

export class WikiReader {
  readonly #open = new Map<string, WikiDirectory>();

  /** `place` gives the directory that stands for `home` or `shared` of the store. */
  choose(request: MemoryRequest, place: (area: string) => string): MemoryReply {
    const wikis: ChosenWiki[] = [];
    const files = new Map<string, Uint8Array>();
    for (const mount of request.mounts) {
      const { name, path, mode } = mount;
      const none = (reason: string): ChosenWiki => ({ name, path, mode, pages: [], left: [{ page: '', reason }] });
      if (mount.refused !== undefined) {
        wikis.push(none(mount.refused));
        continue;
      }
      const chosen = this.#wiki(request, mount, place, files);
      if (typeof chosen !== 'string') wikis.push({ name, path, mode, ...chosen });
      else if (!mount.assumed) wikis.push(none(chosen));
    }
    return { wikis, files: [...files].map(([path, bytes]) => ({ path, bytes })) };
  }

  /** Text: why there is nothing to choose from. */
  #wiki(
    request: MemoryRequest,
    mount: SessionMemory,
    place: (area: string) => string,
    files: Map<string, Uint8Array>,
  ): Pick<ChosenWiki, 'pages' | 'left'> | string {
    const [area = '', ...below] = mount.path.split('/');
    let root = place(area);
    for (const part of below) {
      root = join(root, part);
      const fault = whyNoDirectory(root);
      if (fault !== undefined) return fault;
    }
    try {
      for (let attempt = 1; ; attempt += 1) {
        const chosen = choosePages(this.#directory(root), mount, request);
        if (chosen === undefined && attempt < ATTEMPTS) continue;
        if (chosen === undefined) return 'it changes faster than it can be read';
        for (const { page, bytes } of chosen.bytes) files.set(`${mount.path}/${page}`, bytes);
        return chosen;
      }
    } catch (error) {
      this.#open.delete(root);
      if (error instanceof CtxError) return `${error.message}`;
      throw error;
    }
  }

  #directory(root: string): WikiDirectory {
    const known = this.#open.get(root);
    if (known !== undefined) {
      known.refresh();
      return known;
    }
    if (this.#open.size >= MOST_WIKIS) this.#open.delete(this.#open.keys().next().value as string);
    const wiki = WikiDirectory.open(root);
    this.#open.set(root, wiki);
    return wiki;
  }
}

interface Chosen {
  readonly pages: readonly ChosenPage[];
  readonly left: readonly LeftPage[];
  readonly bytes: readonly { readonly page: string; readonly bytes: Uint8Array }[];
}

/** Undefined: a page changed meanwhile. */
function choosePages(wiki: WikiDirectory, mount: SessionMemory, { question, todo }: MemoryRequest): Chosen | undefined {
  const plans = [...new Set([...mount.plans, ...openPlans(wiki, todo)])];
  const memory = memoryPages(wiki, plans, mount.domain ?? null);
  const planned = planPages(memory, question);
  const left: LeftPage[] = planned.left.map(({ path, reason }) => ({ page: path, reason }));
  for (const plan of mount.plans) if (wiki.index.get(plan) === undefined) left.push({ page: plan, reason: 'the plan is not there' });
  const pages: ChosenPage[] = [];
  const bytes: { page: string; bytes: Uint8Array }[] = [];
  const take = (page: string, make: (text: string, digest: string) => ChosenPage): boolean => {
    const read = wiki.bytes(page);
    if (read === undefined || digestOf(read) !== wiki.index.get(page)?.facts.digest) return false;
    if (read.length > MAX_PAGE_BYTES) left.push({ page, reason: `is longer than ${MAX_PAGE_BYTES >> 10} KiB` });
    else {
      pages.push(make(read.toString('utf8'), digestOf(read)));
      bytes.push({ page, bytes: read });
    }
    return true;
  };
  const frame = [
    ...memory.schema.map(({ path }) => ({ path, kind: 'schema', reason: 'the rules of this wiki' }) as const),
    ...(memory.index === undefined ? [] : [{ path: memory.index.path, kind: 'index', reason: 'what there is' } as const]),
  ];
  for (const { path, kind, reason } of frame) {
    const taken = take(path, (text, digest) => ({ kind, page: path, digest, first: 1, last: lastLine(text), parts: [], reason }));
    if (!taken) return undefined;
  }
  for (const { kind, page, sections, reason } of planned.pages.slice(0, MOST_PLANNED)) {
    const first = page.sections[0]?.startLine ?? 1;
    const taken = take(page.path, (text, digest) => {
      const last = Math.max(first, lastLine(text));
      const parts: readonly MemoryPart[] = sections.map(({ heading, startLine, endLine }) => ({
        heading,
        first: startLine,
        last: startLine - 1 + lastLine(linesOf(text, startLine, endLine)),
      }));
      return { kind, page: page.path, digest, first, last, parts, reason };
    });
    if (!taken) return undefined;
  }
  for (const { page } of planned.pages.slice(MOST_PLANNED)) left.push({ page: page.path, reason: `${MOST_PLANNED} pages come before it` });
  const unread = wiki.unread();
  for (const { file, message } of unread.slice(0, MOST_UNREAD)) left.push({ page: file, reason: message });
  return { pages, left, bytes };
}

/** Number of the last line that says something; 1 in an empty text. */
function lastLine(text: string): number {
  return Math.max(1, text.trimEnd().split('\n').length);
}

/** No name on the way may lead elsewhere. */
function whyNoDirectory(path: string): string | undefined {
  try {
    const stat = lstatSync(path);
    return stat.isDirectory() ? undefined : stat.isSymbolicLink() ? 'is behind a symbolic link, which is not followed' : 'is no directory';
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'is not there' : `the owner of the session may not read it (${code})`;
  }
}
