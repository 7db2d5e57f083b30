// WIK-64: which state of a wiki somebody used: its commit and a digest of each page, so that it can be said later whether it has moved on.
import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';

import { digestOf } from '../abi/digest.ts';
import type { WikiDirectory } from './wiki-directory.ts';

export interface WikiVersion {
  /** Of the repository that it is in; null without one, or before its first commit. */
  readonly commit: string | null;
  /** Something in it differs from the commit. */
  readonly dirty: boolean;
  /** Over `pages`: the same for the same pages. */
  readonly digest: string;
  /** `sha256:…` by path, of everything that a pack or a query may give: rules, index and curated pages. */
  readonly pages: Readonly<Record<string, string>>;
}

export interface WikiMoved {
  readonly moved: boolean;
  readonly commit: { readonly before: string | null; readonly now: string | null };
  readonly changed: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

export async function wikiVersion(wiki: WikiDirectory, signal?: AbortSignal): Promise<WikiVersion> {
  const pages: Record<string, string> = {};
  for (const { path, place, facts } of wiki.index.pages())
    if (place === 'page' || place === 'schema' || place === 'index') pages[path] = facts.digest.replace('sha256-', 'sha256:');
  const head = await headOf(wiki.root, signal);
  return {
    commit: head?.commit ?? null,
    dirty: head?.dirty ?? false,
    digest: digestOf(JSON.stringify(pages)).replace('sha256-', 'sha256:'),
    pages,
  };
}

/** Pure. A commit that changed no page has not moved it. */
export function hasMovedOn(then: WikiVersion, now: WikiVersion): WikiMoved {
  const [before, after] = [new Map(Object.entries(then.pages)), new Map(Object.entries(now.pages))];
  const changed = [...after].filter(([path, digest]) => before.has(path) && before.get(path) !== digest).map(([path]) => path);
  const added = [...after.keys()].filter((path) => !before.has(path));
  const removed = [...before.keys()].filter((path) => !after.has(path));
  return {
    moved: changed.length + added.length + removed.length > 0,
    commit: { before: then.commit, now: now.commit },
    changed,
    added,
    removed,
  };
}

const LIMIT_MS = 30_000;
const MOST_BYTES = 16 << 20;

/** One call of git that takes no lock and runs no hook; root asks as the owner of the wiki, whose repository may name programs. Undefined: no repository, or no git. */
function headOf(
  root: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly commit: string | null; readonly dirty: boolean } | undefined> {
  const settings = ['core.fsmonitor=false', 'core.hooksPath=/dev/null', 'core.untrackedCache=false'].flatMap((each) => ['-c', each]);
  const args = [
    '-C',
    root,
    ...settings,
    'status',
    '--porcelain=v2',
    '--branch',
    '-z',
    '--untracked-files=normal',
    '--ignore-submodules=all',
    '--',
    '.',
  ];
  return new Promise((resolve) => {
    const options = {
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: MOST_BYTES,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C.UTF-8' },
      ...(signal === undefined ? {} : { signal }),
      ...ownerOf(root),
    } as const;
    execFile('git', args, options, (error, stdout) => {
      if (error !== null) return resolve(undefined);
      const records = stdout.split('\0').filter((record) => record !== '');
      const oid = records.find((record) => record.startsWith('# branch.oid '))?.slice('# branch.oid '.length);
      resolve({ commit: oid === undefined || oid === '(initial)' ? null : oid, dirty: records.some((record) => !record.startsWith('# ')) });
    });
  });
}

function ownerOf(root: string): { readonly uid: number; readonly gid: number } | Record<string, never> {
  if (process.getuid?.() !== 0) return {};
  const { uid, gid } = statSync(root);
  return uid === 0 ? {} : { uid, gid };
}
