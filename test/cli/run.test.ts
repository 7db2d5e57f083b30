// ctx run, resume, model, engine on a real mount, with the tiny model in a real engine process.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { engineDirectory } from '../../src/engine/llama/native.ts';
import { chunk, endless, json as reply, startFailingServer, stream } from '../engine/failing-server.ts';
import { prepareStore, type MountedStore } from './mounted-store.ts';
import { CTX, LIMIT_MS, ROOT, runProgram, type Outcome } from './program.ts';

let mounted: MountedStore;
let env: Readonly<Record<string, string>>;
let model: string;
let temporary: string;

type Line = Readonly<Record<string, unknown>>;

beforeAll(async () => {
  mounted = await prepareStore('run');
  // A directory of its own: other tests run ctx too.
  temporary = join(mounted.store, '..', 'tmp');
  await mkdir(temporary);
  env = { ...mounted.env, CTX_ENGINE_DIR: engineDirectory(), TMPDIR: temporary };
  await must(['mount']);
  model = join(mounted.store, '..', 'tiny.gguf');
  const made = await runProgram(process.execPath, [`${ROOT}scripts/make-tiny-model`, '--out', model]);
  if (made.code !== 0) throw new Error(made.stderr);
});
afterAll(() => mounted.end());

const ctx = (args: readonly string[], input?: string): Promise<Outcome> =>
  mounted.ctx(args, { env, ...(input === undefined ? {} : { input }) });

async function must(args: readonly string[], input?: string): Promise<Outcome> {
  const outcome = await ctx(args, input);
  if (outcome.code !== 0) throw new Error(`ctx ${args.join(' ')} ended with ${outcome.code}: ${outcome.stderr}`);
  return outcome;
}

const parsed = (text: string): readonly Line[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);

const history = async (session: string, file = 'messages.jsonl'): Promise<readonly Line[]> =>
  parsed((await must(['cat', session, file])).stdout);

async function newSession(session: string, lines = 0): Promise<void> {
  await must(['new', session]);
  const text = Array.from({ length: lines }, (_, index) =>
    JSON.stringify({ role: 'user', content: `Line ${index} tells of foxes, rivers and old towers.` }),
  );
  if (lines > 0) await must(['append', session, '--lines'], `${text.join('\n')}\n`);
}

const greedy = ['--temperature', '0', '--max-tokens', '8'] as const;

const ESCAPES = /\u001b\[[0-9;?]*[A-Za-z]/g;

/** A ctx that stays; what it prints is waited for. */
class Running {
  readonly child: ChildProcess;
  text = '';
  readonly ended: Promise<number>;

  constructor(program: string, args: readonly string[]) {
    this.child = spawn(program, args, { cwd: '/', env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    for (const out of [this.child.stdout, this.child.stderr])
      out?.on('data', (piece: Buffer) => (this.text += piece.toString().replace(ESCAPES, '')));
    this.ended = new Promise((resolve) => this.child.once('close', (code, signal) => resolve(code ?? (signal === null ? -1 : 128))));
  }

  async until(what: RegExp | ((text: string) => boolean | Promise<boolean>)): Promise<void> {
    const holds = what instanceof RegExp ? (text: string): boolean => what.test(text) : what;
    for (const startedMs = Date.now(); !(await holds(this.text));) {
      if (Date.now() - startedMs > LIMIT_MS) throw new Error(`it never came: ${String(what)}\n${this.text}`);
      await sleep(50);
    }
  }
}

describe('ctx model and ctx engine', () => {
  it('the first model becomes the default; ls, use and rm speak of the same list', async () => {
    const none = await must(['model', 'ls']);
    expect([none.stdout, none.stderr]).toEqual(['', 'no model is configured; run: ctx model add FILE.gguf\n']);
    const before = await newSession('coder/none').then(() => ctx(['run', 'coder/none', '-p', 'hello']));
    expect([before.code, before.stderr]).toEqual([
      1,
      `ctx: engine.no_model: ${mounted.root} no model is chosen for this store; run: ctx model add FILE.gguf\n`,
    ]);
    expect(await history('coder/none')).toEqual([]);

    const all = ['--gpu', '--memory', '4096', '--kv', 'q8_0', '--provider', 'lab', '--json'];
    expect(JSON.parse((await must(['model', 'add', model, ...all])).stdout)).toMatchObject({
      models: [{ gpu: true, memory_limit_bytes: 4 * 2 ** 30, kv_key_type: 'Q8_0', kv_value_type: 'Q8_0' }],
    });
    await must(['model', 'rm', 'lab/tiny']);
    await must(['model', 'add', model, '--context', '4096', '--threads', '1']);
    const added = await must([
      'model',
      'add',
      'http://127.0.0.1:9/v1',
      '--name',
      'far',
      '--model',
      'org/big',
      '--key-env',
      'FAR_KEY',
      '--json',
    ]);
    expect(added.stderr).toMatch(
      /^ctx: warning: engine\.key: .*FAR_KEY is not set; .*; it is added all the same, and asked when it is used\n$/,
    );
    expect(JSON.parse(added.stdout)).toEqual({
      found: null,
      default: 'local/tiny',
      models: [
        { provider: '127.0.0.1', name: 'far', driver: 'openai', url: 'http://127.0.0.1:9/v1', model: 'org/big', api_key_env: 'FAR_KEY' },
        { provider: 'local', name: 'tiny', driver: 'llama', path: model, context_tokens: 4096, threads: 1 },
      ],
    });
    await must(['model', 'use', 'far']);
    expect((await must(['model', 'ls'])).stdout).toBe(
      `* 127.0.0.1/far\topenai\thttp://127.0.0.1:9/v1 org/big\n  local/tiny\tllama\t${model}\n`,
    );
    await must(['model', 'use', 'local/tiny']);
    expect((await must(['model', 'rm', 'far'])).stdout).toBe(`* local/tiny\tllama\t${model}\n`);
  });

  it('what is no model is refused before anything is configured', async () => {
    const foreign = join(mounted.store, '..', 'foreign.gguf');
    await writeFile(foreign, 'this is no model at all, only a file that is called like one');
    const cases = [
      [['model', 'add', foreign], 1, /engine\.model: .* is no GGUF file/],
      [['model', 'add', `${foreign}.missing`], 4, /does not exist/],
      [['model', 'add', model, '--kv', 'Q3'], 1, /kv_key_type is not one of F32, F16/],
      [['model', 'add', model, '--driver', 'openai'], 2, /is for the address of a server/],
      [['model', 'add', 'http://u:secret@host/v1'], 1, /holds a user name or password/],
      [['model', 'use', 'nobody'], 4, /engine\.model_unknown/],
      [['model', 'turn'], 2, /unknown command/],
    ] as const;
    for (const [args, code, words] of cases) {
      const outcome = await ctx(args);
      expect([args.join(' '), outcome.code]).toEqual([args.join(' '), code]);
      expect(outcome.stderr).toMatch(words);
      expect(outcome.stderr).not.toContain('secret');
    }
  });

  it('engine status says what is installed where, and ends with 1 when there is nothing', async () => {
    const here = JSON.parse((await must(['engine', 'status', '--json'])).stdout) as Line;
    expect(here).toMatchObject({ directory: engineDirectory(), installed: true });
    const nowhere = await mounted.ctx(['engine', 'status'], { env: { ...env, CTX_ENGINE_DIR: '/nowhere' } });
    expect([nowhere.code, nowhere.stdout]).toEqual([1, 'nothing in /nowhere\n']);
  });

  it('an install that fails says why and leaves nothing behind', async () => {
    const place = join(mounted.store, '..', 'engines');
    const offline = { CTX_ENGINE_DIR: join(place, 'new'), npm_config_registry: 'http://127.0.0.1:9', npm_config_fetch_retries: '0' };
    const { code, stderr } = await mounted.ctx(['engine', 'install'], {
      env: { ...env, ...offline, npm_config_cache: join(place, 'cache') },
    });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/engine\.install: .* was not installed: .*check the network/)]);
    expect(await readdir(place)).toEqual(['cache']);
  });
});

describe('RUN-1: one question, one answer', () => {
  it('both lines are in the history, and the second question evaluates only what is new', async () => {
    await newSession('coder/one', 30);
    const first = await must(['run', 'coder/one', '-p', 'What then?', ...greedy, '--json']);
    const events = parsed(first.stdout);
    const usage = events.find(({ type }) => type === 'usage') as { restored_tokens: number; evaluated_tokens: number };
    // The pack was compiled before the question was appended: the question alone is new (64 is the least that is evaluated).
    expect(usage.restored_tokens).toBeGreaterThan(1000);
    expect(usage.evaluated_tokens).toBe(64);
    const done = events.at(-1) as { text: string };
    expect(done).toMatchObject({ type: 'done', model: expect.any(String) });
    expect(events.map((event) => (event['type'] === 'text' ? event['text'] : '')).join('')).toBe(done.text);
    expect((await history('coder/one')).slice(30)).toEqual([
      { role: 'user', content: 'What then?' },
      expect.objectContaining({ role: 'assistant', content: done.text, model: 'local/tiny' }),
    ]);
    const second = await must(['run', 'coder/one', '-p', 'And now?', ...greedy]);
    const [, restored = '', evaluated = ''] = /ctx: ([0-9,]+) tokens restored, ([0-9,]+) evaluated/.exec(second.stderr) ?? [];
    expect(Number(restored.replace(',', ''))).toBeGreaterThan(usage.restored_tokens);
    expect(Number(evaluated.replace(',', ''))).toBeLessThan(128);
    expect(second.stdout).toBe(`${String((await history('coder/one')).at(-1)?.['content'])}\n`);
  });

  it('RUN-8: the state is used where it lies; where the store cannot be read, the mount has its bytes', async () => {
    await newSession('coder/inplace', 30);
    const restored = ({ code, stdout, stderr }: Outcome): number => {
      expect([code, stderr]).toEqual([0, '']);
      return Number(parsed(stdout).find(({ type }) => type === 'usage')?.['restored_tokens']);
    };
    const ask = ['run', 'coder/inplace', '-p', 'What then?', ...greedy, '--json'];
    // There is no place for a copy.
    expect(restored(await mounted.ctx(ask, { env: { ...env, TMPDIR: '/proc/none' } }))).toBeGreaterThan(1000);
    // Only root may hide a directory from one program; for others the store is theirs to read.
    const hidden = ['-m', 'sh', '-c', 'mount -t tmpfs none "$0/.engine" && exec "$@"', mounted.store, process.execPath, CTX, ...ask];
    const again = process.getuid?.() === 0 ? await runProgram('unshare', hidden, { env }) : await ctx(ask);
    expect(restored(again)).toBeGreaterThan(1000);
    expect(await readdir(temporary)).toEqual([]);
  });

  it('RUN-2: the pack that was sent is recorded, and is shown again by its digest', async () => {
    const sent = (await history('coder/one', 'events.jsonl')).filter(({ type }) => type === 'context.pack');
    expect(sent.map(({ messages }) => messages)).toEqual([31, 33]);
    const shown = await must(['pack', 'coder/one', '--at', String(sent[0]?.['digest']), '--json']);
    expect(JSON.parse(shown.stdout)).toMatchObject({ messages: 31, prefix_digest: sent[0]?.['digest'] });
  });

  it('the question may come on stdin; wrong options and nothing to say are wrong usage', async () => {
    await newSession('coder/stdin');
    await must(['run', 'coder/stdin', ...greedy], 'from stdin\n');
    expect((await history('coder/stdin'))[0]).toEqual({ role: 'user', content: 'from stdin' });
    for (const args of [['--max-tokens', '0'], ['--temperature', 'hot'], ['--watch', '-p', 'x'], ['-p', ' '], []])
      expect([args, (await ctx(['run', 'coder/stdin', ...args], '')).code]).toEqual([args, 2]);
    expect(await history('coder/stdin')).toHaveLength(2);
    expect((await ctx(['run', 'coder/nobody', '-p', 'x'])).code).toBe(4);
    expect((await ctx(['run', 'coder/stdin', '--model', 'nobody', '-p', 'x'])).code).toBe(4);
  });

  it('an interrupt keeps what came and ends with 130', async () => {
    await newSession('coder/stop');
    const server = await startFailingServer(endless);
    await must(['model', 'add', server.url, '--name', 'endless', '--model', 'm']);
    const run = new Running(process.execPath, [CTX, 'run', 'coder/stop', '-p', 'Go on forever.', '--model', 'endless', '--json']);
    await run.until(/"type":"text"/);
    run.child.kill('SIGINT');
    expect(await run.ended).toBe(130);
    const came = parsed(run.text).filter(({ type }) => type === 'text');
    expect(await history('coder/stop')).toEqual([
      { role: 'user', content: 'Go on forever.' },
      { role: 'assistant', content: came.map(({ text }) => text).join(''), model: '127.0.0.1/endless', stop: 'aborted' },
    ]);
    await server.end();
  });

  it('an engine that is not there, and a server that is not there, leave no question behind', async () => {
    await newSession('coder/gone');
    const missing = await mounted.ctx(['run', 'coder/gone', '-p', 'x'], { env: { ...env, CTX_ENGINE_DIR: '/nowhere' } });
    expect([missing.code, missing.stderr]).toEqual([
      1,
      'ctx: engine.missing: /nowhere the engine is not installed; install it with: ctx engine install\n',
    ]);
    const added = await must(['model', 'add', 'http://127.0.0.1:9', '--name', 'off', '--model', 'm']);
    expect(added.stderr).toMatch(/^ctx: warning: engine\.unreachable: .*\/v1\/models refuses connections.*; start the server/);
    const off = await ctx(['run', 'coder/gone', '-p', 'x', '--model', 'off']);
    expect([off.code, off.stderr]).toEqual([
      1,
      expect.stringMatching(/^ctx: engine\.unreachable: http:\/\/127\.0\.0\.1:9\/v1\/models refuses connections/),
    ]);
    expect(await history('coder/gone')).toEqual([]);
  });

  it('RUN-9: a question that does not fit the model is refused before it is in the history, or kept with the way to its answer', async () => {
    await must(['new', 'coder/full']);
    const budget = (tokens: number): Promise<string> =>
      mounted.must(`echo ${tokens} > '${mounted.agents}/coder/session/full/context/budget'`);
    const ask = (words: number): Promise<Outcome> => ctx(['run', 'coder/full', '-p', 'a '.repeat(words), ...greedy]);
    const roles = async (): Promise<readonly unknown[]> => (await history('coder/full')).map(({ role }) => role);
    await budget(8000);
    // Kept whole by any cut, and too much by itself.
    const large = await ask(6000);
    expect([large.code, large.stderr]).toEqual([
      1,
      expect.stringMatching(
        /^ctx: engine\.context: local\/tiny with this question the prompt has [0-9]+ tokens, .* holds 4095; nothing was/,
      ),
    ]);
    const lines = Array.from({ length: 290 }, () => '{"role":"user","content":"foxes, rivers and old towers, foxes and rivers"}\n');
    await must(['append', 'coder/full', '--lines'], lines.join(''));
    // The pack is within its budget with it, which the model is not.
    const more = await ask(10);
    expect([more.code, more.stderr]).toEqual([
      1,
      expect.stringMatching(/nothing was appended; give the pack a smaller budget \(echo 3072 > \//),
    ]);
    expect(await roles()).toEqual(lines.map(() => 'user'));
    // It is cut for it, and who cuts it knows no model.
    const cut = await ask(1500);
    expect([cut.code, cut.stderr]).toEqual([
      1,
      expect.stringMatching(/the question is kept .*: ctx resume .*\/full\n.*the prompt has [0-9]+ tokens, the model's context holds 4095/),
    ]);
    await budget(2000);
    expect((await must(['resume', 'coder/full', ...greedy])).stderr).toContain('evaluated');
    expect((await roles()).slice(290)).toEqual(['user', 'assistant']);
  });

  it('RUN-3: tool calls are recorded and printed, and none is executed', async () => {
    await newSession('coder/tools');
    const tools = [{ type: 'function', function: { name: 'touch', parameters: { type: 'object' } } }];
    await must(['new', 'coder/tools2']);
    const call = { index: 0, id: 'c1', type: 'function', function: { name: 'touch', arguments: '{"path":"/tmp/x"}' } };
    const answer = stream([chunk({ content: 'I touch it.' }), chunk({ tool_calls: [call] }, 'tool_calls'), 'data: [DONE]\n\n'], 'end');
    const server = await startFailingServer((request, response, body) =>
      (request.method === 'GET' ? reply(200, { data: [{ id: 'm' }] }) : answer)(request, response, body),
    );
    await mounted.must(`printf '%s' '${JSON.stringify(tools)}' > '${mounted.agents}/coder/session/tools/context/tools.json'`);
    await must(['model', 'add', server.url, '--name', 'caller', '--model', 'm']);
    const { stdout } = await must(['run', 'coder/tools', '-p', 'Touch it.', '--model', 'caller', '--json']);
    expect(parsed(stdout).filter(({ type }) => type === 'tool_call')).toEqual([
      { type: 'tool_call', id: 'c1', name: 'touch', arguments: '{"path":"/tmp/x"}' },
    ]);
    expect((await history('coder/tools')).at(-1)).toMatchObject({
      role: 'assistant',
      content: 'I touch it.',
      tool_calls: [{ id: 'c1', type: 'function', function: { name: 'touch', arguments: '{"path":"/tmp/x"}' } }],
    });
    expect(JSON.parse(server.seen.at(-1)?.body ?? '')).toMatchObject({ tools, messages: [{ role: 'user', content: 'Touch it.' }] });
    // A caller ran the tool: resume answers its result.
    await must(['append', 'coder/tools', '--lines'], '{"role":"tool","tool_call_id":"c1","content":"done"}\n');
    await must(['resume', 'coder/tools', '--model', 'caller']);
    const { messages } = JSON.parse(server.seen.at(-1)?.body ?? '') as { messages: readonly Line[] };
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool']);
    await server.end();
  });
});

describe('RUN-4: resume', () => {
  it('answers the message that waits, on the saved state; a second time nothing waits', async () => {
    await newSession('coder/resume', 30);
    const first = await must(['resume', 'coder/resume', ...greedy, '--json']);
    const usage = parsed(first.stdout)[0] as { type: string; restored_tokens: number; evaluated_tokens: number };
    expect(usage.type).toBe('usage');
    expect(usage.restored_tokens).toBeGreaterThan(1000);
    expect(usage.evaluated_tokens).toBe(64);
    expect((await history('coder/resume')).map(({ role }) => role).slice(29)).toEqual(['user', 'assistant']);
    const again = await must(['resume', 'coder/resume', ...greedy]);
    expect(again.stderr).toBe('ctx: no message waits for an answer; give one with -p\n');
    expect(await history('coder/resume')).toHaveLength(31);
  });
});

describe('RUN-5: watch', () => {
  it('answers what any program appends, never itself, and nothing twice after a restart', async () => {
    await newSession('coder/watch');
    const file = `${mounted.agents}/coder/session/watch/messages.jsonl`;
    const append = (role: string, content: string): Promise<string> =>
      mounted.must(`echo '${JSON.stringify({ role, content })}' >> '${file}'`);
    const roles = async (): Promise<readonly unknown[]> => (await history('coder/watch')).map(({ role }) => role);
    const start = (): Running => new Running(process.execPath, [CTX, 'run', 'coder/watch', '--watch', ...greedy, '--json']);
    const first = start();
    await first.until(/watching/);
    await append('user', 'one');
    await first.until(/"done"/);
    await append('assistant', 'somebody else answers');
    await append('user', 'two');
    await first.until((text) => text.split('"done"').length > 2);
    first.child.kill('SIGINT');
    expect(await first.ended).toBe(0);
    expect(await roles()).toEqual(['user', 'assistant', 'assistant', 'user', 'assistant']);
    const second = start();
    await second.until(/watching/);
    await append('user', 'three');
    await second.until(/"done"/);
    second.child.kill('SIGTERM');
    expect(await second.ended).toBe(0);
    expect(await roles()).toEqual(['user', 'assistant', 'assistant', 'user', 'assistant', 'user', 'assistant']);
  });

  it('what comes while an answer is written is answered after it, in that order', async () => {
    await newSession('coder/late');
    const file = `${mounted.agents}/coder/session/late/messages.jsonl`;
    const append = (content: string): Promise<string> => mounted.must(`echo '${JSON.stringify({ role: 'user', content })}' >> '${file}'`);
    const asked: (readonly string[])[] = [];
    const server = await startFailingServer((request, response, body) => {
      if (request.method === 'GET') return reply(200, { data: [{ id: 'm' }] })(request, response, body);
      const { messages } = JSON.parse(body) as { messages: readonly { content: string }[] };
      asked.push(messages.map(({ content }) => content));
      response.writeHead(200);
      response.write(chunk({ content: `answer ${asked.length}` }));
      const finish = (): void => void response.end(chunk({}, 'stop'));
      if (asked.length === 1) void append('second').then(finish);
      else finish();
    });
    await must(['model', 'add', server.url, '--name', 'slow', '--model', 'm']);
    const watching = new Running(process.execPath, [CTX, 'run', 'coder/late', '--watch', '--model', 'slow', '--json']);
    await watching.until(/watching/);
    await append('first');
    await watching.until((text) => text.split('"done"').length > 2);
    watching.child.kill('SIGINT');
    expect(await watching.ended).toBe(0);
    expect((await history('coder/late')).map(({ content }) => content)).toEqual(['first', 'second', 'answer 1', 'answer 2']);
    expect(asked).toEqual([['first'], ['first', 'answer 1', 'second']]);
    await server.end();
  });
});

describe('RUN-6: a chat on a terminal', () => {
  it('a line is a message; Ctrl-C stops the answer and keeps what came; Ctrl-D ends', async () => {
    await newSession('coder/tty');
    const server = await startFailingServer(endless);
    await must(['model', 'add', server.url, '--name', 'endless', '--model', 'm']);
    const line = `'${process.execPath}' '${CTX}' run coder/tty --model endless`;
    const chat = new Running('script', ['-qfec', line, '/dev/null']);
    await chat.until(/> $/);
    chat.child.stdin?.write('hello\r');
    await chat.until(/word word/);
    chat.child.stdin?.write('\u0003');
    await chat.until(/what came is kept[^]*> $/);
    // What a model says does not drive the terminal.
    expect(chat.text).not.toContain('\u0007');
    chat.text = '';
    chat.child.stdin?.write('again\r');
    await chat.until(/word word/);
    chat.child.stdin?.write('\u0003');
    await chat.until(/what came is kept[^]*> $/);
    chat.child.stdin?.write('\u0004');
    expect(await chat.ended).toBe(0);
    const lines = await history('coder/tty');
    expect(lines.map(({ role, stop }) => [role, stop])).toEqual([
      ['user', undefined],
      ['assistant', 'aborted'],
      ['user', undefined],
      ['assistant', 'aborted'],
    ]);
    expect(lines[1]?.['content']).toMatch(/^(word\u0007 )+$/);
    await server.end();
  });
});

it('what a run leaves in temporary directories is nothing', async () => {
  expect((await readdir(temporary)).filter((name) => name.startsWith('ctx-run-'))).toEqual([]);
  expect(await readFile(join(mounted.store, 'daemon.log'), 'utf8')).not.toMatch(/unhandled|TypeError/i);
});
