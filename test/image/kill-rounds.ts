// Verbs on a real mount that are ended by SIGKILL at random points, and what must hold of the store afterwards.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import * as fs from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

import { checkStore } from '../../src/image/fsck.ts';
import { importArchive } from '../../src/image/import.ts';
import { ImageStore, REF_NAME } from '../../src/image/layout-store.ts';
import { fsckSession } from '../../src/journal/fsck.ts';
import { openHistory } from '../../src/journal/history.ts';
import { prepareStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT } from '../cli/program.ts';
import { SmallRegistry } from './registry/small-registry.ts';

const RUNNER = fileURLToPath(new URL('verb-runner.mjs', import.meta.url));
export const BASE = 'base/one:1';
const FIRST = 'coder/src';

export interface Verb {
  /** Before it, not to be killed. */
  readonly before?: (n: string) => readonly (readonly string[])[];
  readonly args: (n: string) => readonly string[];
  /** Names that it takes away. */
  readonly removes?: (n: string) => readonly string[];
  /** Exit codes of a run that nobody ends. */
  readonly codes?: readonly number[];
}

interface Ran {
  readonly code: number;
  readonly said: string;
  readonly ms: number;
}

export class KillRounds {
  readonly mounted: MountedStore;
  readonly #registry: SmallRegistry;
  readonly #model: Server;
  readonly #work: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly verbs: Readonly<Record<string, Verb>>;
  #hand: ChildProcess | undefined;
  #spare: Promise<ChildProcess> | undefined;
  #text = '';
  #ownDisk = false;

  private constructor(mounted: MountedStore, registry: SmallRegistry, model: Server, work: string) {
    this.mounted = mounted;
    this.#registry = registry;
    this.#model = model;
    this.#work = work;
    this.#env = { ...process.env, ...mounted.env, XDG_CONFIG_HOME: join(work, 'config'), XDG_STATE_HOME: join(work, 'state') };
    const { host } = registry;
    const line = (n: string): readonly string[] => ['append', FIRST, `line of ${n}`];
    this.verbs = {
      'build of a session': { before: (n) => [line(n)], args: (n) => ['build', FIRST, '--tag', `build/s${n}:1`] },
      'build of a directory': { args: (n) => ['build', join(work, 'source'), '--tag', `build/d${n}:1`] },
      run: { args: (n) => ['run', BASE, '--name', `run/r${n}`, '--detach'] },
      // The newest instance goes on.
      resume: { args: () => ['resume', BASE, '-p', 'go on', '--model', 'kill/answers'] },
      fork: { args: (n) => ['fork', BASE, `fork/f${n}:1`] },
      'fork at a message': { args: (n) => ['fork', BASE, `fork/at${n}:1`, '--at', '3'] },
      'fork of a session': { before: (n) => [line(n)], args: (n) => ['fork', FIRST, `coder/fork${n}`] },
      commit: { before: (n) => [['append', 'coder/inst', `line of ${n}`]], args: (n) => ['commit', 'coder/inst', `commit/c${n}:1`] },
      evict: { before: (n) => [['@compile', BASE, `state of ${n}`]], args: () => ['evict', BASE, '--compiled-state'] },
      gc: { before: (n) => [['@stray', `stray of ${n}`]], args: () => ['gc'] },
      'rm of an image': {
        before: (n) => [['tag', BASE, `rm/i${n}:1`]],
        args: (n) => ['rm', `rm/i${n}:1`, '--yes'],
        removes: (n) => [`rm/i${n}:1`],
      },
      'rm of a session': {
        before: (n) => [['run', BASE, '--name', `rm/s${n}`, '--detach']],
        args: (n) => ['rm', `session:rm/s${n}`, '--force', '--yes'],
        removes: (n) => [`rm/s${n}`],
      },
      tag: { args: (n) => ['tag', BASE, `tag/t${n}:1`] },
      export: { args: (n) => ['export', BASE, '-o', join(work, `out-${n}.tar`)] },
      'export, redacted': { args: (n) => ['export', BASE, '--redact', '-o', join(work, `redacted-${n}.tar`)] },
      import: { args: (n) => ['import', join(work, 'base.tar'), '--as', `import/m${n}:1`] },
      push: { args: (n) => ['push', BASE, `${host}/push/p${n}:1`] },
      pull: { args: (n) => ['pull', `${host}/base/one:1`, '--as', `pull/p${n}:1`] },
      sign: { args: () => ['sign', BASE, '--key', 'k', '--provenance'] },
      // The state stays in the server: all but the last step of it.
      rebuild: { args: () => ['rebuild', BASE], codes: [0, 1] },
    };
  }

  /** With a model of its own, rebuild really compiles. `diskBytes`: the store is a disk of that size. */
  static async start(withModel: boolean, diskBytes?: number): Promise<KillRounds> {
    const mounted = await prepareStore('kill-rounds');
    if (diskBytes !== undefined) {
      await mounted.must(`mkdir ${mounted.store} && mount -t tmpfs -o size=${diskBytes} ctxfs-test ${mounted.store}`, { cwd: '/' });
    }
    await mounted.must('ctx mount', { cwd: '/' });
    const work = await fs.mkdtemp(join(mounted.store, '..', 'work-'));
    const rounds = new KillRounds(mounted, await SmallRegistry.start(), await answering(), work);
    rounds.#ownDisk = diskBytes !== undefined;
    await rounds.#prepare();
    if (withModel) {
      const model = join(work, 'tiny.gguf');
      await mounted.must(`${ROOT}scripts/make-tiny-model ${model} && ctx model add ${model} --name tiny && ctx model use local/tiny`);
    }
    return rounds;
  }

  async #prepare(): Promise<void> {
    const source = join(this.#work, 'source');
    await fs.mkdir(join(source, 'documents'), { recursive: true });
    await fs.writeFile(join(source, 'documents/a.md'), 'about a\n');
    await fs.writeFile(join(source, 'transcript.jsonl'), '{"role":"user","content":"hello"}\n'.repeat(50));
    await fs.writeFile(
      join(source, 'context.yaml'),
      'name: build/d\nsource:\n  transcript: transcript.jsonl\n  documents: [documents/a.md]\n',
    );
    const lines = Array.from({ length: 200 }, (_, n) =>
      JSON.stringify({ role: n % 2 ? 'assistant' : 'user', content: `${n} ${'x'.repeat(100)}` }),
    );
    await this.mounted.must(`ctx new ${FIRST}; cat >> ${this.mounted.agents}/coder/session/src/messages.jsonl`, {
      input: `${lines.join('\n')}\n`,
    });
    await this.mounted.must(
      `cd ${this.mounted.agents}/coder/session/src/context; echo 'Answer in verse.' > pinned/style.md; echo 3000 > budget`,
    );
    this.#hand = await boot(this.#env);
    const url = `http://127.0.0.1:${(this.#model.address() as AddressInfo).port}/v1`;
    for (const args of [
      ['build', FIRST, '--tag', BASE],
      ['run', BASE, '--name', 'coder/inst', '--detach'],
      ['export', BASE, '-o', join(this.#work, 'base.tar')],
      ['push', BASE, `${this.#registry.host}/base/one:1`],
      ['key', 'new', 'k'],
      ['model', 'add', url, '--driver', 'openai', '--provider', 'kill', '--name', 'answers'],
    ])
      await this.must(args);
    this.#text = await historyOf(this.#sessionAt('coder/inst'));
    this.#spare = boot(this.#env);
  }

  /** Without an end from outside; fails unless it succeeds. */
  async must(args: readonly string[], codes: readonly number[] = [0]): Promise<Ran> {
    const [ran] = await ask(this.#hand as ChildProcess, [args]);
    if (ran === undefined || !codes.includes(ran.code)) throw new Error(`ctx ${args.join(' ')}: ${ran?.said}`);
    return ran;
  }

  /** Milliseconds that each verb takes when nobody ends it. */
  async measure(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>();
    for (const name of names) {
      const verb = this.verbs[name] as Verb;
      for (const args of verb.before?.('0') ?? []) await this.must(args);
      found.set(name, (await this.must(verb.args('0'), verb.codes)).ms);
    }
    return found;
  }

  /** All of these verbs at once, and after `afterMs` the end of their process. Then what must hold. */
  async kill(n: string, names: readonly string[], afterMs: number, daemonToo = false): Promise<void> {
    const verbs = names.map((name) => this.verbs[name] as Verb);
    for (const { before } of verbs) for (const args of before?.(n) ?? []) await this.must(args);
    const tags = await this.#tags();
    const sessions = await this.#sessions();
    const child = await (this.#spare as Promise<ChildProcess>);
    this.#spare = boot(this.#env);
    child.send(verbs.map(({ args }) => args(n)));
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    const ended = once(child, 'exit');
    if (daemonToo) process.kill(Number(/^pid=(\d+)$/m.exec(await fs.readFile(join(this.mounted.store, 'lock'), 'utf8'))?.[1]), 'SIGKILL');
    child.kill('SIGKILL');
    await ended;
    if (daemonToo) {
      await this.mounted.ctx(['umount', '--lazy']);
      const { code, stderr } = await this.mounted.ctx(['mount']);
      expect([code, stderr]).toEqual([0, '']);
    }
    const gone = new Set(verbs.flatMap(({ removes }) => removes?.(n) ?? []));
    await this.#check(tags, sessions, gone);
  }

  async #check(tags: ReadonlyMap<string, string>, sessions: readonly string[], gone: ReadonlySet<string>): Promise<void> {
    expect((await checkStore(this.#store())).filter(({ severity }) => severity === 'error')).toEqual([]);
    const now = await this.#tags();
    for (const [tag, digest] of tags) if (!gone.has(tag)) expect([tag, now.get(tag)]).toEqual([tag, digest]);
    const there = await this.#sessions();
    for (const session of sessions) if (!gone.has(session)) expect(there).toContain(session);
    for (const session of there) await this.#checkSession(session, !sessions.includes(session));
    for (const name of await fs.readdir(this.#work))
      if (/^(?:out|redacted)-.*\.tar$/.test(name)) await this.#checkArchive(join(this.#work, name));
  }

  /** A file of that name is a whole archive. */
  async #checkArchive(path: string): Promise<void> {
    const other = await ImageStore.open(join(this.#work, 'other'));
    expect(await importArchive(other, createReadStream(path) as AsyncIterable<Buffer>, { where: path })).toHaveLength(1);
    await fs.rm(path);
  }

  async #checkSession(session: string, isNew: boolean): Promise<void> {
    const directory = this.#sessionAt(session);
    expect([session, fsckSession(directory).filter(({ severity }) => severity === 'error')]).toEqual([session, []]);
    if (!isNew || session.startsWith('coder/fork')) return;
    // An instance: its image, its files and all of its history.
    const meta = JSON.parse(await fs.readFile(join(directory, 'meta.json'), 'utf8')) as { image?: { digest?: string } };
    expect([session, typeof meta.image?.digest]).toEqual([session, 'string']);
    expect(await fs.readFile(join(directory, 'context/pinned/style.md'), 'utf8')).toBe('Answer in verse.\n');
    expect(await fs.readFile(join(directory, 'context/budget'), 'utf8')).toBe('3000\n');
    const text = await historyOf(directory);
    if (session.startsWith('at')) expect(text).toBe(`${this.#text.split('\n').slice(0, 3).join('\n')}\n`);
    else expect([session, text.startsWith(this.#text)]).toEqual([session, true]);
  }

  /** A process that begins an instance and goes no further; `end` ends it. */
  async beginInstance(): Promise<{ readonly session: string; end(): Promise<void> }> {
    const child = await (this.#spare as Promise<ChildProcess>);
    this.#spare = boot(this.#env);
    const [ran] = await ask(child, [['@start', `${this.#home}/agent/begun/session/one`]]);
    const session = ran?.said ?? '';
    const end = async (): Promise<void> => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    };
    return { session, end };
  }

  /** gc, and what is left then is what something names. */
  async collect(): Promise<void> {
    await this.must(['@untag', BASE]);
    await this.must(['gc']);
    const store = this.#store();
    const wanted = new Set<string>();
    const take = async (digest: `sha256:${string}`, sizeBytes: number): Promise<void> => {
      const { config, layers } = await store.manifest({ digest, size: sizeBytes });
      for (const blob of [{ digest }, config, ...layers]) wanted.add(blob.digest.slice(7));
    };
    for (const { digest, size } of await store.entries()) await take(digest, size);
    for (const session of await this.#sessions()) {
      const meta = JSON.parse(await fs.readFile(join(this.#sessionAt(session), 'meta.json'), 'utf8')) as {
        image?: { digest: `sha256:${string}` };
      };
      const size = meta.image === undefined ? undefined : await store.sizeOf(meta.image.digest);
      if (meta.image !== undefined && size !== undefined) await take(meta.image.digest, size);
    }
    expect((await fs.readdir(join(store.directory, 'blobs/sha256'))).sort()).toEqual([...wanted].sort());
    expect(await fs.readdir(join(store.directory, 'tmp'))).toEqual([]);
    const hidden = (await this.#sessionNames()).filter((name) => name.includes('/.') || name.startsWith('.'));
    expect(hidden).toEqual([]);
  }

  /** Each verb on a full disk: what it says. Nothing that was there is lost, nothing new is half there. */
  async onFullDisk(n: string, name: string): Promise<Ran> {
    const verb = this.verbs[name] as Verb;
    for (const args of verb.before?.(n) ?? []) await this.must(args);
    const [tags, sessions] = [await this.#tags(), await this.#sessions()];
    const filler = join(this.mounted.store, 'filler');
    await this.mounted.sh(`cat /dev/zero > ${filler}; cat /dev/zero > ${filler}`, { cwd: '/' });
    try {
      const [ran] = await ask(this.#hand as ChildProcess, [verb.args(n)]);
      await this.#check(tags, sessions, new Set(verb.removes?.(n) ?? []));
      return ran as Ran;
    } finally {
      await fs.rm(filler);
    }
  }

  async end(): Promise<void> {
    for (const child of [this.#hand, await this.#spare?.catch(() => undefined)]) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    await this.mounted.end();
    if (this.#ownDisk) await this.mounted.must(`umount ${this.mounted.store}`, { cwd: '/' });
    await this.#registry.stop();
    this.#model.closeAllConnections();
    this.#model.close();
  }

  /** Beside the mount: this process must never wait for one. */
  #store(): ImageStore {
    return ImageStore.at(join(this.mounted.store, this.#home, 'image/.store'));
  }
  get #home(): string {
    return `home/${process.getuid?.() ?? 0}`;
  }
  #sessionAt(session: string): string {
    return join(this.mounted.store, this.#home, 'agent', session.replace('/', '/session/'));
  }
  async #tags(): Promise<ReadonlyMap<string, string>> {
    const entries = await this.#store().entries();
    return new Map(
      entries.flatMap(({ digest, annotations }) => (annotations?.[REF_NAME] === undefined ? [] : [[annotations[REF_NAME], digest]])),
    );
  }
  async #sessions(): Promise<readonly string[]> {
    return (await this.#sessionNames()).filter((name) => !name.startsWith('.') && !name.includes('/.'));
  }
  async #sessionNames(): Promise<readonly string[]> {
    const agents = join(this.mounted.store, this.#home, 'agent');
    const found: string[] = [];
    for (const agent of await fs.readdir(agents))
      for (const session of await fs.readdir(join(agents, agent, 'session'))) found.push(`${agent}/${session}`);
    return found;
  }
}

async function historyOf(directory: string): Promise<string> {
  const history = openHistory(directory, 'messages.jsonl');
  try {
    return history.readRange(0, history.sizeBytes).toString('utf8');
  } finally {
    history.close();
  }
}

async function boot(env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const child = fork(RUNNER, { env, cwd: '/', execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await once(child, 'message');
  return child;
}

async function ask(child: ChildProcess, verbs: readonly (readonly string[])[]): Promise<readonly Ran[]> {
  const over = new AbortController();
  child.send(verbs);
  try {
    return await Promise.race([
      once(child, 'message', over).then(([ran]) => ran as readonly Ran[]),
      once(child, 'exit', over).then(() => Promise.reject(new Error('the runner ended'))),
    ]);
  } finally {
    over.abort();
  }
}

/** A chat server that says the same to everyone, in pieces. */
async function answering(): Promise<Server> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => (body += piece.toString()));
    request.on('end', () => {
      const json = (value: unknown): void =>
        void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
      if (request.method === 'GET') return json({ object: 'list', data: [{ id: 'answers', object: 'model', max_model_len: 8192 }] });
      if (!body.includes('"stream":true'))
        return json({
          choices: [{ index: 0, message: { role: 'assistant', content: 'so' }, finish_reason: 'length' }],
          usage: { prompt_tokens: 500, completion_tokens: 1 },
        });
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const say = (delta: object, finish_reason: string | null): void =>
        void response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
      for (const word of ['so ', 'be ', 'it']) say({ role: 'assistant', content: word }, null);
      say({}, 'stop');
      response.end('data: [DONE]\n\n');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
