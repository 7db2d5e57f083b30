// Compaction: what a model writes is kept where history says so, once, and nothing that was recorded is lost.
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';

import { digestOf } from '../../src/abi/digest.ts';
import { factsFold } from '../../src/context/facts.ts';
import { blockDigest, cutBlock, renderMessage, type CompactMessage } from '../../src/engine/compact/blocks.ts';
import { COMPACT_EVENT, compact, type CompactReport } from '../../src/engine/compact/compact.ts';
import { readExtraction } from '../../src/engine/compact/extraction.ts';
import { coverOf, mergeDigest, summaryText, type SummaryNode } from '../../src/engine/compact/summaries.ts';
import { openDriver } from '../../src/engine/open-driver.ts';
import type { EngineDriver } from '../../src/engine/types.ts';
import { failureOf } from './driver-suite.ts';
import { chunk, json, startFailingServer, stream, type FailingServer } from './failing-server.ts';
import { temporary, tinyModel } from './llama-server-process.ts';

type Event = Readonly<Record<string, unknown>>;

/** facts.jsonl as the derived file shows it. */
function factRows(events: readonly Event[]): readonly string[] {
  const state = factsFold.initial();
  for (const [index, event] of events.entries())
    if (event['type'] === 'context.fact')
      factsFold.addContribution(state, { eventLine: index + 1, afterLine: 0, type: 'context.fact', event });
  return factsFold
    .text(state)
    .split('\n')
    .filter((row) => row !== '');
}

function message(line: number, text: string, role = 'user'): CompactMessage {
  return { line, role, text, digest: digestOf(`${role} ${text}`) };
}

const story = (count: number): CompactMessage[] =>
  Array.from({ length: count }, (_, index) => message(index + 1, `The gate number ${index + 1} is open until noon.`));

describe('blocks', () => {
  it('a block is cut by number and by size, holds one message at least, and is open where history ends', async () => {
    const messages = story(130);
    expect(await cutBlock(messages, 0, Infinity)).toMatchObject({ open: false, messages: { length: 64 } });
    expect(await cutBlock(messages, 128, Infinity)).toMatchObject({ open: true, messages: { length: 2 } });
    expect((await cutBlock(messages, 0, 200)).messages.length).toBe(4);
    expect((await cutBlock(messages, 0, 1)).messages.length).toBe(1);
  });

  it('a block is known by its lines alone, and a long message is shown by its head and tail', () => {
    const messages = story(3);
    expect(blockDigest(messages)).toBe(blockDigest(story(3)));
    expect(blockDigest(messages)).not.toBe(blockDigest(story(2)));
    const long = renderMessage(message(7, `${'a'.repeat(9000)}END`));
    expect(long.length).toBeLessThan(4700);
    expect(long).toMatch(/^\[7\] user: a+ \[… 4503 characters …\] a+END\n$/);
  });
});

describe('CMP-1: provenance', async () => {
  const block = await cutBlock(
    [message(1, 'The port is 8080.'), message(2, 'Let us use\n  NATS for the queue.', 'assistant'), message(3, 'ok')],
    0,
    Infinity,
  );
  const read = (value: object): ReturnType<typeof readExtraction> =>
    readExtraction(JSON.stringify({ summary: 's', facts: [], decisions: [], todo: [], ...value }), block, 'p/m');

  it('what a message says is kept, with its source, quote, model and block', () => {
    const found = read({
      facts: [{ text: 'The port is 8080', message: 1, quote: 'port is 8080' }],
      decisions: [{ decision: 'Use NATS', message: 2, quote: 'use NATS for the queue' }],
      todo: [{ text: 'say ok', done: true, message: 3, quote: 'OK' }],
    });
    const provenance = { model: 'p/m', compact: block.digest };
    expect(found?.dropped).toEqual([]);
    expect(found?.events).toEqual([
      {
        type: 'context.fact',
        id: expect.stringMatching(/^cf-[0-9a-f]{16}$/),
        text: 'The port is 8080',
        source: 'messages:1',
        quote: 'port is 8080',
        ...provenance,
      },
      {
        type: 'context.decision',
        id: expect.stringMatching(/^cd-/),
        decision: 'Use NATS',
        source: 'messages:2',
        quote: 'use NATS for the queue',
        ...provenance,
      },
      { type: 'context.todo', done: true, text: 'say ok', source: 'messages:3', quote: 'OK', ...provenance },
    ]);
  });

  it.each([
    ['a message that is not in the block', { message: 9, quote: 'port is 8080' }, 'message 9 is not one of messages:1-3'],
    ['no message at all', { message: 'one', quote: 'port is 8080' }, 'message "one" is not one of messages:1-3'],
    ['words of another message', { message: 2, quote: 'port is 8080' }, 'message 2 does not say "port is 8080"'],
    ['words that nobody said', { message: 1, quote: 'port is 9090' }, 'message 1 does not say "port is 9090"'],
    ['a quote that proves nothing', { message: 1, quote: 'is' }, 'its quote is too short to prove anything'],
    ['no quote', { message: 1 }, 'its quote is too short to prove anything'],
  ])('%s: dropped and reported', (_name, source, reason) => {
    expect(read({ facts: [{ text: 'A port', ...source }] })).toMatchObject({ events: [], dropped: [{ what: 'facts: A port', reason }] });
  });

  it('an answer that is not the JSON that was asked for is no answer', () => {
    for (const answer of ['', '{"summary":"cut', '[]', '{}', '{"summary":" "}']) expect(readExtraction(answer, block, 'm')).toBeUndefined();
    expect(read({ facts: 'none', decisions: [null, 3] })).toMatchObject({ events: [], dropped: [{}, {}] });
  });
});

describe('the hierarchy of summaries', () => {
  const node = (index: number): SummaryNode => ({
    first: index * 64 + 1,
    last: (index + 1) * 64,
    level: 0,
    digest: `d${index}`,
    text: `part ${index}`,
  });

  it('every message is covered once, the newest in most detail, and a merge is asked for once', async () => {
    const asked: string[] = [];
    const kept = new Map<string, SummaryNode>();
    const merge = async (nodes: readonly SummaryNode[]): Promise<SummaryNode> => {
      const digest = mergeDigest(nodes);
      const known = kept.get(digest);
      if (known !== undefined) return known;
      asked.push(digest);
      const made = {
        first: nodes[0]?.first ?? 0,
        last: nodes.at(-1)?.last ?? 0,
        level: (nodes[0]?.level ?? 0) + 1,
        digest,
        text: 'joined',
      };
      kept.set(digest, made);
      return made;
    };
    for (const count of [1, 15, 16, 100, 300]) {
      const cover = await coverOf(
        Array.from({ length: count }, (_, index) => node(index)),
        merge,
      );
      expect(cover[0]?.first).toBe(1);
      for (const [index, { first }] of cover.entries()) if (index > 0) expect(first).toBe((cover[index - 1]?.last ?? 0) + 1);
      expect(cover.at(-1)).toEqual(node(count - 1));
      expect(cover.length).toBeLessThan(50);
    }
    expect(new Set(asked).size).toBe(asked.length);
    expect(summaryText([node(0)])).toBe('- part 0 [messages:1-64]\n');
  });
});

describe('compacting a session', () => {
  let server: FailingServer | undefined;
  let driver: EngineDriver | undefined;
  afterEach(async () => {
    await driver?.close();
    await server?.end();
    [server, driver] = [undefined, undefined];
  });

  /** A server that quotes the first message of what it is shown, and makes one thing up. */
  async function scribe(): Promise<FailingServer> {
    server = await startFailingServer((request, response, body) => {
      if (request.method === 'GET') return json(200, { data: [{ id: 'm', max_model_len: 8192 }] })(request, response, body);
      const shown = (JSON.parse(body) as { messages: readonly { content: string }[] }).messages[1]?.content ?? '';
      const found = /\[([0-9]+)\] user: (.*)/.exec(shown);
      const value =
        found === null
          ? { summary: `joined ${shown.split('\n').length}` }
          : {
              summary: `from ${found[1]}`,
              facts: [
                { text: `said: ${found[2]}`, message: Number(found[1]), quote: found[2] },
                { text: 'the moon is cheese', message: Number(found[1]), quote: 'the moon is cheese' },
              ],
              decisions: [],
              todo: [],
            };
      return stream([chunk({ content: JSON.stringify(value) }, 'stop')], 'end')(request, response, body);
    });
    driver = openDriver({ provider: 'test', name: 'scribe', driver: 'openai', url: server.url, model: 'm' });
    return server;
  }

  const run = async (
    messages: readonly CompactMessage[],
    events: Event[],
    more: { open?: boolean; signal?: AbortSignal; mostBlocks?: number } = {},
  ): Promise<CompactReport> => {
    let read = events.length;
    return compact({
      driver: driver as EngineDriver,
      model: 'test/scribe',
      messages,
      events: [...events],
      since: () => {
        const fresh = events.slice(read);
        read = events.length;
        return Promise.resolve(fresh);
      },
      ...(more.mostBlocks === undefined ? {} : { mostBlocks: more.mostBlocks }),
      maxInputTokens: 4000,
      open: more.open ?? false,
      append: (added) => {
        events.push(...added);
        return Promise.resolve();
      },
      onProgress: () => undefined,
      signal: more.signal ?? new AbortController().signal,
    });
  };
  const questions = (): number => (server as FailingServer).seen.filter(({ line }) => line.startsWith('POST')).length;

  it('CMP-2: what is whole is read once: the same history again asks nothing and records nothing', async () => {
    await scribe();
    const events: Event[] = [];
    const report = await run(story(150), events);
    expect(report).toMatchObject({
      blocks: 2,
      waiting: 22,
      recorded: { facts: 2, decisions: 0, todo: 0, summary: true },
      dropped: [{}, {}],
    });
    expect(events.map(({ type, source }) => [type, source])).toEqual([
      ['context.fact', 'messages:1'],
      [COMPACT_EVENT, 'messages:1-64'],
      ['context.fact', 'messages:65'],
      [COMPACT_EVENT, 'messages:65-128'],
      ['context.summary', 'messages:1-128'],
    ]);
    expect(events.at(-1)?.['content']).toBe('- from 1 [messages:1-64]\n- from 65 [messages:65-128]\n');
    const [asked, before] = [questions(), events.length];
    expect(await run(story(150), events)).toMatchObject({ blocks: 0, recorded: { facts: 0, summary: false } });
    expect([questions(), events.length]).toEqual([asked, before]);
  });

  it('CMP-3: earlier facts stay when history grows, and only what is new is read', async () => {
    await scribe();
    const events: Event[] = [];
    await run(story(70), events);
    const before = [...events];
    const report = await run(story(200), events);
    expect(report).toMatchObject({ blocks: 2, recorded: { facts: 2 } });
    expect(events.slice(0, before.length)).toEqual(before);
    expect(events.filter(({ type }) => type === 'context.retract')).toEqual([]);
  });

  it('what does not fill a block is read where asked for, and read again once it has grown', async () => {
    await scribe();
    const events: Event[] = [];
    expect(await run(story(10), events)).toMatchObject({ blocks: 0, waiting: 10 });
    expect(await run(story(10), events, { open: true })).toMatchObject({ blocks: 1, waiting: 0, recorded: { facts: 1 } });
    expect(await run(story(10), events, { open: true })).toMatchObject({ blocks: 0 });
    // The block is another one now; the fact that it states again is known.
    expect(await run(story(70), events)).toMatchObject({ blocks: 1, recorded: { facts: 0 } });
    expect(events.findLast(({ type }) => type === 'context.summary')).toMatchObject({ source: 'messages:1-64' });
  });

  it('a history that is another one (a fork) is read from where it differs', async () => {
    await scribe();
    const events: Event[] = [];
    await run(story(128), events);
    const other = story(128).map((each) => (each.line > 100 ? message(each.line, 'Something else happened.') : each));
    expect(await run(other, events)).toMatchObject({ blocks: 1 });
  });

  it('a summary that somebody wrote stays; facts are recorded all the same', async () => {
    await scribe();
    const events: Event[] = [{ type: 'context.summary', content: 'Mine.' }];
    const report = await run(story(64), events);
    expect(report).toMatchObject({
      recorded: { facts: 1, summary: false },
      notes: ['summary.md was written by somebody: it stays as it is'],
    });
    expect(events.filter(({ type }) => type === 'context.summary')).toHaveLength(1);
  });

  it('long histories are summed up in levels, with bounded input', async () => {
    const { seen } = await scribe();
    const events: Event[] = [];
    const report = await run(story(64 * 20), events);
    expect(report).toMatchObject({ blocks: 20, merges: 1 });
    expect(events.at(-1)?.['content']).toMatch(/^- joined 8 \[messages:1-512\]\n- from 513 \[messages:513-576\]\n/);
    expect(Math.max(...seen.map(({ body }) => body.length))).toBeLessThan(4000 * 4);
  });

  it('a failure in the middle keeps what was recorded, and the next run goes on there', async () => {
    const failing = await scribe();
    const events: Event[] = [];
    const good = failing.answer;
    let left = 1;
    failing.answer = (request, response, body) => {
      if (request.method === 'POST' && (left -= 1) < 0) json(400, { error: 'no' })(request, response, body);
      else good(request, response, body);
    };
    expect((await failureOf(run(story(128), events))).code).toBe('engine.http');
    expect(events.map(({ type }) => type)).toEqual(['context.fact', COMPACT_EVENT]);
    failing.answer = good;
    expect(await run(story(128), events)).toMatchObject({ blocks: 1, recorded: { facts: 1, summary: true } });
  });

  it('CMP-7: an answer that is longer than any that was asked for is not waited for', async () => {
    const failing = await scribe();
    const good = failing.answer;
    let closed: (() => void) | undefined;
    const left = new Promise<void>((resolve) => (closed = resolve));
    failing.answer = (request, response, body) => {
      if (request.method === 'GET') return good(request, response, body);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.on('close', () => closed?.());
      const piece = chunk({ content: 'x'.repeat(1 << 16) });
      for (let count = 0; count < 160; count += 1) response.write(piece);
      // And it never ends.
    };
    const events: Event[] = [];
    expect(await failureOf(run(story(64), events))).toMatchObject({ code: 'compact.answer', message: /longer than 49152 characters/ });
    expect(events).toEqual([]);
    await left;
  });

  it('CMP-2: two runs at once record one result: what the other recorded meanwhile is taken over', async () => {
    await scribe();
    const events: Event[] = [];
    const both = await Promise.all([run(story(200), events), run(story(200), events)]);
    expect(events.filter(({ type }) => type === COMPACT_EVENT).map(({ source }) => source)).toEqual([
      'messages:1-64',
      'messages:65-128',
      'messages:129-192',
    ]);
    expect(both.map(({ recorded }) => recorded.facts).reduce((sum, each) => sum + each)).toBe(3);
    expect(events.filter(({ type }) => type === 'context.summary')).toHaveLength(1);
  });

  it('CMP-5: a run reads so many blocks at most, and the next goes on there', async () => {
    await scribe();
    const events: Event[] = [];
    expect(await run(story(64 * 5), events, { mostBlocks: 2 })).toMatchObject({ blocks: 2, left: 64 * 3, waiting: 0 });
    expect(await run(story(64 * 5), events, { mostBlocks: 2 })).toMatchObject({ blocks: 2, left: 64 });
    expect(await run(story(64 * 5), events, { mostBlocks: 2 })).toMatchObject({ blocks: 1, left: 0 });
    expect(events.findLast(({ type }) => type === 'context.summary')).toMatchObject({ source: 'messages:1-320' });
  });

  it('CMP-3: whatever a model answers, again and again, no fact that was recorded is lost or changed', async () => {
    const failing = await scribe();
    const good = failing.answer;
    const answers = fc.oneof(
      fc.constant('nothing of use'),
      fc.record({
        summary: fc.constantFrom('s', '', 'They went on.'),
        facts: fc.array(
          fc.record({
            text: fc.constantFrom('the gate is open', 'the gate is shut', 'retract', 'The gate  is OPEN'),
            message: fc.integer({ min: -1, max: 300 }),
            quote: fc.constantFrom('is open until noon', 'is shut', 'The gate number'),
          }),
          { maxLength: 4 },
        ),
        decisions: fc.array(
          fc.record({
            decision: fc.constantFrom('go', 'stay'),
            message: fc.integer({ min: 1, max: 300 }),
            quote: fc.constant('gate number'),
          }),
          { maxLength: 2 },
        ),
        todo: fc.constant([]),
        retract: fc.constant(['*']),
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ grows: fc.integer({ min: 0, max: 130 }), says: answers, open: fc.boolean() }), { maxLength: 6 }),
        async (rounds) => {
          const events: Event[] = [];
          let length = 0;
          for (const { grows, says, open } of rounds) {
            failing.answer = (request, response, body) => {
              if (request.method === 'GET') return good(request, response, body);
              return stream([chunk({ content: typeof says === 'string' ? says : JSON.stringify(says) }, 'stop')], 'end')(
                request,
                response,
                body,
              );
            };
            length += grows;
            const [before, rows] = [[...events], factRows(events)];
            await run(story(length), events, { open }).catch(() => undefined);
            expect(events.slice(0, before.length)).toEqual(before);
            expect(events.filter(({ type }) => type === 'context.retract')).toEqual([]);
            expect(factRows(events)).toEqual(expect.arrayContaining([...rows]));
            const marks = events.filter(({ type }) => type === COMPACT_EVENT).map(({ digest }) => digest);
            expect(new Set(marks).size).toBe(marks.length);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it('a real model that makes things up: the schema holds it, and nothing that it invents is recorded', async () => {
    const directory = await temporary('compact');
    driver = openDriver({
      provider: 'local',
      name: 'tiny',
      driver: 'llama',
      path: await tinyModel(directory),
      threads: 1,
      contextTokens: 16_384,
    });
    const events: Event[] = [];
    const outcome = await run(story(12), events, { open: true }).catch((error: unknown) => error as { code: string });
    // Random weights either fill the schema with noise or run into the length that is allowed.
    if ('code' in outcome) expect([outcome.code, events]).toEqual(['compact.answer', []]);
    else {
      expect(outcome).toMatchObject({ blocks: 1, recorded: { facts: 0, decisions: 0, todo: 0, summary: true } });
      expect(events.map(({ type }) => type)).toEqual([COMPACT_EVENT, 'context.summary']);
    }
  });
});
