// Recorded inputs on the deriver thread: pinned, control, tool-schema and child files as the order log knows them.
// INP-1: each fetch looks at their stat signatures, so an edit made around us is noticed without a watcher.
import { lstatSync, readdirSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { ARTIFACT_LISTING } from '../context/child.ts';
import type { InputBytes, OrderLog } from '../journal/types.ts';
import { ENGINE, parsePolicy } from '../context/policy.ts';
import { inputFile, MAX_INPUT_BYTES, readInput, recordedBytes, recordedName } from './input-bytes.ts';
import type { EngineTokens } from './services.ts';

/** Control files whose versions are recorded. */
export const RECORDED_CONTROLS = ['context/budget', 'context/gc.policy', 'context/policy.yaml', 'context/tools.json'] as const;
const CHILD_FILES = ['status', 'agent', 'session', 'result.md', 'refs.jsonl'] as const;
const MAX_PINNED_FILES = 1024;
/** Artifacts of one child that are listed. */
const MAX_ARTIFACTS = 256;

/** TOK-9: which tokenizer of an engine counts, where the policy asks for one: recorded as a file would be. No session has such a file. */
export const ENGINE_TOKENIZER = 'engine/tokenizer';

/** INP-5: what lies in pinned/ and is not packed, a JSON array `[name, reason]` a line. A name with a dot is no packed file's. */
export const UNPACKED = 'context/pinned/.unpacked';
const MAX_UNPACKED = 256;

/** Inputs whose change begins a new epoch: the prefix depends on them. */
export function affectsPrefix(path: string): boolean {
  return (
    path.startsWith('context/pinned/') ||
    path === 'context/budget' ||
    path === 'context/policy.yaml' ||
    path === 'context/tools.json' ||
    path === ENGINE_TOKENIZER
  );
}

/** Of the policy: whether the engine's tokenizer counts, and whether that may be a server's. */
interface Asks {
  readonly engine: boolean;
  readonly remote: boolean;
}

export class InputWatch {
  readonly #directory: string;
  readonly #log: OrderLog;
  readonly #now: () => number;
  readonly #seen = new Map<string, string>();
  readonly #engine: EngineTokens | undefined;
  #asks: Asks & { readonly policy: string | undefined } = { policy: undefined, engine: false, remote: false };

  constructor(directory: string, log: OrderLog, now: () => number, engine?: EngineTokens) {
    this.#directory = directory;
    this.#log = log;
    this.#now = now;
    this.#engine = engine;
  }

  /**
   * Records every version that the log does not know yet; true when there was one. A few system calls when nothing changed.
   * A file changed within the clock's granularity is read again until its signature is old enough to trust.
   */
  update(): boolean {
    const present = new Set<string>();
    // Recorded together: each record waits for the disk four times.
    let found: InputBytes[] = [];
    let foundBytes = 0;
    let changed = false;
    const record = (): void => {
      try {
        changed = this.#log.recordInputs(found, this.#now()) || changed;
      } catch (error) {
        // A full disk, say: they are looked at again.
        for (const { path } of found) this.#seen.delete(path);
        throw error;
      }
      found = [];
      foundBytes = 0;
    };
    const unpacked: string[] = [];
    for (const path of this.#paths(unpacked)) {
      present.add(path);
      const bytes = this.#look(path);
      if (bytes === undefined) continue;
      found.push({ path, bytes });
      foundBytes += bytes.length;
      if (foundBytes >= MAX_INPUT_BYTES) record();
    }
    if (unpacked.length > 0) {
      present.add(UNPACKED);
      found.push({ path: UNPACKED, bytes: Buffer.from(unpacked.slice(0, MAX_UNPACKED).join('')) });
    }
    for (const path of this.#log.inputsAsOf().keys()) if (!present.has(path) && isWatched(path)) found.push({ path, bytes: undefined });
    record();
    for (const path of this.#seen.keys()) if (!present.has(path)) this.#seen.delete(path);
    return this.#engineTokenizer() || changed;
  }

  get countedByEngine(): boolean {
    return this.#asks.engine;
  }

  /** After the policy that asks for it. An engine that is off leaves no record: whoever has something counted is told. */
  #engineTokenizer(): boolean {
    const policy = this.#log.inputsAsOf().get('context/policy.yaml');
    if (this.#engine === undefined || policy === undefined) return false;
    if (this.#asks.policy !== policy) this.#asks = { policy, ...this.#policyAsks(policy) };
    if (!this.#asks.engine) return false;
    let digest: string;
    try {
      digest = this.#engine.digest(this.#asks.remote);
    } catch {
      return false;
    }
    return this.#log.recordInput(ENGINE_TOKENIZER, Buffer.from(`${digest}\n`), this.#now());
  }

  #policyAsks(digest: string): Asks {
    try {
      const text = recordedBytes(this.#directory, this.#log, 'context/policy.yaml', digest)?.toString('utf8');
      const { tokenizer, remote } = parsePolicy(text ?? '');
      return { engine: tokenizer === ENGINE, remote: remote.allow };
    } catch {
      return { engine: false, remote: false };
    }
  }

  /** The file's bytes, when they may be new. */
  #look(path: string): Buffer | undefined {
    const listed = path.endsWith(`/${ARTIFACT_LISTING}`);
    const file = inputFile(this.#directory, path);
    const stats = lstat(file);
    if (stats === undefined) return undefined;
    const signature = `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
    if (this.#seen.get(path) === signature) return undefined;
    const bytes = listed ? listing(join(this.#directory, path)) : readInput(file);
    if (bytes === undefined) return undefined;
    // Racily clean (git's term): a second write in the same tick would leave the same signature.
    if (BigInt(this.#now()) * 1_000_000n - stats.ctimeNs > 50_000_000n) this.#seen.set(path, signature);
    else this.#seen.delete(path);
    return bytes;
  }

  #paths(unpacked: string[]): readonly string[] {
    const paths: string[] = [];
    for (const path of RECORDED_CONTROLS) if (isFile(join(this.#directory, path))) paths.push(path);
    // A name that is not UTF-8 may be written as another file is called: that other one has it.
    let pinned = 0;
    for (const name of new Set(names(join(this.#directory, 'context/pinned')))) {
      // Editors' temporary and backup names are not packed.
      if (name.startsWith('.') || name.endsWith('~')) continue;
      const path = `context/pinned/${name}`;
      const stats = lstat(inputFile(this.#directory, path));
      const reason = whyUnpacked(stats, pinned);
      if (stats !== undefined && reason !== undefined) unpacked.push(`${JSON.stringify([path, reason])}\n`);
      else if (stats !== undefined) {
        pinned++;
        paths.push(path);
      }
    }
    for (const id of names(join(this.#directory, 'context/child'))) {
      for (const file of CHILD_FILES)
        if (isFile(join(this.#directory, 'context/child', id, file))) paths.push(`context/child/${id}/${file}`);
      if (lstat(join(this.#directory, 'context/child', id, 'artifact'))?.isDirectory() === true)
        paths.push(`context/child/${id}/${ARTIFACT_LISTING}`);
    }
    return paths;
  }
}

/** Names in a child's artifact directory, one a line; directories end in a slash. Its own time changes with its names. */
function listing(path: string): Buffer | undefined {
  try {
    const entries = readdirSync(path, { withFileTypes: true })
      .filter((entry) => (entry.isFile() || entry.isDirectory()) && !entry.name.startsWith('.') && !entry.name.includes('\n'))
      .map((entry) => `${entry.name}${entry.isDirectory() ? '/' : ''}\n`)
      .sort(byBytes);
    return Buffer.from(entries.slice(0, MAX_ARTIFACTS).join(''));
  } catch {
    return undefined;
  }
}

function isWatched(path: string): boolean {
  return path.startsWith('context/pinned/') || path.startsWith('context/child/') || (RECORDED_CONTROLS as readonly string[]).includes(path);
}

function names(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { encoding: 'buffer' }).map(recordedName).sort(byBytes);
  } catch {
    return [];
  }
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function lstat(path: string | Buffer): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

/** INP-2; undefined: it is packed. `pinned` files are packed already. */
function whyUnpacked(stats: BigIntStats | undefined, pinned: number): string | undefined {
  if (stats === undefined) return undefined;
  if (stats.isSymbolicLink()) return 'a symbolic link: only files are packed';
  if (stats.isDirectory()) return 'a directory: only files directly in pinned/ are packed';
  if (!stats.isFile()) return 'not a regular file';
  if (stats.size > BigInt(MAX_INPUT_BYTES)) return `larger than ${MAX_INPUT_BYTES >> 20} MiB`;
  return pinned >= MAX_PINNED_FILES ? `more than ${MAX_PINNED_FILES} files are pinned` : undefined;
}

/** Regular files only: a symbolic link could lead out of the session. */
function isFile(path: string | Buffer): boolean {
  const stats = lstat(path);
  return stats !== undefined && stats.isFile() && stats.size <= BigInt(MAX_INPUT_BYTES);
}
