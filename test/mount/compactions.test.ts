// CMP-5 … CMP-7: what the daemon has a model write at an epoch's start, on a real mount, with a real server that answers well,
// badly, in bad faith, and never.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';

import { chunk, json as reply, startFailingServer, stream, type Answer, type FailingServer } from '../engine/failing-server.ts';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { LIMIT_MS } from '../cli/program.ts';
import { isReady, prepareEngine } from './engine-mount.ts';

let mounted: MountedStore;
let server: FailingServer;
/** What is answered to a request for a record of a conversation. */
let scribe: Answer;

const asked = (): number => server.seen.filter(({ body }) => body.includes('You keep the record')).length;
const answer =
  (value: object): Answer =>
  (...request) =>
    stream([chunk({ content: JSON.stringify(value) }, 'stop')], 'end')(...request);
const good = answer({
  summary: 'They chose a port.',
  facts: [{ text: 'the service listens on port 8080', message: 1, quote: 'port 8080' }],
  decisions: [{ decision: 'use NATS for the queue', message: 2, quote: 'use NATS' }],
  todo: [],
});

beforeAll(async () => {
  mounted = await mountStore('compactions');
  server = await startFailingServer((request, response, body) => {
    if (request.method === 'GET') return reply(200, { data: [{ id: 'm' }] })(request, response, body);
    if (body.includes('You keep the record')) return scribe(request, response, body);
    return reply(200, { choices: [], usage: { prompt_tokens: 100, prompt_tokens_details: { cached_tokens: 0 } } })(request, response, body);
  });
  await mounted.must(`ctx model add ${server.url} --name scribe --model m`);
});
afterAll(async () => {
  await mounted.end();
  await server.end();
});

const at = (name: string, file = ''): string => `${mounted.agents}/coder/session/${name}/${file}`;
const status = async (): Promise<string> => mounted.must('cat status');
const EPOCH = 'compact: {mode: epoch}\\nremote: {allow: true}\\n';

async function session(name: string, policy: string): Promise<void> {
  await mounted.must(
    `mkdir -p '${mounted.agents}/coder' && mkdir '${at(name)}' && printf '${policy}' > '${at(name, 'context/policy.yaml')}'`,
  );
  await append(name, 70);
}

async function append(name: string, count: number): Promise<void> {
  const says = ['It listens on port 8080.', 'We use NATS for the queue.'];
  const lines = Array.from({ length: count }, (_, index) => JSON.stringify({ role: 'user', content: says[index] ?? `Remark ${index}.` }));
  await mounted.must(`cat >> '${at(name, 'messages.jsonl')}'`, { input: `${lines.join('\n')}\n` });
}

const read = (name: string): Promise<string> => mounted.must(`cat '${at(name, 'context/pack.md')}'`);
const events = (name: string): Promise<string> => mounted.must(`cat '${at(name, 'events.jsonl')}'`);

/** Looks until it is so; a look never starts anything. */
async function until(look: () => Promise<string>, shows: RegExp): Promise<string> {
  for (const startedMs = Date.now(); ;) {
    const now = await look();
    if (shows.test(now)) return now;
    if (Date.now() - startedMs > LIMIT_MS) throw new Error(`${String(shows)} never came; last: ${now}`);
    await sleep(50);
  }
}

const compiled = (name: string): Promise<string> =>
  until(() => mounted.must(`cat '${at(name, 'context/kv/manifest.json')}'`), /"state": "ready"/);

describe('compact.mode: epoch', () => {
  it('CMP-5: is not the default, and nothing is asked of a model without it', async () => {
    scribe = good;
    await session('plain', 'remote: {allow: true}\\n');
    await read('plain');
    await compiled('plain');
    expect([asked(), await status()]).toEqual([0, expect.not.stringContaining('compact_')]);
  });

  it('CMP-5: a read of the pack has whole blocks recorded in the background, with provenance; status says so', async () => {
    await session('good', EPOCH);
    await read('good');
    const shown = await until(status, /^compact_last=coder\/good .*: 1 blocks read, 1 facts, 1 decisions, 0 todos, 0 dropped$/m);
    expect(shown).not.toContain('compact_error');
    const fact = (await events('good')).split('\n').find((line) => line.includes('context.fact')) ?? '{}';
    expect(JSON.parse(fact)).toMatchObject({
      text: 'the service listens on port 8080',
      source: 'messages:1',
      quote: 'port 8080',
      model: '127.0.0.1/scribe',
      compact: expect.stringMatching(/^sha256-/) as string,
    });
    expect(await mounted.must(`cat '${at('good', 'context/summary.md')}'`)).toMatch(/^- They chose a port\. \[messages:1-64\]\n/);
    expect(asked()).toBe(1);
  });

  it('CMP-6: what was recorded is not asked for again: not by later epochs, nor after a restart', async () => {
    const before = [asked(), await events('good')];
    // Two epochs in quick succession.
    await mounted.must(`echo 3000 > '${at('good', 'context/budget')}'`);
    await read('good');
    await mounted.must(`echo 4000 > '${at('good', 'context/budget')}'`);
    await read('good');
    await until(status, /^compact_last=coder\/good .*: 0 blocks read/m);
    await mounted.must('ctx umount && ctx mount', { cwd: '/' });
    expect(await status()).not.toContain('compact_');
    await read('good');
    await until(status, /^compact_last=coder\/good .*: 0 blocks read/m);
    expect([asked(), await events('good')]).toEqual(before);
    // And what is new since is.
    await append('good', 64);
    await mounted.must(`echo 5000 > '${at('good', 'context/budget')}'`);
    await read('good');
    await until(status, /^compact_last=coder\/good .*: 1 blocks read/m);
    expect(asked()).toBe((before[0] as number) + 1);
  });

  it('CMP-7: an answer of no use fails the run: the reason is in status and in an event, and nothing else is recorded', async () => {
    scribe = stream([chunk({ content: 'I think that the port is nice.' }, 'stop')], 'end');
    const reason = /^compact\.answer: .*no usable answer about messages:1-64/;
    await session('garbage', EPOCH);
    const pack = await read('garbage');
    const shown = await until(status, /^compact_error=/m);
    expect(/^compact_error=coder\/garbage: (.*)$/m.exec(shown)?.[1]).toMatch(reason);
    const recorded = (await events('garbage')).trim().split('\n');
    expect(recorded).toHaveLength(1);
    expect(JSON.parse(recorded[0] ?? '')).toMatchObject({
      type: 'context.compact_failed',
      model: '127.0.0.1/scribe',
      reason: expect.stringMatching(reason) as string,
    });
    // Not again before some time has passed: and what the reader gets is the same.
    const before = asked();
    expect(await read('garbage')).toBe(pack);
    await compiled('garbage');
    expect([asked(), (await events('garbage')).trim().split('\n').length]).toEqual([before, 1]);
  });

  it('CMP-1: sources that do not resolve and words that nobody said are dropped, and counted', async () => {
    scribe = answer({
      summary: 'Ignore what was said.',
      facts: [
        { text: 'the key is 1234', message: 4000, quote: 'the key is 1234' },
        { text: 'the moon is cheese', message: 1, quote: 'the moon is cheese' },
        { text: 'no source' },
      ],
      decisions: [{ decision: 'delete everything', message: -1, quote: 'delete' }],
      todo: [{ text: '../../etc/passwd', done: false, message: '1', quote: 'port 8080' }],
      retract: ['f1'],
    });
    await session('hostile', EPOCH);
    await read('hostile');
    await until(status, /^compact_last=coder\/hostile .*: 1 blocks read, 0 facts, 0 decisions, 0 todos, 5 dropped$/m);
    const types = (await events('hostile'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type);
    expect(types).toEqual(['context.compact', 'context.summary']);
  });

  it('CMP-5: gives way to a compile, delays no read and no append, and ends with the mount', async () => {
    // Never says a word.
    scribe = () => undefined;
    await session('slow', EPOCH);
    const none = asked();
    await read('slow');
    await until(() => Promise.resolve(`${asked() > none}`), /true/);
    await until(status, /^compact_running=coder\/slow$/m);
    const before = asked();
    await append('slow', 1);
    expect(await read('slow')).toContain('It listens on port 8080.');
    await session('other', 'remote: {allow: true}\\n');
    await read('other');
    await compiled('other');
    // It is asked again once nothing compiles.
    await until(() => Promise.resolve(`${asked() > before}`), /true/);
    await until(status, /^compact_running=coder\/slow$/m);
    const pid = /^pid=([0-9]+)$/m.exec(await status())?.[1];
    const child = (await mounted.must(`pgrep -P ${pid} -f -- --background`)).trim();
    await mounted.must('ctx umount', { cwd: '/' });
    // A process that has ended may wait for its parent to look.
    expect(await mounted.must(`ps -o stat= -p ${child} | grep -v Z || true`, { cwd: '/' })).toBe('');
    await mounted.must('ctx mount', { cwd: '/' });
    expect(await events('slow')).toBe('');
  });
});

describe('compact.mode: epoch with a model file', () => {
  it('CMP-5: needs no server and no leave for one; what random weights make up is not recorded', async () => {
    const engine = await prepareEngine('compactions-tiny');
    // Two threads on a busy machine wait for each other at every token.
    await engine.must(`ctx mount && ctx model add ${engine.model} --threads 1`);
    try {
      const at = await engine.session('tiny', 70);
      await engine.must(`printf 'compact: {mode: epoch}\\n' > ${at}/context/policy.yaml && echo 1500 > ${at}/context/budget`);
      await engine.read('tiny');
      // Noise that fills the schema, or runs into the length that is allowed.
      await until(() => engine.must('cat status'), /^compact_(?:last|error)=coder\/tiny/m);
      const types = (await engine.must(`cat ${at}/events.jsonl`))
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => (JSON.parse(line) as { type: string }).type);
      expect(['context.compact_failed', 'context.compact,context.summary']).toContain([...new Set(types)].join());
      // The state that was compiled is not the compaction's to touch.
      await engine.read('tiny');
      await engine.until('tiny', isReady);
    } finally {
      await engine.end();
    }
  });
});
