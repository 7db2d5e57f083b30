// The files of a directory, as they are on disk. Symbolic links are named and not followed: there is no circle to walk into.
import { lstatSync, readdirSync, readlinkSync, type Dirent } from 'node:fs';
import { join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import type { Finding } from './finding.ts';

export interface WalkedFile {
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
  readonly inode: number;
}

export interface Walk {
  /** Path from the root → what it is. */
  readonly files: ReadonlyMap<string, WalkedFile>;
  readonly findings: readonly Finding[];
}

/** WIK-5: more is a finding, and the rest is not read. */
const MAX_FILES = 200_000;
const MAX_DEPTH = 64;

/** Costs one `lstat` a file. Hidden names are passed over, but for `.wiki/config.yaml`. */
export function walk(root: string): Walk {
  const files = new Map<string, WalkedFile>();
  const findings: Finding[] = [];
  const say = (rule: 'unreadable' | 'symlink' | 'bad-name', file: string, target: string, message: string): void =>
    void findings.push({ rule, file, line: 1, target, message });
  const rest: { readonly path: string; readonly depth: number }[] = [{ path: '', depth: 0 }];
  for (let here = rest.pop(); here !== undefined; here = rest.pop()) {
    let entries: readonly Dirent[];
    try {
      entries = readdirSync(join(root, here.path), { withFileTypes: true });
    } catch (error) {
      if (here.path === '') throw rootError(root, error);
      say('unreadable', here.path, '', `cannot be listed: ${codeOf(error)}`);
      continue;
    }
    for (const entry of entries) {
      const path = here.path === '' ? entry.name : `${here.path}/${entry.name}`;
      if (isPassedOverName(entry.name) && entry.name !== '.update-queue') continue;
      if (entry.name.includes('\ufffd')) {
        // The name is no UTF-8 (or has that very sign): it cannot be opened by the name that is known.
        say('bad-name', path, '', 'its name is not UTF-8');
        continue;
      }
      if (entry.isSymbolicLink()) say('symlink', path, targetOf(join(root, path)), 'is a symbolic link, and was not followed');
      else if (entry.isDirectory()) {
        if (here.depth < MAX_DEPTH) rest.push({ path, depth: here.depth + 1 });
        else say('unreadable', path, '', `lies deeper than ${MAX_DEPTH} directories, and was not read`);
      } else if (entry.isFile()) {
        if (files.size >= MAX_FILES) {
          say('unreadable', '', '', `there are more than ${MAX_FILES} files; the rest was not read`);
          return { files, findings };
        }
        const known = statOf(join(root, path));
        if (known === undefined) continue;
        files.set(path, known);
      } else say('unreadable', path, '', 'is no regular file');
    }
  }
  const config = statOf(join(root, '.wiki/config.yaml'));
  if (config !== undefined) files.set('.wiki/config.yaml', config);
  return { files, findings };
}

/** Kept by tools beside the pages: `.git`, `.obsidian`, `.trash`, … */
export function isPassedOverName(name: string): boolean {
  return name.startsWith('.') || name === 'node_modules';
}

function statOf(path: string): WalkedFile | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  // It went away meanwhile.
  if (stat === undefined) return undefined;
  return { sizeBytes: stat.size, modifiedMs: stat.mtimeMs, changedMs: stat.ctimeMs, inode: stat.ino };
}

function targetOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

export function rootError(root: string, error: unknown): CtxError {
  const code = codeOf(error);
  return code === 'ENOTDIR'
    ? new CtxError('wiki.root', 'ENOTDIR', 'is not a directory', { where: root, next: 'name the directory of the wiki' })
    : new CtxError('wiki.root', code === 'ENOENT' ? 'ENOENT' : 'EACCES', `cannot be read (${code})`, { where: root, cause: error });
}
