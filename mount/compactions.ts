// CMP-5: compaction where a session's policy asks for it, in the background: one child process at a time, an ordinary client of
// the mount (`ctx compact`), at an epoch's start. It gives way to a compile, ends with the mount, and is tried again later
// after a failure. What was done already stands in the session's events: this only says when to look.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface CompactionsOptions {
  readonly store: string;
  readonly mountpoint: string;
  /** A compile waits or runs: reads come first. */
  readonly busy: () => boolean;
  /** What `status` shows has changed. */
  readonly onChange: () => void;
  readonly log: (line: string) => void;
}

interface Session {
  /** Start of the epoch for which it ran last. */
  epoch: number | undefined;
  failures: number;
  notBeforeMs: number;
}

/** Longest run: a server that says a word a minute must not keep others waiting for ever. */
const MOST_MS = 15 * 60_000;
const BACKOFF_MS = { first: 60_000, most: 60 * 60_000 };
/** After it gave way: a compile is seldom alone. */
const REST_MS = 2_000;
const MOST_WAITING = 64;
const TAIL_BYTES = 4096;
const HEAP_MB = 512;
const INTERRUPTED = 130;

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Compactions {
  readonly #options: CompactionsOptions;
  readonly #sessions: Map<string, Session> = new Map();
  /** Sessions to look at, by path below the store. */
  readonly #waiting: Set<string> = new Set();
  #running: { readonly session: string; readonly child: ChildProcess; readonly ended: Promise<Outcome>; gaveWay: boolean } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #error: { readonly session: string; readonly reason: string } | undefined;
  #last: string | undefined;
  #closed = false;

  constructor(options: CompactionsOptions) {
    this.#options = options;
  }

  /** A pack of this session was read whose policy asks for it. `epoch`: where the pack's epoch starts. Never throws. */
  seen(session: string, epoch: number): void {
    const known = this.#sessions.get(session) ?? { epoch: undefined, failures: 0, notBeforeMs: 0 };
    this.#sessions.set(session, known);
    if (known.epoch === epoch || this.#closed) return;
    if (known.notBeforeMs > Date.now() || this.#waiting.size >= MOST_WAITING) return;
    known.epoch = epoch;
    this.#waiting.add(session);
    this.#pump();
  }

  forget(session: string): void {
    this.#sessions.delete(session);
    this.#waiting.delete(session);
    if (this.#error?.session === session) this.#error = undefined;
    if (this.#running?.session === session) this.#running.child.kill('SIGTERM');
  }

  /** A compile has come or gone. */
  busyChanged(): void {
    const running = this.#running;
    if (running === undefined) return this.#pump();
    if (!this.#options.busy() || running.gaveWay) return;
    running.gaveWay = true;
    running.child.kill('SIGTERM');
  }

  /** Lines of `/ctx/status`; none before the first run. */
  get status(): readonly string[] {
    const line = (name: string, value: string | undefined): string[] =>
      value === undefined ? [] : [`${name}=${value.replaceAll('\n', ' ')}`];
    return [
      ...line('compact_running', this.#running === undefined ? undefined : shortName(this.#running.session)),
      ...line('compact_last', this.#last),
      ...line('compact_error', this.#error === undefined ? undefined : `${shortName(this.#error.session)}: ${this.#error.reason}`),
    ];
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#waiting.clear();
    const running = this.#running;
    if (running === undefined) return;
    // It may wait for a mount that is gone: nothing that it could still say matters.
    running.child.kill('SIGKILL');
    await running.ended;
  }

  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#running !== undefined || this.#waiting.size === 0) return;
    if (this.#options.busy()) return this.#later();
    const session = this.#waiting.values().next().value as string;
    this.#waiting.delete(session);
    void this.#run(session);
  }

  #later(): void {
    this.#timer = setTimeout(() => this.#pump(), REST_MS).unref();
  }

  /** Never rejects. */
  async #run(session: string): Promise<void> {
    const { child, ended } = this.#start(session);
    const running = { session, child, ended, gaveWay: false };
    this.#running = running;
    this.#options.onChange();
    const limit = setTimeout(() => child.kill('SIGKILL'), MOST_MS).unref();
    const outcome = await ended;
    clearTimeout(limit);
    this.#running = undefined;
    if (this.#closed) return;
    const known = this.#sessions.get(session);
    if (known !== undefined) this.#took(session, known, outcome, running.gaveWay);
    this.#options.onChange();
    if (running.gaveWay) this.#later();
    else this.#pump();
  }

  #took(session: string, known: Session, { code, stdout, stderr }: Outcome, gaveWay: boolean): void {
    if (gaveWay || code === INTERRUPTED) {
      this.#waiting.add(session);
      return;
    }
    const report = code === 0 ? reportOf(stdout) : undefined;
    if (report === undefined && code === 0) return;
    if (report === undefined) {
      known.failures += 1;
      known.notBeforeMs = Date.now() + Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** (known.failures - 1));
      // The next read of a pack after that time tries again, whatever its epoch.
      known.epoch = undefined;
      this.#error = { session, reason: reasonOf(stderr, code) };
      this.#options.log(`compact ${session}: ${this.#error.reason}`);
      return;
    }
    known.failures = 0;
    if (this.#error?.session === session) this.#error = undefined;
    const { facts, decisions, todo } = report.recorded;
    this.#last = `${shortName(session)} ${new Date().toISOString()}: ${report.blocks} blocks read, ${facts} facts, ${decisions} decisions, ${todo} todos, ${report.dropped.length} dropped`;
    // The rest of a long history, after others had their turn.
    if (report.left > 0) this.#waiting.add(session);
  }

  #start(session: string): { readonly child: ChildProcess; readonly ended: Promise<Outcome> } {
    const { mountpoint } = this.#options;
    const ctx = fileURLToPath(new URL('../../bin/ctx', import.meta.url));
    const args = ['-n', '10', process.execPath, `--max-old-space-size=${HEAP_MB}`, ctx, 'compact', `${mountpoint}/${session}`];
    const child = spawn('nice', [...args, '--background', '--json'], {
      // A working directory on the mount would keep it busy.
      cwd: '/',
      // Its stdin ends with this process, however that ends; then it ends too.
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, CTX_ROOT: mountpoint, NODE_OPTIONS: '' },
    });
    const [stdout, stderr] = [tailOf(child.stdout), tailOf(child.stderr)];
    const ended = new Promise<Outcome>((resolve) => {
      child.once('error', (error) => resolve({ code: null, stdout: '', stderr: error.message }));
      child.once('close', (code) => resolve({ code, stdout: stdout(), stderr: stderr() }));
    });
    return { child, ended };
  }
}

interface Report {
  readonly blocks: number;
  readonly left: number;
  readonly dropped: readonly unknown[];
  readonly recorded: { readonly facts: number; readonly decisions: number; readonly todo: number };
}

/** Undefined: it said nothing, because the policy has changed. */
function reportOf(stdout: string): Report | undefined {
  try {
    return JSON.parse(stdout) as Report;
  } catch {
    return undefined;
  }
}

function reasonOf(stderr: string, code: number | null): string {
  const said = stderr
    .trim()
    .split('\n')
    .findLast((line) => line.startsWith('ctx: '));
  if (said !== undefined) return said.slice('ctx: '.length);
  return code === null ? 'it was ended (too long, or too much memory)' : `it ended with ${code}: ${stderr.trim().slice(-200)}`;
}

/** AGENT/SESSION of a path below the store. */
function shortName(session: string): string {
  const parts = session.split('/');
  return `${parts.at(-3)}/${parts.at(-1)}`;
}

/** A report names what was dropped: it may be long. */
function tailOf(stream: NodeJS.ReadableStream | null): () => string {
  let text = '';
  stream?.setEncoding('utf8').on('data', (piece: string) => {
    text = (text + piece).slice(-TAIL_BYTES * 64);
  });
  return () => text;
}
