// The driver with its real child process and the tiny model.
import { execFile, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, watch, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/abi/digest.ts';
import { binaryDigest } from '../../src/engine/fingerprint.ts';
import { openLlamaDriver } from '../../src/engine/llama/driver.ts';
import type { LlamaDriver, LlamaDriverOptions } from '../../src/engine/llama/driver.ts';
import { engineDirectory } from '../../src/engine/llama/native.ts';
import type { LlamaSequence } from '../../src/engine/llama/native.ts';
import { lookOf } from '../../src/engine/state-seal.ts';
import type {
  ArtifactFile,
  CompileOutcome,
  GenerateEvent,
  GenerateJob,
  GenerateOutcome,
  ModelConfig,
  Prompt,
} from '../../src/engine/types.ts';
import { makeTinyModel, openModel, prompt, scratch, someTokens, tinyConfig } from './tiny.ts';

const place = scratch();
const cacheDirectory = join(place, 'models');
const model = makeTinyModel(join(place, 'model.gguf'));
const drivers: LlamaDriver[] = [];
afterEach(async () => {
  await Promise.all(drivers.splice(0).map((driver) => driver.close()));
});
/** For what needs no process of its own; `cleared` leaves nothing live that the next prompt could use. */
const shared = openLlamaDriver(tinyConfig(model), { cacheDirectory });
afterAll(async () => {
  await shared.close();
  await rm(place, { recursive: true });
});
const never = new AbortController().signal;
const long = (words: number): Prompt => prompt('the file and the line of a test '.repeat(Math.ceil(words / 8)));

describe('compiling', () => {
  test('saves a state whose digest and tokens are as told, and again from it evaluates nothing', async () => {
    const driver = await cleared();
    const seen: number[] = [];
    const first = await compile(driver, long(600), { name: 'first', onProgress: (done) => seen.push(done) });
    expect(first.outcome).toMatchObject({ reusedTokens: 0, evaluatedTokens: first.tokens.length });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(first.tokens.length);
    expect(digestOf(readFileSync(first.base.path))).toBe(first.base.digest);
    const again = await compile(await cleared(), long(600), { name: 'again', base: first.base });
    expect(again.outcome).toMatchObject({ reusedTokens: first.tokens.length, evaluatedTokens: 0 });
    expect(again.base.digest).toBe(first.base.digest);
    expect(readdirSync(place).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  test('ENG-20 the engine goes on while the digest of what it saved is taken, and the digest is that of the file', async () => {
    const opened = await openModel(model, { contextTokens: 600 });
    const live = await opened.newLive();
    const tokens = someTokens(500);
    await live.prepare(tokens, undefined, false, never);
    await live.evaluate(tokens, 0, 'evaluate', never, () => undefined);
    const path = join(place, 'going-on.kv');
    const saving = await live.save(tokens, path);
    let known = false;
    const digest = saving.digest.finally(() => (known = true));
    await Promise.resolve();
    expect(known, 'whoever saved goes on first').toBe(false);
    const other = someTokens(100, 29);
    const { reusedTokens } = await live.prepare(other, undefined, false, never);
    await live.evaluate(other, reusedTokens, 'evaluate', never, () => undefined);
    expect(await digest).toBe(digestOf(readFileSync(path)));
    // The same through the process: the second is taken while the first is finished.
    const driver = await cleared();
    const both = await Promise.all([compile(driver, long(700), { name: 'one' }), compile(driver, long(650), { name: 'two' })]);
    for (const { base } of both) expect(digestOf(readFileSync(base.path))).toBe(base.digest);
  });

  test('gives way to everybody else with every thread that it has', async () => {
    const driver = await cleared();
    await compile(driver, long(600), { name: 'nice' });
    const threads = readdirSync(`/proc/${driver.pid}/task`);
    const nice = threads.flatMap((thread) => {
      const stat = `/proc/${driver.pid}/task/${thread}/stat`;
      // One may end between the two looks.
      return existsSync(stat) ? [Number(readFileSync(stat, 'utf8').split(') ')[1]?.split(' ')[16])] : [];
    });
    expect(nice.length).toBeGreaterThan(4);
    expect(Math.min(...nice)).toBeGreaterThanOrEqual(10);
  });

  test('evaluates only what follows a saved prefix, and the state is that of a fresh prefill', async () => {
    const [start, whole] = [
      prompt('the file and '.repeat(90)),
      prompt('the file and '.repeat(90), { role: 'assistant', content: 'a line of test '.repeat(40) }),
    ];
    const first = await compile(await cleared(), start, { name: 'start' });
    const extended = await compile(await cleared(), whole, { name: 'extended', base: first.base });
    const fresh = await compile(await cleared(), whole, { name: 'fresh' });
    expect(extended.outcome.reusedTokens).toBe(first.tokens.length);
    expect(extended.outcome.evaluatedTokens).toBe(whole.messages.length === 2 ? fresh.tokens.length - first.tokens.length : -1);
    expect(extended.base.digest).toBe(fresh.base.digest);
    const cut = await compile(await cleared(), start, { name: 'cut', base: fresh.base });
    expect(cut.outcome).toMatchObject({ evaluatedTokens: 0, reusedTokens: first.tokens.length });
    expect(cut.base.digest).toBe(first.base.digest);
  });

  test('live state is reused between calls, but never what was generated token by token', async () => {
    const driver = await cleared();
    const chat = long(300);
    const first = await compile(driver, chat, { name: 'live' });
    const { outcome } = await generate(driver, { prompt: chat, maxTokens: 20 });
    expect(outcome.evaluatedTokens).toBe(64);
    const next = prompt(
      ...chat.messages,
      { role: 'assistant', content: outcome.text },
      'and the next message of the user, of many words '.repeat(4),
    );
    const after = await compile(driver, next, { name: 'after' });
    expect(after.outcome.reusedTokens).toBeGreaterThanOrEqual(first.tokens.length);
    expect(after.base.digest).toBe((await compile(await cleared(), next, { name: 'anew' })).base.digest);
  });

  test('a caller that stops waiting gets its reason, and the engine answers the next', async () => {
    const driver = await cleared();
    const abort = new AbortController();
    const running = compile(driver, long(1300), { name: 'stopped', signal: abort.signal, onProgress: (done) => done > 0 && abort.abort() });
    await expect(running).rejects.toMatchObject({ code: 'engine.cancelled' });
    expect(existsSync(join(place, 'stopped.kv'))).toBe(false);
    expect((await compile(driver, long(100), { name: 'next' })).outcome.tokens).toBeGreaterThan(64);
  });

  test('ENG-18: what a compile evaluated before it was given up is not evaluated again', async () => {
    const driver = await cleared();
    const abort = new AbortController();
    let evaluated = 0;
    const running = compile(driver, long(1300), {
      name: 'given-up',
      signal: abort.signal,
      onProgress: (done) => {
        evaluated = done;
        if (done > 0) abort.abort();
      },
    });
    await expect(running).rejects.toMatchObject({ code: 'engine.cancelled' });
    expect(evaluated).toBeGreaterThan(0);
    const { outcome, base, tokens } = await compile(driver, long(1300), { name: 'gone-on' });
    expect(outcome.reusedTokens).toBeGreaterThanOrEqual(evaluated);
    expect(outcome.evaluatedTokens).toBe(tokens.length - outcome.reusedTokens);
    expect(base.digest).toBe((await compile(await cleared(), long(1300), { name: 'from-the-start' })).base.digest);
  });

  test('tokens that the model does not have are refused, and end nothing', async () => {
    await shared.describe();
    const pid = shared.pid;
    const job = { prompt: prompt('x'), saveTo: join(place, 'tokens.kv'), signal: never, onProgress: () => undefined };
    await expect(shared.compile({ ...job, tokens: Uint32Array.of(1, 2, 1 << 30) })).rejects.toMatchObject({ code: 'engine.tokens' });
    await expect(shared.compile({ ...job, tokens: new Uint32Array() })).rejects.toMatchObject({ code: 'engine.empty' });
    expect(shared.pid).toBe(pid);
  });

  test('a prompt longer than the context is refused by both numbers', async () => {
    const driver = open({ contextTokens: 512 });
    await expect(compile(driver, long(2000), { name: 'long' })).rejects.toMatchObject({
      code: 'engine.context',
      message: expect.stringMatching(/\d{3,} tokens.*511/) as string,
    });
  });
});

describe('bad state files', () => {
  test('are refused with a reason, never end the child, and the state is built from source', async () => {
    const driver = open();
    const chat = long(300);
    const good = await compile(await cleared(), chat, { name: 'good' });
    const bytes = readFileSync(good.base.path);
    const cells = 12 + good.tokens.length * 4 + 4;
    await driver.tokenize(chat, false);
    const pid = driver.pid;
    const edit = (at: number, value: number): Buffer => {
      const changed = Buffer.from(bytes);
      changed.writeUInt32LE(value, at);
      return changed;
    };
    const cases: Record<string, readonly [bytes: Buffer, told: Buffer]> = {
      'cut by one byte': [bytes.subarray(0, -1), bytes],
      'cut by one byte, told so': [bytes.subarray(0, -1), bytes.subarray(0, -1)],
      'cut inside the keys': [bytes.subarray(0, cells + good.tokens.length * 12 + 500), bytes],
      empty: [Buffer.alloc(0), Buffer.alloc(0)],
      'token beyond the vocabulary': [edit(40, 1 << 30), edit(40, 1 << 30)],
      'cell count 2^28': [edit(cells, 2 ** 28), edit(cells, 2 ** 28)],
      'cell count 0': [edit(cells, 0), edit(cells, 0)],
      'one flipped bit in the values': [edit(bytes.length - 4, bytes.readUInt32LE(bytes.length - 4) ^ 1), bytes],
      'not a number in the values': [edit(bytes.length - 4, 0x7e007e00), bytes],
      'another magic': [edit(0, 1), edit(0, 1)],
    };
    for (const [name, [held, told]] of Object.entries(cases)) {
      const path = join(place, 'bad.kv');
      writeFileSync(path, held);
      const base = { path, bytes: told.length, digest: digestOf(told), tokens: good.tokens };
      await freshStart(driver);
      const { outcome, base: made } = await compile(driver, chat, { name: 'rebuilt', base });
      expect(outcome.baseRefused, name).toMatch(/^the saved state /);
      expect(outcome.evaluatedTokens, name).toBe(good.tokens.length);
      expect(made.digest, name).toBe(good.base.digest);
    }
    expect(driver.pid).toBe(pid);
  });

  test('ENG-14 a state that changed and left no trace is found before anything that came of it is told', async () => {
    const chat = long(300);
    const good = await compile(await cleared(), chat, { name: 'sound' });
    const longer = { ...chat, messages: [...chat.messages, { role: 'user', content: 'and then? '.repeat(60) }] };
    const fresh = await compile(await cleared(), longer, { name: 'fresh' });
    const told = await generate(await cleared(), { prompt: longer, maxTokens: 8 });
    const path = join(place, 'rotten.kv');
    const bytes = readFileSync(good.base.path);
    // What a disk may do to a number that is used in every layer: no structure changes.
    bytes.fill(0x35, bytes.length - 4096);
    writeFileSync(path, bytes);
    const base = { ...good.base, path, look: lookOf(statSync(path, { bigint: true })) };
    const rebuilt = await compile(await cleared(), longer, { name: 'rebuilt', base });
    expect(rebuilt.outcome).toMatchObject({ reusedTokens: 0, baseRefused: expect.stringContaining('digest differs') as string });
    expect(rebuilt.base.digest).toBe(fresh.base.digest);
    const answered = await generate(await cleared(), { prompt: longer, maxTokens: 8, base });
    expect(answered.events).toEqual(told.events);
    const sound = { ...good.base, look: lookOf(statSync(good.base.path, { bigint: true })) };
    const from = await compile(await cleared(), longer, { name: 'from', base: sound });
    expect(from.outcome.baseRefused).toBeUndefined();
    expect(from.outcome.reusedTokens).toBeGreaterThan(good.tokens.length / 2);
    expect(from.base.digest).toBe(fresh.base.digest);
  });

  test('a file that is gone, longer than the context, or of other tokens is refused too', async () => {
    const chat = long(600);
    const good = await compile(await cleared(), chat, { name: 'longer' });
    const small = open({ contextTokens: 256 });
    const short = await compile(small, prompt('the file and the line '.repeat(20)), { name: 'short', base: good.base });
    expect(short.outcome.tokens).toBeLessThan(256);
    const gone = await compile(await cleared(), chat, { name: 'gone', base: { ...good.base, path: join(place, 'nowhere.kv') } });
    expect(gone.outcome).toMatchObject({ reusedTokens: 0, baseRefused: expect.stringContaining('cannot be opened') as string });
    const tokens = Uint32Array.from(good.tokens, (token, index) => (index === 500 ? token ^ 1 : token));
    const other = await compile(await cleared(), chat, { name: 'othertokens', base: { ...good.base, tokens } });
    expect(other.outcome).toMatchObject({ reusedTokens: 0, baseRefused: expect.stringContaining('other tokens') as string });
  });

  test('weights, quantization and tokenizer of the same shape have other fingerprints, so their state is never offered', async () => {
    const swapped = readFileSync(model);
    const at = swapped.indexOf('<tool_call>');
    swapped.write('<tool_CALL>', at);
    writeFileSync(join(place, 'tokenizer.gguf'), swapped);
    const files = [
      model,
      makeTinyModel(join(place, 'seed.gguf'), '--seed', '2'),
      makeTinyModel(join(place, 'f16.gguf'), '--type', 'f16'),
      join(place, 'tokenizer.gguf'),
    ];
    const digests = [];
    for (const path of files) digests.push(binaryDigest((await open({ path }).describe()).fingerprint));
    for (const config of [{ kvKeyType: 'BF16' }, { flashAttention: false }] as const)
      digests.push(binaryDigest((await open(config).describe()).fingerprint));
    expect(new Set(digests).size).toBe(6);
    copyFileSync(model, join(place, 'copy.gguf'));
    const here = { path: join(place, 'copy.gguf'), threads: 2, contextTokens: 1024, name: 'renamed' };
    expect(binaryDigest((await open(here).describe()).fingerprint)).toBe(digests[0]);
  });
});

describe('the child process', () => {
  test('killed while it evaluates is an error that says so, and the next call starts another', async () => {
    const driver = open();
    const running = compile(driver, long(1300), { name: 'killed', onProgress: (done) => done > 0 && kill(driver) });
    await expect(running).rejects.toMatchObject({ code: 'engine.crashed', message: expect.stringContaining('SIGKILL') as string });
    expect(existsSync(join(place, 'killed.kv'))).toBe(false);
    expect((await compile(driver, long(100), { name: 'afterkill' })).outcome.reusedTokens).toBe(0);
  });

  test('killed while idle is not noticed beyond a new start', async () => {
    const driver = open();
    await driver.describe();
    const pid = driver.pid;
    kill(driver);
    await gone(pid);
    expect((await driver.describe()).id).toBe('local/tiny');
    expect(driver.pid).not.toBe(pid);
  });

  test('killed while it saves leaves no file with the name, or the whole file', async () => {
    const directory = join(place, 'saving');
    mkdirSync(directory);
    const chat = long(1300);
    const base = (await compile(await cleared(), chat, { name: 'bigbase' })).base;
    let torn = 0;
    // Whole in some rounds, torn in others; on until both were met in time.
    for (let round = 0; round < 6 || torn === 0; round += 1) {
      const driver = open();
      const saveTo = join(directory, `${round}.kv`);
      // From the first sign of the temporary file on, a little later each time.
      const watcher = watch(directory, () => void sleep(round % 6).then(() => kill(driver)));
      const job = { prompt: chat, tokens: base.tokens, base, saveTo, signal: never, onProgress: () => undefined };
      const failed = await driver.compile(job).then(
        () => false,
        (error: { code: string }) => error.code === 'engine.crashed',
      );
      watcher.close();
      if (failed) torn += 1;
      if (existsSync(saveTo)) expect(digestOf(readFileSync(saveTo))).toBe(base.digest);
      else expect(failed).toBe(true);
      await driver.close();
    }
    expect(torn).toBeGreaterThan(0);
  });

  test('ends with the program that started it, however that ends', async () => {
    const program = `
      import { openLlamaDriver } from ${JSON.stringify(new URL('../../dist/src/engine/llama/driver.js', import.meta.url).href)};
      const driver = openLlamaDriver(${JSON.stringify(tinyConfig(model))});
      await driver.tokenize({ messages: [{ role: 'user', content: 'a' }], tools: [] }, false);
      console.log(driver.pid);
      setInterval(() => undefined, 1000);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const pid = await new Promise<number>((resolve) => parent.stdout.once('data', (bytes: Buffer) => resolve(Number(bytes.toString()))));
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    parent.kill('SIGKILL');
    await gone(pid);
  });

  test('keeps no program alive that has nothing more to ask', async () => {
    const program = `
      import { openLlamaDriver } from ${JSON.stringify(new URL('../../dist/src/engine/llama/driver.js', import.meta.url).href)};
      console.log((await openLlamaDriver(${JSON.stringify(tinyConfig(model))}).describe()).id);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { timeout: 240_000 });
    expect(stdout).toBe('local/tiny\n');
  });

  test('is unloaded when idle, and starts again when asked', async () => {
    const driver = open({}, { idleMs: 50 });
    const before = await driver.tokenize(prompt('hello'), false);
    await expect.poll(() => driver.pid, { timeout: 240_000 }).toBeUndefined();
    expect(await driver.tokenize(prompt('hello'), false)).toEqual(before);
  });

  test('a model that does not fit its memory is refused with what to do', async () => {
    const wide = makeTinyModel(join(place, 'wide.gguf'), '--layers', '8', '--embed', '512', '--heads', '8', '--type', 'q8_0');
    const limit = 320 * 2 ** 20;
    for (const config of [
      { memoryLimitBytes: 1 << 20 },
      { path: wide, contextTokens: 32_768, memoryLimitBytes: 256 * 2 ** 20 },
      { path: wide, contextTokens: 30_000, memoryLimitBytes: limit },
    ]) {
      const failure = compile(open(config), long(100), { name: 'memory' });
      await expect(failure).rejects.toMatchObject({
        code: 'engine.memory',
        errno: 'ENOMEM',
        next: expect.stringContaining('memory') as string,
      });
    }
  });

  test('another file in the model file’s place is another model', async () => {
    const path = join(place, 'replaced.gguf');
    copyFileSync(model, path);
    const driver = open({ path });
    const before = await driver.describe();
    copyFileSync(makeTinyModel(join(place, 'third.gguf'), '--seed', '3'), path);
    expect((await driver.describe()).fingerprint['weights_digest']).not.toBe(before.fingerprint['weights_digest']);
    truncateSync(path, 5000);
    await expect(driver.describe()).rejects.toMatchObject({ code: 'engine.model', where: expect.stringContaining(path) as string });
    await expect(open({ path: join(place, 'none.gguf') }).describe()).rejects.toMatchObject({ code: 'engine.model', errno: 'ENOENT' });
  });

  test('without the engine the error says how to install it', async () => {
    await expect(open({}, { engineDirectory: place }).describe()).rejects.toMatchObject({
      code: 'engine.missing',
      next: expect.stringContaining('ctx engine install') as string,
    });
  });
});

describe('generating', () => {
  test('at temperature 0 the answer is the same live, restored and fresh, and comes in pieces', async () => {
    const chat = long(400);
    const { base } = await compile(await cleared(), chat, { name: 'answer' });
    const fresh = await generate(await cleared(), { prompt: chat, maxTokens: 30 });
    const restored = await generate(await cleared(), { prompt: chat, maxTokens: 30, base });
    expect(restored.outcome.text).toBe(fresh.outcome.text);
    expect(fresh.outcome).toMatchObject({ restoredTokens: 0, stop: 'length', generatedTokens: 30 });
    expect(restored.outcome.evaluatedTokens).toBe(64);
    expect(restored.events[0]).toEqual({ kind: 'start', restoredTokens: restored.outcome.restoredTokens, evaluatedTokens: 64 });
    expect(restored.events.length).toBeGreaterThan(5);
    expect(restored.events.map((event) => (event.kind === 'text' ? event.text : '')).join('')).toBe(restored.outcome.text);
  });

  test('a seed makes sampling repeatable', async () => {
    const driver = await cleared();
    const ask = async (seed: number): Promise<string> =>
      (await generate(driver, { prompt: prompt('tell'), maxTokens: 24, temperature: 1.5, seed })).outcome.text;
    expect(await ask(1)).toBe(await ask(1));
    expect(await ask(1)).not.toBe(await ask(2));
  });

  test('a schema binds the output, and one that cannot be followed is refused', async () => {
    const driver = await cleared();
    const schema = {
      type: 'object',
      properties: { kind: { enum: ['fact', 'todo'] }, count: { type: 'integer' } },
      required: ['kind', 'count'],
    };
    const { outcome } = await generate(driver, { prompt: prompt('summarize'), maxTokens: 400, schema });
    expect(outcome.stop).toBe('end');
    expect(JSON.parse(outcome.text)).toEqual({
      kind: expect.stringMatching(/^(fact|todo)$/) as string,
      count: expect.any(Number) as number,
    });
    const odd = [
      { type: 'martian' },
      { type: 'string', pattern: 'a+' },
      { type: 'array', items: { minimum: 3 } },
      { oneOf: [] },
      { $ref: '#/$defs/none' },
      'text',
    ];
    for (const each of odd) {
      const answer = generate(driver, { prompt: prompt('x'), maxTokens: 5, schema: each });
      await expect(answer, JSON.stringify(each)).rejects.toMatchObject({ code: 'engine.schema' });
    }
    const either = { anyOf: [{ const: 'yes' }, { const: 'no' }], description: 'a remark' };
    expect(JSON.parse((await generate(driver, { prompt: prompt('x'), maxTokens: 50, schema: either })).outcome.text)).toMatch(/^(yes|no)$/);
  });

  test('a reader that leaves or stops ends the answer, and the engine answers the next', async () => {
    const driver = await cleared();
    const abort = new AbortController();
    const { outcome } = await generate(
      driver,
      { prompt: prompt('speak'), maxTokens: 3000, signal: abort.signal },
      (event) => event.kind === 'text' && abort.abort(),
    );
    expect(outcome.stop).toBe('aborted');
    expect(outcome.generatedTokens).toBeLessThan(3000);
    const run = driver.generate({ prompt: prompt('speak'), maxTokens: 3000, temperature: 0, signal: never });
    await run.next();
    await run.return(undefined as never);
    expect((await generate(driver, { prompt: prompt('again'), maxTokens: 3 })).outcome.generatedTokens).toBeLessThanOrEqual(3);
  });

  test('an answer ends where the context does', async () => {
    const { outcome } = await generate(open({ contextTokens: 128 }), { prompt: long(40), maxTokens: 1000, temperature: 2, seed: 5 });
    expect(['length', 'end']).toContain(outcome.stop);
    expect(outcome.evaluatedTokens + outcome.restoredTokens + outcome.generatedTokens).toBeLessThan(128);
  });
});

describe('saving', () => {
  test('on a disk that fills up is refused, leaves nothing there, and works again where there is space', async (context) => {
    const directory = join(place, 'full');
    mkdirSync(directory);
    await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'ctxfs-test', directory]);
    context.onTestFinished(async () => void (await promisify(execFile)('umount', [directory])));
    const driver = open();
    const chat = long(1500);
    const tokens = await driver.tokenize(chat, false);
    const job = { prompt: chat, tokens, signal: never, onProgress: () => undefined };
    const full = { code: 'engine.disk_full', errno: 'ENOSPC', next: expect.stringContaining('ctx gc') as string };
    await expect(driver.compile({ ...job, saveTo: join(directory, 'a.kv') })).rejects.toMatchObject(full);
    expect(readdirSync(directory)).toEqual([]);
    expect(await driver.compile({ ...job, saveTo: join(place, 'later.kv') })).toMatchObject({ evaluatedTokens: 0 });
  });

  test('on a disk that fills up while the engine writes is refused too', async (context) => {
    const directory = join(place, 'filling');
    mkdirSync(directory);
    await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'ctxfs-test', directory]);
    context.onTestFinished(async () => void (await promisify(execFile)('umount', [directory])));
    const opened = await openModel(model);
    const live = await opened.newLive();
    const tokens = someTokens(1000);
    await live.prepare(tokens, undefined, false, never);
    await live.evaluate(tokens, 0, 'evaluate', never, () => undefined);
    // The space is there when it is asked for, and gone when the native writer comes.
    const filler: LlamaSequence = {
      ...live.sequence,
      saveStateToFile: (path) => {
        writeFileSync(join(directory, 'other'), Buffer.alloc(900 * 1024));
        return live.sequence.saveStateToFile(path);
      },
    };
    await expect(opened.saved.save(filler, tokens, join(directory, 'a.kv'))).rejects.toMatchObject({
      code: 'engine.disk_full',
      errno: 'ENOSPC',
    });
    expect(readdirSync(directory)).toEqual(['other']);
  });
});

function open(config: Partial<ModelConfig> = {}, options: LlamaDriverOptions = {}): LlamaDriver {
  const driver = openLlamaDriver(tinyConfig(model, config), { cacheDirectory, engineDirectory: engineDirectory(), ...options });
  drivers.push(driver);
  return driver;
}

interface Compiled {
  readonly outcome: CompileOutcome;
  readonly tokens: Uint32Array;
  readonly base: ArtifactFile;
}

async function compile(
  driver: LlamaDriver,
  chat: Prompt,
  options: { name: string; base?: ArtifactFile; signal?: AbortSignal; onProgress?: (done: number) => unknown },
): Promise<Compiled> {
  const tokens = await driver.tokenize(chat, false);
  const saveTo = join(place, `${options.name}.kv`);
  const outcome = await driver.compile({
    prompt: chat,
    tokens,
    saveTo,
    signal: options.signal ?? never,
    onProgress: (done) => void options.onProgress?.(done),
    ...(options.base === undefined ? {} : { base: options.base }),
  });
  return { outcome, tokens, base: { path: saveTo, bytes: outcome.file?.bytes ?? -1, digest: outcome.file?.digest ?? '', tokens } };
}

async function generate(
  driver: LlamaDriver,
  job: Partial<GenerateJob> & { prompt: Prompt; maxTokens: number },
  onEvent: (event: GenerateEvent) => unknown = () => undefined,
): Promise<{ outcome: GenerateOutcome; events: GenerateEvent[] }> {
  const events: GenerateEvent[] = [];
  const run = driver.generate({ temperature: 0, signal: never, ...job });
  for (;;) {
    const { value, done } = await run.next();
    if (done === true) return { outcome: value, events };
    events.push(value);
    onEvent(value);
  }
}

async function cleared(): Promise<LlamaDriver> {
  await freshStart(shared);
  return shared;
}

/** Leaves other tokens live, so that nothing of the next prompt is. */
async function freshStart(driver: LlamaDriver): Promise<void> {
  await generate(driver, { prompt: prompt({ role: 'system', content: 'x' }), maxTokens: 1 });
}

function kill(driver: LlamaDriver): void {
  if (driver.pid !== undefined) process.kill(driver.pid, 'SIGKILL');
}

async function gone(pid: number | undefined): Promise<void> {
  await expect
    .poll(() => existsSync(`/proc/${pid}`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')), { timeout: 240_000 })
    .toBe(false);
}
