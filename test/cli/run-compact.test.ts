// ctx compact on a real mount: policy, contributions, and that nothing is paid for or recorded twice.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { chunk, json as reply, startFailingServer, stream, type FailingServer } from '../engine/failing-server.ts';
import { mountStore, type MountedStore } from './mounted-store.ts';

let mounted: MountedStore;
let server: FailingServer;

beforeAll(async () => {
  mounted = await mountStore('compact');
  const value = {
    summary: 'They chose a port.',
    facts: [
      { text: 'the service listens on port 8080', message: 1, quote: 'port 8080' },
      { text: 'the service is written in Ada', message: 1, quote: 'written in Ada' },
    ],
    decisions: [{ decision: 'use NATS for the queue', message: 2, quote: 'use NATS' }],
    todo: [{ text: 'write the bench', done: false, message: 3, quote: 'write the bench' }],
  };
  server = await startFailingServer((request, response, body) =>
    (request.method === 'GET' ? reply(200, { data: [{ id: 'm' }] }) : stream([chunk({ content: JSON.stringify(value) }, 'stop')], 'end'))(
      request,
      response,
      body,
    ),
  );
  await mounted.must(`ctx model add ${server.url} --name scribe --model m && ctx new coder/long`);
  const says = ['It listens on port 8080.', 'We use NATS for the queue.', 'Somebody should write the bench.'];
  const lines = Array.from({ length: 70 }, (_, index) => JSON.stringify({ role: 'user', content: says[index] ?? `Remark ${index}.` }));
  await mounted.sh('ctx append coder/long --lines', { input: `${lines.join('\n')}\n` });
});
afterAll(async () => {
  await server.end();
  await mounted.end();
});

const context = (file: string): string => `${mounted.agents}/coder/session/long/context/${file}`;
const asked = (): number => server.seen.filter(({ line }) => line.startsWith('POST')).length;

describe('ctx compact', () => {
  it('CMP-4: no server reads a history unless its policy allows it, and off means off', async () => {
    const refused = await mounted.ctx(['compact', 'coder/long']);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/^ctx: compact\.remote: coder\/long its policy allows no server/),
    ]);
    await mounted.must(`printf 'compact: {mode: "off"}\\nremote: {allow: true}\\n' > '${context('policy.yaml')}'`);
    expect((await mounted.ctx(['compact', 'coder/long'])).stderr).toMatch(/^ctx: compact\.off: /);
    expect(asked()).toBe(0);
  });

  it('what the model wrote and history proves is in the derived files; what it made up is named', async () => {
    await mounted.must(`printf 'remote: {allow: true}\\n' > '${context('policy.yaml')}'`);
    const { stdout, stderr } = await mounted.ctx(['compact', 'coder/long']);
    expect(stdout).toBe('1 facts, 1 decisions, 1 todos, a new summary; 1 blocks read, 0 summaries joined\n');
    expect(stderr).toBe(
      'ctx: dropped: facts: the service is written in Ada: message 1 does not say "written in Ada"\nctx: 6 messages wait for a block of 64 (--all takes them now)\n',
    );
    const facts = (await mounted.must(`cat '${context('facts.jsonl')}'`)).split('\n');
    expect(facts.filter((row) => row.includes('cf-')).map((row) => JSON.parse(row) as unknown)).toEqual([
      expect.objectContaining({ text: 'the service listens on port 8080', source: 'messages:1' }),
    ]);
    expect(await mounted.must(`cat '${context('decisions.jsonl')}'`)).toContain('"use NATS for the queue"');
    expect(await mounted.must(`cat '${context('todo.md')}'`)).toContain('- [ ] write the bench');
    expect(await mounted.must(`head -1 '${context('summary.md')}'`)).toBe('- They chose a port. [messages:1-64]\n');
  });

  it('a second run asks nothing and records nothing, and a fact that was retracted stays away', async () => {
    const events = await mounted.must('ctx cat coder/long events.jsonl');
    const before = asked();
    const { stdout } = await mounted.ctx(['compact', 'coder/long', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ blocks: 0, recorded: { facts: 0, summary: false }, waiting: 6 });
    expect([asked(), await mounted.must('ctx cat coder/long events.jsonl')]).toEqual([before, events]);
    const id = /"(cf-[0-9a-f]{16})"/.exec(events)?.[1] ?? '';
    await mounted.must(`echo '{"retract":"${id}"}' >> '${context('facts.jsonl')}'`);
    await mounted.must('ctx compact coder/long --all');
    expect(await mounted.must(`cat '${context('facts.jsonl')}'`)).not.toContain(id);
  });
});
