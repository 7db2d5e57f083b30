// Finds what must not leave in many strings at once, in a process of its own that has a bound in time and memory (IMG-112).
import { fork, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CtxError } from '../abi/errors.ts';
import type { Hit } from './redact-rules.ts';

/** A string as it is meant, and what stands before it where it was found (`password="`): many rules need that. */
export interface Leaf {
  readonly before: string;
  readonly value: string;
  redacted?: string;
}

export interface Scanner {
  /** Sets `redacted` on the leaves that change; counts each replacement under its rule. `where` names the text when it cannot be scanned. */
  scan(leaves: readonly Leaf[], count: (rule: string) => void, where: string): Promise<void>;
  close(): void;
}

/** What the process is asked, and what it answers; it says `ready` first. */
export interface Search {
  readonly text: string;
  readonly patterns: readonly string[];
}
export type Found = 'ready' | { readonly hits: readonly Hit[] } | { readonly failed: string };

export interface ScanLimits {
  /** For each million characters, or a part of it. A million takes a second of an idle machine. */
  readonly msPerMillion: number;
  readonly heapMB: number;
}

const LIMITS: ScanLimits = { msPerMillion: 120_000, heapMB: 1024 };
const START_MS = 120_000;
const BREAK = '\n\u0000\n';

export function scannerOf(patterns: readonly string[], limits: ScanLimits = LIMITS): Scanner {
  let searching: Promise<ChildProcess> | undefined;
  const search = async (text: string, where: string): Promise<readonly Hit[]> => {
    const limitMs = limits.msPerMillion * Math.ceil((text.length + 1) / 1e6);
    try {
      const child = await (searching ??= start(limits.heapMB));
      const found = await answer(child, limitMs, () => child.send({ text, patterns } satisfies Search));
      if (typeof found === 'object' && 'hits' in found) return found.hits;
      throw new Error(found === 'ready' ? 'the search began anew' : found.failed);
    } catch (cause) {
      close();
      throw unscannable(where, `cannot be searched within its bounds (${(cause as Error).message})`, cause);
    }
  };
  const close = (): void => {
    void searching?.then(
      (child) => child.kill('SIGKILL'),
      () => undefined,
    );
    searching = undefined;
  };
  return {
    close,
    async scan(leaves, count, where) {
      const text = leaves.map(({ before, value }) => before + value).join(BREAK);
      const hits = text === '' ? [] : await search(text, where);
      let at = 0;
      for (const leaf of leaves) {
        const start = at + leaf.before.length;
        const end = start + leaf.value.length;
        at = end + BREAK.length;
        const inside = hits.flatMap((hit) => (hit.end > start && hit.start < end ? [widened(hit, leaf.value, start)] : []));
        if (inside.length > 0) leaf.redacted = replaced(leaf.value, inside, count);
      }
    },
  };
}

async function start(heapMB: number): Promise<ChildProcess> {
  const child = fork(processFile(), {
    serialization: 'advanced',
    execArgv: [`--max-old-space-size=${heapMB}`],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  await answer(child, START_MS);
  return child;
}

/** Its next word. Whatever goes wrong, and when it takes too long, the process is ended. */
async function answer(child: ChildProcess, limitMs: number, ask: () => void = () => undefined): Promise<Found> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Found>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`it takes longer than ${limitMs / 1000} s`)), limitMs);
      child.once('message', (message) => resolve(message as Found));
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(new Error(`it needs too much memory, or fails otherwise: ${signal ?? code}`)));
      ask();
    });
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(timer);
    for (const event of ['message', 'error', 'exit']) child.removeAllListeners(event);
    // What ends later is nobody's concern.
    child.on('error', () => undefined);
  }
}

/** Beside this file when built; running from sources, in the build's directory. */
function processFile(): string {
  const beside = fileURLToPath(new URL('./redact-process.js', import.meta.url));
  if (existsSync(beside)) return beside;
  const built = fileURLToPath(new URL('../../dist/src/image/redact-process.js', import.meta.url));
  if (existsSync(built)) return built;
  throw new CtxError('image.not_built', 'ENOENT', 'the process that searches is not built', { where: built, next: 'npm run build' });
}

/**
 * Within the leaf, out to the ends of the word. Some ranges of secretlint end before the secret does (its rule for AWS counts the
 * secret's length from the name in front of it): those go to the end of the line.
 */
function widened({ start, end, rule }: Hit, value: string, leafStart: number): Hit {
  let from = Math.max(0, start - leafStart);
  let to = Math.min(value.length, end - leafStart);
  if (rule === 'aws') {
    const line = value.indexOf('\n', to);
    return { start: from, end: line < 0 ? value.length : line, rule };
  }
  while (from > 0 && !isEdge(value, from - 1)) from--;
  while (to < value.length && !isEdge(value, to)) to++;
  return { start: from, end: to, rule };
}

function isEdge(text: string, at: number): boolean {
  return /[\s"'`,;(){}<>[\]=]/.test(text.charAt(at));
}

function replaced(value: string, hits: readonly Hit[], count: (rule: string) => void): string {
  let out = '';
  let at = 0;
  for (const { start, end, rule } of hits.toSorted((a, b) => a.start - b.start)) {
    if (end <= at) continue;
    if (start >= at) {
      out += `${value.slice(at, start)}[redacted:${rule}]`;
      count(rule);
    }
    at = end;
  }
  return out + value.slice(at);
}

/** What is not understood whole does not leave. */
export function unscannable(where: string, what: string, cause?: unknown): CtxError {
  return new CtxError('image.cannot_redact', 'EINVAL', `${what}: it cannot be scanned for secrets, so the image does not leave`, {
    where,
    next: 'name it in policy.private_documents, or take it out of the image',
    cause,
  });
}
