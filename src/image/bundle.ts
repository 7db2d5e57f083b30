// A directory with a context.yaml: what is in it, read under its root only (no symbolic link is followed).
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import type { Binding, ImageConfig, MemoryBinding, Role } from './config.ts';
import { checkAgainst } from './checked.ts';
import { pathFault } from './files-layer.ts';
import { canonicalBytes } from './oci.ts';
import { parseYaml } from './yaml.ts';

export const CONTEXT_YAML = 'context.yaml';
const MAX_FILE_BYTES = 256 * 1024 * 1024;
const MAX_FILES = 100_000;

type Loose<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** context.yaml as it stands, checked; what it leaves out has stated defaults (abi-spec/image.md). */
export interface Declared {
  readonly name: string;
  readonly version?: string | number;
  readonly created_at?: string;
  readonly parent?: string | null;
  readonly source?: Loose<ImageConfig['source']> & { readonly documents?: readonly string[] };
  readonly model?: Loose<ImageConfig['model']>;
  readonly runtime?: Loose<ImageConfig['runtime']>;
  readonly compiled_state?: Loose<ImageConfig['compiled_state']>;
  readonly tool_schema_version?: string;
  readonly mounts?: {
    readonly memory?: readonly (Omit<MemoryBinding, 'mode'> & Loose<Pick<Binding, 'mode'>>)[];
    readonly retrieval?: readonly (Omit<Binding, 'mode'> & Loose<Pick<Binding, 'mode'>>)[];
    readonly tools?: ImageConfig['mounts']['tools'];
  };
  readonly policy?: Loose<ImageConfig['policy']>;
  readonly rebuild?: Loose<ImageConfig['rebuild']>;
  readonly layers?: readonly DeclaredLayer[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface DeclaredLayer {
  readonly name: string;
  readonly role?: Role;
  /** Source path → path in the image; a list keeps or derives the names. */
  readonly files?: readonly string[] | Readonly<Record<string, string>>;
  /** Paths of lower layers that are not there from here on. */
  readonly remove?: readonly string[];
  readonly transcript?: string;
}

export interface BundleFile {
  /** In the image. */
  readonly path: string;
  readonly bytes: Buffer;
}

export async function readDeclared(directory: string): Promise<Declared> {
  const bytes = await readInside(directory, CONTEXT_YAML).catch((error: unknown) => {
    if (!(error instanceof CtxError) || error.code !== 'image.source_missing') throw error;
    throw new CtxError('image.no_context_yaml', 'ENOENT', 'has no context.yaml and is no session', {
      where: directory,
      next: 'name a session, or write context.yaml (at least: name: NAME)',
      cause: error,
    });
  });
  const where = join(directory, CONTEXT_YAML);
  const value = parseYaml(bytes, where, ['version']);
  checkAgainst('context-yaml', value, where);
  return value as Declared;
}

/** A file below the directory; a symbolic link on the way is refused, whatever it points at. */
export async function readInside(directory: string, path: string): Promise<Buffer> {
  const { file, path: full, size } = await openInside(directory, path);
  try {
    if (size > MAX_FILE_BYTES)
      throw new CtxError('image.source_too_large', 'EFBIG', `is ${size} bytes; a file of an image has at most ${MAX_FILE_BYTES}`, {
        where: full,
        next: 'keep it in a mount, and bind the mount',
      });
    return await file.readFile();
  } finally {
    await file.close();
  }
}

export interface OpenSource {
  /** Closed by whoever asked for it. */
  readonly file: fs.FileHandle;
  readonly path: string;
  readonly size: number;
}

/** A regular file below the directory. Waits for nothing: a FIFO is refused. */
export async function openInside(directory: string, path: string): Promise<OpenSource> {
  const full = await pathInside(directory, path);
  const refused = (why: string): CtxError =>
    new CtxError('image.source_kind', 'EINVAL', why, { where: full, next: 'take it out of context.yaml' });
  const file = await fs
    .open(full, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    .catch((error: NodeJS.ErrnoException) => Promise.reject(error.code === 'ENXIO' ? refused('is not a regular file') : error));
  const stat = await file.stat();
  if (stat.isFile()) return { file, path: full, size: stat.size };
  await file.close();
  throw refused('is not a regular file');
}

/** The absolute path of a file below the directory. */
async function pathInside(directory: string, path: string): Promise<string> {
  let at = directory;
  for (const part of path.split('/')) {
    if (part === '' || part === '.' || part === '..') throw outside(directory, path);
    at = join(at, part);
    const stat = await fs.lstat(at).catch((cause: NodeJS.ErrnoException) => {
      throw new CtxError('image.source_missing', 'ENOENT', 'is named in context.yaml and is not there', {
        where: at,
        next: 'add the file, or take its name out',
        cause,
      });
    });
    if (stat.isSymbolicLink()) throw outside(directory, path);
  }
  return at;
}

function outside(directory: string, path: string): CtxError {
  return new CtxError('image.source_outside', 'EINVAL', 'leads out of the directory, or may', {
    where: join(directory, path),
    next: 'copy the file into the directory',
  });
}

/** Regular files below a directory of the bundle, sorted; [] when it is not there. */
export async function filesBelow(directory: string, below: string): Promise<readonly string[]> {
  const found: string[] = [];
  const walk = async (path: string): Promise<void> => {
    const entries = await fs.readdir(join(directory, path), { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
      throw error;
    });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const name = `${path}/${entry.name}`;
      checkName(directory, name);
      if (entry.isDirectory()) await walk(name);
      else if (entry.isFile()) found.push(name);
      else
        throw new CtxError('image.source_kind', 'EINVAL', 'is neither a file nor a directory', {
          where: join(directory, name),
          next: 'remove it',
        });
      if (found.length > MAX_FILES)
        throw new CtxError('image.too_many_files', 'EFBIG', `holds more than ${MAX_FILES} files`, { where: join(directory, below) });
    }
  };
  await walk(below);
  return found;
}

/** What a manifest cannot hold is said of the file here, not of the layer that it would be in. */
function checkName(directory: string, name: string): void {
  const wrong = pathFault(name);
  if (wrong === undefined) return;
  throw new CtxError('image.source_name', 'EINVAL', `has a name that is ${wrong}`, {
    where: JSON.stringify(join(directory, name)),
    next: 'rename the file, or take it out of the directory',
  });
}

interface Tool {
  readonly name: string;
  readonly description?: string;
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/** memory.yaml: `memory: [{name, mode, …}]`. */
export function memoryOf(bytes: Buffer, where: string): readonly MemoryBinding[] {
  const value = parseYaml(bytes, where);
  checkAgainst('source-bundle#/$defs/memory', value, where);
  return withMode((value as { readonly memory: readonly MemoryBinding[] }).memory);
}

/** retrieval.yaml: `retrieval: [{name, mode, path, …}]`. */
export function retrievalOf(bytes: Buffer, where: string): readonly Binding[] {
  const value = parseYaml(bytes, where);
  checkAgainst('source-bundle#/$defs/retrieval', value, where);
  return withMode((value as { readonly retrieval: readonly Binding[] }).retrieval);
}

/** A binding without a mode is read-only. */
export function withMode<T extends { readonly mode?: Binding['mode'] | undefined }>(
  bindings: readonly T[],
): readonly (T & { readonly mode: Binding['mode'] })[] {
  return bindings.map((binding) => ({ ...binding, mode: binding.mode ?? 'read-only' }));
}

/** What context.yaml binds, with what the file of the bundle says of the same name; then what only the file binds. */
export function joinBindings<T extends Binding>(
  named: readonly ({ readonly name: string } & Loose<T>)[] | undefined,
  ofFile: readonly T[],
): readonly T[] {
  const names = new Set(named?.map(({ name }) => name));
  const joined = (named ?? []).map((binding): T => ({ ...ofFile.find(({ name }) => name === binding.name), ...binding }) as T);
  return [...joined, ...ofFile.filter(({ name }) => !names.has(name))];
}

/** tools.yaml as context/tools.json: function tools in the order of the file. */
export function toolsJson(
  bytes: Buffer,
  where: string,
): { readonly names: readonly string[]; readonly json: Buffer; readonly version: string | undefined } {
  const value = parseYaml(bytes, where);
  checkAgainst('source-bundle#/$defs/tools', value, where);
  const { tools, schema_version: version } = value as { readonly tools: readonly Tool[]; readonly schema_version?: string };
  const functions = tools.map((tool) => ({ type: 'function', function: tool }));
  return { names: tools.map(({ name }) => name), json: Buffer.concat([canonicalBytes(functions), Buffer.from('\n')]), version };
}

/** environment.yaml: names of variables and their values. */
export function checkEnvironment(bytes: Buffer, where: string): void {
  checkAgainst('source-bundle#/$defs/environment', parseYaml(bytes, where), where);
}

/** Lines that a shell reads (`set -a; . FILE`), sorted by name: values in single quotes. What is no name or no plain value is left out. */
export function environmentText(bytes: Buffer, where: string): string {
  const value = parseYaml(bytes, where);
  const entries = Object.entries(typeof value === 'object' && value !== null ? value : {}) as readonly [string, unknown][];
  return entries
    .filter(([name, each]) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && ['string', 'number', 'boolean'].includes(typeof each))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, each]) => `${name}='${String(each).replaceAll("'", "'\\''")}'\n`)
    .join('');
}
