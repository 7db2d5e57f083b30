import { describe, expect, test } from 'vitest';
import { viewMessage } from '../../src/abi/records.ts';
import { describeSource } from '../../src/interop/index.ts';
import { fixture, imported, parsed, SessionLines } from './session-lines.ts';

const say = (lines: readonly string[]): string[] =>
  parsed(lines).map((value) => {
    const view = viewMessage(value);
    const calls = view.toolCalls.map((call) => `${call.name}(${call.id})`);
    const results = view.toolResults.map((result) => `=${result.id}`);
    return [view.role, ...calls, ...results].join(' ');
  });
const events = (lines: readonly string[]): string[] =>
  parsed(lines).map((value) => [value['type'], value['record']].filter(Boolean).join(' '));

describe('Claude Code', () => {
  test('turns become messages in order; everything else becomes events', async () => {
    const session = await imported('claude-code.jsonl', '/x/session.jsonl');
    expect(say(session.messages)).toEqual([
      'user',
      'assistant',
      'assistant',
      'assistant Read(toolu_01Read)',
      'assistant Grep(toolu_02Grep)',
      'user =toolu_01Read',
      'user =toolu_02Grep',
      'assistant Edit(toolu_03Edit)',
      'user =toolu_03Edit',
      'user',
      'assistant',
    ]);
    expect(events(session.events)).toEqual([
      'import.record summary',
      'import.record file-history-snapshot',
      'import.record progress.hook_progress',
      'import.sidechain user',
      'import.sidechain assistant',
      'import.record blank',
      'import.record invalid-json',
      'import.record api_error',
      'import.record attachment',
      'import.compaction system.compact_boundary',
      'import.compaction compact_summary',
      'import.record queue-operation',
      'import.record ai-title',
      'import.record a-type-of-tomorrow',
      'import.source',
    ]);
  });

  test('a thinking signature is carried unchanged', async () => {
    const session = await imported('claude-code.jsonl', '/x/session.jsonl');
    expect(session.messages[1]).toContain('"signature":"EqQBCkYICxgCKkDf0Zr7w2V1bm9wYXF1ZS1zaWduYXR1cmUtMDEyMzQ1Njc4OWFiY2RlZg=="');
  });

  test('long texts are stored once in a line, although the original is kept', async () => {
    const session = await imported('claude-code.jsonl', '/x/session.jsonl');
    const line = session.messages[0] ?? '';
    expect(line.split('The weight of a parcel with no items').length - 1).toBe(1);
  });

  test('a summary at the head of a file is its first message: nothing else tells what was before', async () => {
    const record = {
      type: 'user',
      uuid: 'u-1',
      sessionId: 's',
      isCompactSummary: true,
      message: { role: 'user', content: 'Continued: …' },
    };
    const session = new SessionLines();
    await session.import('/x/continued.jsonl', Buffer.from(`${JSON.stringify(record)}\n`));
    expect(say(session.messages)).toEqual(['user']);
  });

  test("a sub-agent's own file is a conversation of its own", async () => {
    const record = (uuid: string, role: string): string =>
      JSON.stringify({ type: role, uuid, sessionId: 's', agentId: 'a7', isSidechain: true, message: { role, content: 'x' } });
    const session = new SessionLines();
    await session.import('/x/agent-a7.jsonl', Buffer.from(`${record('1', 'user')}\n${record('2', 'assistant')}\n`));
    expect(say(session.messages)).toEqual(['user', 'assistant']);
    expect(session.state.sources).toEqual(['claude-code:s/a7']);
  });

  test('a resumed session that copies its history adds only what came after', async () => {
    const bytes = fixture('claude-code.jsonl');
    const session = await imported('claude-code.jsonl', '/x/first.jsonl');
    const before = session.messages.length;
    const copy = bytes.toString().replaceAll('5b1f3a52-6c1e-4f7e-9d5c-0a6e0c5f2b11', '99999999-6c1e-4f7e-9d5c-0a6e0c5f2b11');
    const resumed = Buffer.from(
      `${copy}{"type":"user","uuid":"later","sessionId":"99999999-6c1e-4f7e-9d5c-0a6e0c5f2b11","message":{"role":"user","content":"and now?"}}\n`,
    );
    await session.import('/x/resumed.jsonl', resumed);
    expect(session.messages.length).toBe(before + 1);
    expect((await session.original('claude-code:99999999-6c1e-4f7e-9d5c-0a6e0c5f2b11')).equals(resumed)).toBe(true);
    expect((await session.original('claude-code:5b1f3a52-6c1e-4f7e-9d5c-0a6e0c5f2b11')).equals(bytes)).toBe(true);
  });
});

describe('Codex', () => {
  test('items become messages with calls and results by id', async () => {
    const session = await imported('rollout-codex.jsonl', '/x.jsonl');
    expect(say(session.messages)).toEqual([
      'developer',
      'user',
      'user',
      'assistant',
      'assistant',
      'assistant shell(call_9uT1)',
      'tool =call_9uT1',
      'assistant apply_patch(call_Patch)',
      'tool =call_Patch',
      'assistant',
    ]);
    expect(events(session.events)).toEqual([
      'import.record session_meta',
      'import.record turn_context',
      'import.record event_msg.user_message',
      'import.record response_item.web_search_call',
      'import.record event_msg.token_count',
      'import.compaction compacted',
      'import.record response_item.ghost_snapshot',
      'import.source',
    ]);
    expect(session.messages[3]).toContain('"encrypted_content":"gAAAAABo4');
  });

  test('the old flat form reads alike', async () => {
    const session = await imported('rollout-codex-flat.jsonl', '/x.jsonl');
    expect(say(session.messages)).toEqual(['user', 'assistant', 'assistant local_shell(call_ls)', 'tool =call_ls', 'assistant']);
  });

  test('session id, directory and start are facts of the source', () => {
    const about = describeSource(fixture('rollout-codex.jsonl'), '/x.jsonl');
    expect(about.source).toBe('codex:0199a213-81c0-7800-8aa1-bbab2a035a53');
    expect(about.facts).toEqual({
      session: '0199a213-81c0-7800-8aa1-bbab2a035a53',
      cwd: '/home/dana/src/parcel',
      startedAt: '2026-03-03T10:00:00.000Z',
    });
  });
});

describe('Gemini CLI', () => {
  test('a turn becomes an assistant message and its tool results', async () => {
    const session = await imported('session-gemini.json', '/x.json');
    expect(say(session.messages)).toEqual(['user', 'assistant', 'assistant read_file(read_file-1)', 'tool =read_file-1', 'assistant']);
    expect(viewMessage(parsed(session.messages)[1] ?? {}).thinking).toContain('Reading');
  });

  test('a document names its session as a JSONL file does', () => {
    expect(describeSource(fixture('session-gemini.json'), '/x.json').source).toBe('gemini:7d0cbd4e-0b0e-4c7e-8b66-9a9f6f2f0a77');
    expect(describeSource(fixture('atif.json'), '/x.json').source).toBe('atif:atif-0001');
  });

  test('a record written again says only what is new in it', async () => {
    const session = await imported('session-gemini.jsonl', '/x.jsonl');
    expect(say(session.messages)).toEqual(['user', 'assistant', 'assistant replace(replace-1)', 'tool =replace-1', 'user']);
    expect(events(session.events)).toEqual([
      'import.record header',
      'import.record $set',
      'import.rewind',
      'import.record error',
      'import.source',
    ]);
    expect(parsed(session.events)[2]).toMatchObject({ to: 'g-1' });
  });

  test('a document rewritten with a result in an old turn adds the result, not the turn', async () => {
    const document = JSON.parse(fixture('session-gemini.json').toString()) as { messages: { toolCalls?: { result?: unknown }[] }[] };
    const earlier = structuredClone(document);
    delete earlier.messages[1]?.toolCalls?.[0]?.result;
    const session = new SessionLines();
    await session.import('/x.json', Buffer.from(JSON.stringify(earlier, null, 2)));
    await session.import('/x.json', fixture('session-gemini.json'));
    expect(say(session.messages)).toEqual(['user', 'assistant', 'assistant read_file(read_file-1)', 'assistant', 'tool =read_file-1']);
    expect((await session.original()).equals(fixture('session-gemini.json'))).toBe(true);
  });
});

describe('Gemini CLI, as it writes while it works', () => {
  const call = { id: 'ls-1', name: 'ls', args: { path: '.' }, status: 'success' };
  const answer = [{ functionResponse: { id: 'ls-1', name: 'ls', response: { output: 'a.txt' } } }];
  const turn = (more: object): object => ({ id: 'g-2', type: 'gemini', content: 'Looking.', model: 'gemini-3-pro', ...more });
  const records = [
    { sessionId: 's-1', projectHash: 'h', startTime: 't', kind: 'main' },
    { $set: { messages: [{ id: 'g-0', type: 'user', content: [{ text: 'the directory is /w' }] }] } },
    { id: 'g-1', type: 'user', content: 'list it' },
    turn({}),
    turn({ tokens: { total: 3 } }),
    turn({ toolCalls: [{ ...call, status: 'executing' }] }),
    turn({ toolCalls: [{ ...call, result: answer }] }),
    { id: 'g-3', type: 'gemini', content: 'One file.' },
    // What was said is written over: masked, in parts, the result as a turn of the user; and one message is new.
    {
      $set: {
        messages: [
          { id: 'g-9', type: 'user', content: [{ text: 'so far: a directory was listed' }] },
          { ...turn({ toolCalls: [{ ...call, result: 'masked' }] }), content: [{ text: 'Looking.' }, { functionCall: call }] },
          { id: 'g-2r', type: 'user', content: answer },
          { id: 'g-3', type: 'gemini', content: [{ text: 'One file.' }] },
        ],
      },
    },
    { id: 'g-10', type: 'user', content: [{ text: 'and ' }, { text: 'now?' }] },
  ];
  const bytes = Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(''));

  test('each message is said once, whether alone or in a list of all, and however often', async () => {
    const session = new SessionLines();
    await session.import('/g.jsonl', bytes);
    expect(parsed(session.messages).map((value) => viewMessage(value).text || say([JSON.stringify(value)])[0])).toEqual([
      'the directory is /w',
      'list it',
      'Looking.',
      'assistant ls(ls-1)',
      'tool =ls-1',
      'One file.',
      'so far: a directory was listed',
      'and now?',
    ]);
    expect((await session.original()).equals(bytes)).toBe(true);
  });

  test('a part and then the whole give the lines of the whole', async () => {
    const [whole, pieces] = [new SessionLines(), new SessionLines()];
    await whole.import('/g.jsonl', bytes);
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) await pieces.import('/g.jsonl', bytes.subarray(0, at + 1));
    expect(pieces.messages).toEqual(whole.messages);
  });

  test('calls and results that are only parts of turns are understood', async () => {
    const session = new SessionLines();
    const lines = [
      records[0],
      { id: 'm-1', type: 'gemini', content: [{ text: 'Looking.' }, { functionCall: call }] },
      { id: 'm-2', type: 'user', content: answer },
    ];
    await session.import('/g.jsonl', Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join('')));
    expect(say(session.messages)).toEqual(['assistant', 'assistant ls(ls-1)', 'tool =ls-1']);
  });
});

describe('OpenAI chat', () => {
  test('a message keeps its own text, unknown fields and number spelling included', async () => {
    const session = await imported('openai-lines.jsonl', '/x.jsonl');
    expect(session.messages.at(-1)).toMatch(/^\{"role":"user","content":"no newline at the end", "x": 1\.0,"origin":/);
    expect(events(session.events)).toEqual(['import.record role.narrator', 'import.source']);
  });

  test('equal messages are all there', async () => {
    const session = await imported('openai-array.json', '/x.json');
    expect(
      parsed(session.messages)
        .slice(6)
        .map((value) => value['content']),
    ).toEqual(['ok', 'ok', 'ok', 'ok']);
  });

  test('a results file holds one conversation per episode, and one may be chosen', async () => {
    const all = await imported('tau-bench.json', '/x.json');
    expect(parsed(all.messages).map((value) => (value['origin'] as { episode: number }).episode)).toEqual([
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1,
    ]);
    const one = await imported('tau-bench.json', '/x.json', { episode: 1 });
    expect(say(one.messages)).toEqual(['system', 'user']);
    expect(one.events.join('\n')).toContain('user_1');
  });
});

test('SWE-agent: history is the conversation, tool results answer their calls', async () => {
  const session = await imported('marshmallow.traj', '/x.traj');
  expect(say(session.messages)).toEqual(['system', 'user', 'assistant bash(call_ls)', 'tool =call_ls']);
  expect(session.events[0]).toContain('swe_main');
});

test('pi, ShareGPT and ATIF: calls and results find each other', async () => {
  expect(say((await imported('pi.jsonl', '/x.jsonl')).messages)).toEqual(['user', 'assistant bash(tc_1)', 'tool =tc_1']);
  expect(say((await imported('sharegpt.json', '/x.json')).messages)).toEqual([
    'system',
    'user',
    'assistant weather()',
    'tool =',
    'assistant',
  ]);
  expect(say((await imported('atif.json', '/x.json')).messages)).toEqual(['user', 'assistant bash(c1)', 'tool =c1']);
});

describe('plain text', () => {
  test('a dialogue becomes turns', async () => {
    const session = await imported('dialogue.txt', '/x.txt');
    expect(parsed(session.messages).map((value) => [value['role'], value['content']])).toEqual([
      ['user', 'where were we?'],
      ['assistant', 'we had fixed the NaN.\nThe changelog was missing.'],
      ['user', 'then write it'],
    ]);
  });

  test('other text is cut at paragraphs, and no character is cut', async () => {
    const text = `${'Größe und Gewicht. '.repeat(200)}\n\n`.repeat(60) + 'ß'.repeat(400_000);
    const session = new SessionLines();
    await session.import('/x.txt', Buffer.from(text));
    expect(session.messages.length).toBeGreaterThan(6);
    expect(
      parsed(session.messages)
        .map((value) => value['content'])
        .join(''),
    ).toBe(text);
  });

  test('bytes that are not UTF-8 are kept', async () => {
    const session = await imported('latin1.txt', '/x.txt');
    expect((await session.original()).equals(fixture('latin1.txt'))).toBe(true);
  });
});

test('a record too long for a line keeps its original in events and says so in its place', async () => {
  const content = 'é"\\'.repeat(40_000);
  const bytes = Buffer.from(`{"role":"user","content":${JSON.stringify(content)}}\n{"role":"user","content":"short"}\n`);
  const session = new SessionLines();
  await session.import('/big.jsonl', bytes, { maxLineBytes: 64 * 1024 });
  for (const line of [...session.messages, ...session.events]) expect(Buffer.byteLength(line)).toBeLessThanOrEqual(64 * 1024);
  expect(parsed(session.messages)[0]?.['content']).toContain("characters are in this record's import.raw events");
  expect((await session.original()).equals(bytes)).toBe(true);
});

test('a torn document is an error that says what to do', async () => {
  const session = new SessionLines();
  await expect(session.import('/o/chat.json', fixture('openai-array.json').subarray(0, -5))).rejects.toMatchObject({
    code: 'interop.bad_document',
    errno: 'EINVAL',
  });
  expect(session.messages).toEqual([]);
});

test('an original whose lines were lost is refused', async () => {
  const session = await imported('claude-code.jsonl', '/x.jsonl');
  session.messages.splice(3, 1);
  await expect(session.original()).rejects.toMatchObject({ code: 'interop.not_identical' });
});

test.each([
  ['zstd', 'KLUv/SQDGQAAYWIK0sC0hg=='],
  ['gzip', 'H4sIAAAAAAAAA0tMSuYCAEqn/LEDAAAA'],
])('INT-1: a transcript that is compressed with %s is refused with what unpacks it', (name, bytes) => {
  const describe = (from?: 'text'): unknown =>
    describeSource(Buffer.from(bytes, 'base64'), `/rollout-x.jsonl.${name}`, from === undefined ? {} : { from });
  expect(describe).toThrow(`is compressed with ${name}`);
  expect(describe('text')).toMatchObject({ format: 'text' });
});
