// Servers that fail, answer strangely or say more than asked: what the driver of remote servers makes of it.
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';

import { openDriver } from '../../src/engine/open-driver.ts';
import { probeServer, type FoundServer } from '../../src/engine/probe-server.ts';
import type { RemoteLimits } from '../../src/engine/remote-server.ts';
import type { CompileOutcome, EngineDriver, GenerateJob, ModelConfig } from '../../src/engine/types.ts';
import { drain, failureOf, promptOf } from './driver-suite.ts';
import { chunk, json, startFailingServer, stream, type Answer, type FailingServer } from './failing-server.ts';

const KEY = 'sk-very-secret-0123456789';
const limits: Partial<RemoteLimits> = { attempts: 3, backoffMs: 5 };
/** For servers that say nothing more. */
const impatient: Partial<RemoteLimits> = { ...limits, firstByteMs: 300, idleMs: 300 };
const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function against(
  answer: Answer,
  more: Partial<ModelConfig> = {},
  within = limits,
): Promise<{ readonly server: FailingServer; readonly driver: EngineDriver }> {
  const server = await startFailingServer(answer);
  ends.push(() => server.end());
  return { server, driver: driverOf(server.url, more, within) };
}

function driverOf(url: string, more: Partial<ModelConfig> = {}, within = limits): EngineDriver {
  return openDriver(
    { provider: 'test', name: 'remote', driver: 'openai', url: `${url}/v1`, model: 'm', ...more },
    { limits: within, environment: { TEST_KEY: KEY, EMPTY_KEY: '', SPACED_KEY: 'two words' } },
  );
}

const job = (more: Partial<GenerateJob> = {}): GenerateJob => ({
  prompt: promptOf('hello'),
  maxTokens: 5,
  temperature: 0,
  signal: new AbortController().signal,
  ...more,
});

const compile = (driver: EngineDriver): Promise<CompileOutcome> =>
  driver.compile({
    prompt: promptOf('hello'),
    tokens: undefined,
    saveTo: '/dev/null',
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });

const usage = (prompt: number, cached?: number): object => ({
  usage: {
    prompt_tokens: prompt,
    completion_tokens: 1,
    ...(cached === undefined ? {} : { prompt_tokens_details: { cached_tokens: cached } }),
  },
});

describe('warming a server', () => {
  it('asks for one token of the prompt and reports what the server had of it', async () => {
    const { server, driver } = await against(json(200, usage(900, 768)));
    expect(await compile(driver)).toEqual({ tokens: 900, reusedTokens: 768, evaluatedTokens: 132 });
    expect(server.seen.map(({ line }) => line)).toEqual(['POST /v1/chat/completions']);
    expect(JSON.parse(server.seen[0]?.body ?? '')).toMatchObject({
      model: 'm',
      max_tokens: 1,
      stream: false,
      messages: [{ role: 'system' }, { content: 'hello' }],
    });
  });

  it('a server that reports no cached tokens reused none; one that reports no usage at all fails', async () => {
    const { server, driver } = await against(json(200, usage(900)));
    expect(await compile(driver)).toEqual({ tokens: 900, reusedTokens: 0, evaluatedTokens: 900 });
    server.answer = json(200, { choices: [] });
    const failure = await failureOf(compile(driver));
    expect([failure.code, failure.message]).toEqual(['engine.http', 'answered without usage.prompt_tokens']);
  });
});

describe('tools', () => {
  it('schemas of every usual shape are sent in the one that servers take', async () => {
    const { server, driver } = await against(json(200, usage(9)));
    const parameters = { type: 'object', properties: { path: { type: 'string' } } };
    const whole = { type: 'function', function: { name: 'read', parameters } };
    const tools = [whole, { name: 'list', description: 'Lists.', input_schema: parameters }, { name: 'stop' }, { type: 'web_search' }];
    const job = { tokens: undefined, saveTo: '/dev/null', signal: new AbortController().signal, onProgress: () => undefined };
    await driver.compile({ prompt: { ...promptOf('hello'), tools }, ...job });
    expect((JSON.parse(server.seen[0]?.body ?? '') as { tools: unknown }).tools).toEqual([
      whole,
      { type: 'function', function: { name: 'list', description: 'Lists.', parameters } },
      { type: 'function', function: { name: 'stop', parameters: { type: 'object', properties: {} } } },
      { type: 'web_search' },
    ]);
  });
});

describe('answers of a server', () => {
  it('tool calls that come in pieces are put together, and the counts come from its usage', async () => {
    const call = (index: number, more: object): object => ({ tool_calls: [{ index, ...more }] });
    const pieces = [
      chunk({ role: 'assistant', content: 'Let me ' }),
      chunk({ content: 'look…' }),
      chunk(call(0, { id: 'a1', type: 'function', function: { name: 'read', arguments: '{"pa' } })),
      chunk(call(1, { function: { name: 'list', arguments: '{}' } })),
      chunk(call(0, { function: { arguments: 'th":"x"}' } }), 'tool_calls'),
      `data: ${JSON.stringify({ choices: [], ...usage(20, 16) })}\n\n`,
      'data: [DONE]\n\n',
    ];
    // Cut where it hurts: in the middle of a character and of a line.
    const bytes = Buffer.from(pieces.join(''));
    const half = bytes.indexOf(Buffer.from('…')) + 1;
    const { driver } = await against((_request, response) => {
      response.writeHead(200);
      response.write(bytes.subarray(0, half));
      setTimeout(() => response.end(bytes.subarray(half)), 30);
    });
    const { events, outcome } = await drain(driver.generate(job()));
    expect(outcome).toEqual({
      text: 'Let me look…',
      toolCalls: [
        { id: 'a1', name: 'read', arguments: '{"path":"x"}' },
        { id: 'call_2', name: 'list', arguments: '{}' },
      ],
      stop: 'tool_calls',
      restoredTokens: 16,
      evaluatedTokens: 4,
      generatedTokens: 1,
    });
    expect(events.map(({ kind }) => kind)).toEqual(['text', 'text', 'tool_call', 'tool_call', 'start']);
  });

  it('the model is asked for when none is configured, and one that is not served is named with those that are', async () => {
    const { driver } = await against(json(200, { data: [{ id: 'big', max_model_len: 8192 }, { id: 'small' }] }), { model: 'large' });
    const failure = await failureOf(driver.describe());
    expect([failure.code, failure.message, failure.next]).toEqual([
      'engine.model',
      'has no model large',
      'use one of big, small: ctx model add --model NAME',
    ]);
    const { driver: free } = await against(json(200, { data: [{ id: 'big', max_model_len: 8192 }] }), { model: undefined as never });
    expect(await free.describe()).toMatchObject({ id: 'big', contextTokens: 8192 });
  });
});

describe('RMT-3: failures of a server', () => {
  it('nothing listens: unreachable, with the address and what to do, at once', async () => {
    const port = await new Promise<number>((resolve) => {
      const probe = createServer().listen(0, '127.0.0.1', () => {
        const address = probe.address();
        probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
      });
    });
    const failure = await failureOf(compile(driverOf(`http://127.0.0.1:${port}`)));
    expect([failure.code, failure.where]).toEqual(['engine.unreachable', `http://127.0.0.1:${port}/v1/chat/completions`]);
    expect(failure.describe()).toMatch(/refuses connections.*start the server/);
  });

  it('a server that accepts and says nothing is given up', async () => {
    const { server, driver } = await against(() => undefined, {}, impatient);
    const failure = await failureOf(compile(driver));
    expect([failure.code, failure.errno, failure.message]).toEqual(['engine.unreachable', 'ETIMEDOUT', 'gave no reply in 300 ms']);
    expect(server.seen).toHaveLength(1);
  });

  it.each([429, 500, 503])('%i is tried again, a bounded number of times', async (status) => {
    const { server, driver } = await against(json(status, { error: { message: 'busy\nnow' } }));
    const failure = await failureOf(compile(driver));
    expect([failure.code, failure.message]).toEqual(['engine.http', `answered ${status}: busy now (3 attempts)`]);
    expect(server.seen).toHaveLength(3);
    let asked = 0;
    server.answer = (request, response, body) => {
      asked += 1;
      (asked < 3 ? json(status, '') : json(200, usage(7)))(request, response, body);
    };
    expect(await compile(driver)).toMatchObject({ tokens: 7 });
  });

  it('a refusal that will not change is not tried again', async () => {
    const { server, driver } = await against(json(400, { error: 'the request exceeds the available context size' }));
    const failure = await failureOf(compile(driver));
    expect([failure.code, failure.errno, failure.next]).toEqual([
      'engine.http',
      'EINVAL',
      'lower context/budget, or give the server more context',
    ]);
    expect(server.seen).toHaveLength(1);
  });

  it('a redirect is refused, and nothing is sent where it points', async () => {
    const { server: other } = await against(json(200, usage(7)));
    const { driver } = await against(json(307, '', { location: `${other.url}/v1/chat/completions` }), { apiKeyEnv: 'TEST_KEY' });
    const failure = await failureOf(compile(driver));
    expect(failure.describe()).toMatch(/engine\.http: .* answered 307 and points elsewhere, to http.*redirects are not followed/);
    expect(other.seen).toEqual([]);
  });

  it('what is not JSON, or too strange, fails with words', async () => {
    const { server, driver } = await against(json(200, '<html>hello</html>'));
    expect(await failureOf(compile(driver))).toMatchObject({ code: 'engine.http', message: 'answered 200 with what is not JSON' });
    server.answer = json(200, 'null');
    expect(await failureOf(compile(driver))).toMatchObject({ code: 'engine.http' });
    server.answer = stream(['data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"cho\n\n'], 'end');
    expect(await failureOf(drain(driver.generate(job())))).toMatchObject({ code: 'engine.stream' });
    server.answer = stream(['data: {"error":{"message":"out of memory"}}\n\n'], 'end');
    expect(await failureOf(drain(driver.generate(job())))).toMatchObject({ message: 'failed while answering: out of memory' });
  });

  it.each(['cut', 'silent', 'end'] as const)(
    'a stream that stops in the middle (%s) is a failure, after what came was passed on',
    async (end) => {
      // The first byte may take its time, the silence after the pieces may not.
      const within = end === 'silent' ? { ...limits, idleMs: 1500 } : limits;
      const { driver } = await against(stream([chunk({ content: 'half an ' }), chunk({ content: 'ans' })], end), {}, within);
      const run = driver.generate(job());
      expect([(await run.next()).value, (await run.next()).value]).toEqual([
        { kind: 'text', text: 'half an ' },
        { kind: 'text', text: 'ans' },
      ]);
      const failure = await failureOf(run.next());
      expect(failure.code).toBe('engine.stream');
      expect(failure.message).toBe(
        {
          cut: 'closed the connection inside its reply',
          silent: 'said nothing for 1500 ms',
          end: 'ended its reply before the answer ended',
        }[end],
      );
    },
  );

  it('stopping closes the connection, so the server stops too', async () => {
    let closed: () => void = () => undefined;
    const gone = new Promise<void>((resolve) => (closed = resolve));
    const { driver } = await against((_request, response) => {
      response.writeHead(200);
      response.write(chunk({ content: 'a' }));
      response.on('close', closed);
    });
    const stop = new AbortController();
    const run = driver.generate(job({ signal: stop.signal }));
    expect((await run.next()).value).toEqual({ kind: 'text', text: 'a' });
    stop.abort();
    expect(await run.next()).toMatchObject({ done: true, value: { stop: 'aborted', text: 'a' } });
    await gone;
  });
});

describe('RMT-4: the key', () => {
  it('comes from the environment variable that is named, and stands in no error', async () => {
    const { server, driver } = await against(json(401, { error: { message: `bad key ${KEY}` } }), { apiKeyEnv: 'TEST_KEY' });
    const failure = await failureOf(compile(driver));
    expect(server.seen[0]?.authorization).toBe(`Bearer ${KEY}`);
    expect([failure.code, failure.errno, failure.next]).toEqual(['engine.http', 'EACCES', 'check the key in TEST_KEY']);
    expect(`${failure.describe()} ${failure.stack ?? ''} ${JSON.stringify(failure)}`).not.toContain(KEY);
  });

  it.each(['MISSING_KEY', 'EMPTY_KEY', 'SPACED_KEY'])(
    'a variable that holds none (%s) is an error before anything is sent',
    async (apiKeyEnv) => {
      const { server, driver } = await against(json(200, usage(1)), { apiKeyEnv });
      const failure = await failureOf(compile(driver));
      expect([failure.code, failure.next]).toEqual(['engine.key', `export ${apiKeyEnv} where this runs`]);
      expect(server.seen).toEqual([]);
    },
  );
});

describe('MOD-3: a server is asked what it is when it is added', () => {
  const config: ModelConfig = { provider: 'test', name: 'remote', driver: 'openai', url: '' };
  const probed = async (answer: Answer, more: Partial<ModelConfig> = {}): Promise<FoundServer> => {
    const { server } = await against(answer);
    return probeServer({ ...config, url: server.url, ...more }, { limits: { firstByteMs: 300 } });
  };

  it('what it serves, with which context', async () => {
    expect(await probed(json(200, { data: [{ id: 'org/big', max_model_len: 8192 }] }))).toEqual({
      model: 'org/big',
      contextTokens: 8192,
      template: undefined,
      savesState: undefined,
      warnings: [],
    });
  });

  it.each([
    ['a model that it has not', json(200, { data: [{ id: 'other' }] }), { model: 'm' }, /has no model m; use one of other/],
    ['no key', json(401, 'who are you?'), {}, /answered 401: who are you\?; name the variable that holds the key/],
    ['no answer', () => undefined, {}, /gave no reply in 300 ms/],
    ['a page', json(200, '<html>'), {}, /what is not JSON; check that the address is that of a model server/],
    ['no llama-server', json(200, {}), { driver: 'llama-server' }, /\/props does not describe a model; .*other servers: --driver openai/],
  ] as const)('%s: what, where and the next step', async (_name, answer, more, words) => {
    const failure = await failureOf(probed(answer, more));
    expect(failure.describe()).toMatch(words);
  });
});
