// MEM: pages of the wikis that a session mounts, in its pack.
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { parseBlocks } from '../../src/context/render.ts';
import { services, TestSession } from './session-fixture.ts';

const open: TestSession[] = [];
afterEach(async () => {
  for (const made of open.splice(0)) await made.end();
});
afterAll(() => services.close());

const PAGES: Readonly<Record<string, string>> = {
  'INDEX.md': '# Notes\n\n- [Gateway](gateway.md)\n- [Billing](billing.md)\n',
  'AGENTS.md': `# Rules\n\nRead the index first, then what the task needs, and say in the log why something changed. ${'Rules hold. '.repeat(20)}\n`,
  'gateway.md': '---\ntype: project\n---\n\n# Gateway\n\nIt listens on port 8443.\n\n## Timeouts\n\nRequests end after 30 seconds.\n',
  'billing.md': '---\ntype: project\n---\n\n# Billing\n\nInvoices are sent every night.\n',
  'people.md': '---\ntype: reference\n---\n\n# People\n\nAda runs the harbour desk.\n',
  'plans/q3.md': '---\ntype: plan\n---\n\n# Quarter\n\nMove what [people](../people.md) do.\n',
};

function put(s: TestSession, wiki: string, page: string, text: string): void {
  const path = join(s.root, wiki, page);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

function session(controls: Readonly<Record<string, string>> = {}, owner = 'home/0'): TestSession {
  const made = new TestSession({ 'context/budget': '8000\n', ...controls }, owner);
  open.push(made);
  for (const [page, text] of Object.entries(PAGES)) put(made, 'home/0/wiki', page, text);
  return made;
}

interface Item {
  kind: string;
  source: string;
  range?: string;
  section?: string;
  reason?: string;
  tokens: number;
  digest: string;
}
interface Pack {
  items: Item[];
  left_out: { source: string; reason: string }[];
  tokens: number;
  epoch: { id: string; reason: string };
}
const packOf = async (s: TestSession): Promise<Pack> => JSON.parse(await s.read('pack.json')) as Pack;
const memoryOf = ({ items }: Pack): readonly string[] => items.filter(({ kind }) => kind === 'memory').map(({ source }) => source);
const ask = (s: TestSession, content: string): void => s.append({ role: 'user', content });
const answer = (s: TestSession, content = 'Done.'): void => s.append({ role: 'assistant', content });

describe('what is packed', () => {
  test('MEM-1 the own wiki is there without being named: schema, index, the pages that the question needs, with reasons', async () => {
    const s = session({ 'context/pinned/system.md': 'Be brief.\n' });
    ask(s, 'Which port does the gateway listen on?');
    const pack = await packOf(s);
    expect(memoryOf(pack).slice(0, 3)).toEqual(['home/0/wiki/AGENTS.md', 'home/0/wiki/INDEX.md', 'home/0/wiki/gateway.md']);
    expect(pack.items.map(({ kind }) => kind)).toEqual(['system', ...memoryOf(pack).map(() => 'memory'), 'recent_messages']);
    expect(pack.items[3]).toMatchObject({ reason: expect.stringContaining('port') });
    const blocks = parseBlocks(await s.read('pack.md'));
    expect(blocks[3]).toMatchObject({ tag: 'memory', head: 'home/0/wiki/gateway.md read-write', body: expect.stringContaining('8443') });
    expect(await s.read('prompt.json')).toContain('8443');
    for (const item of pack.items.filter(({ kind }) => kind === 'memory'))
      expect([item.source, s.deriver.resolve(item.source, item.range)?.digest]).toEqual([item.source, item.digest]);
    expect(await s.deriver.explain('pack.json', s.revision)).toMatchObject({
      memory: { asked: 'messages:1', 'home/0/wiki/gateway.md': expect.stringContaining('port') },
    });
  });

  test('MEM-1 memory: [] packs none; a session without a wiki packs none', async () => {
    const s = session({ 'context/policy.yaml': 'memory: []\n' });
    ask(s, 'Which port does the gateway listen on?');
    expect(memoryOf(await packOf(s))).toEqual([]);
    const other = session({}, 'home/7');
    ask(other, 'Which port does the gateway listen on?');
    expect(memoryOf(await packOf(other))).toEqual([]);
  });

  test('MEM-2 a private session packs its own and shared wikis, a shared one only shared ones; the rest is left out by name', async () => {
    const named =
      'memory: [{path: home/0/wiki, name: own}, {path: shared/acme/wiki, mode: read-only}, {path: home/5/wiki, name: theirs}]\n';
    for (const [owner, sources, refused] of [
      ['home/0', ['home/0/wiki', 'shared/acme/wiki'], ["home/5/wiki: memory: it is another person's wiki"]],
      [
        'shared/acme',
        ['shared/acme/wiki'],
        ['home/0/wiki: memory: a shared session packs only shared wikis', 'home/5/wiki: memory: a shared session packs only shared wikis'],
      ],
    ] as const) {
      const s = session({ 'context/policy.yaml': named }, owner);
      put(s, 'shared/acme/wiki', 'INDEX.md', '# Acme\n\n- [Port](port.md)\n');
      put(s, 'shared/acme/wiki', 'port.md', '# Port\n\nThe gateway of acme has port 9000.\n');
      put(s, 'home/5/wiki', 'INDEX.md', '# Theirs\n\nThe port is a secret.\n');
      ask(s, 'Which port does the gateway listen on?');
      const pack = await packOf(s);
      expect([...new Set(memoryOf(pack).map((source) => source.split('/').slice(0, 3).join('/')))]).toEqual(sources);
      expect(pack.left_out.map(({ source, reason }) => `${source}: ${reason}`)).toEqual(expect.arrayContaining([...refused]));
      expect(await s.read('pack.md')).not.toContain('secret');
    }
  });

  test('MEM-2 no symbolic link leads out of a wiki, nor to one', async () => {
    const s = session({ 'context/policy.yaml': 'memory: [{path: wiki}, {path: shared/acme/wiki}]\n' });
    put(s, 'elsewhere', 'port.md', '# Port\n\nThe gateway has the port of a secret.\n');
    mkdirSync(join(s.root, 'shared/acme'), { recursive: true });
    symlinkSync(join(s.root, 'elsewhere'), join(s.root, 'shared/acme/wiki'));
    symlinkSync(join(s.root, 'elsewhere/port.md'), join(s.root, 'home/0/wiki/port.md'));
    ask(s, 'Which port does the gateway listen on?');
    const pack = await packOf(s);
    expect(await s.read('pack.md')).not.toContain('secret');
    const left = pack.left_out.map(({ source }) => source);
    expect(left).toEqual(expect.arrayContaining(['shared/acme/wiki', 'home/0/wiki/port.md']));
  });

  test('MEM-5 the share holds, for whole pages, sections and the first lines of a schema; what has no room is left out by name', async () => {
    const long = Array.from({ length: 400 }, (_, n) => `Filler line ${n} says little.`).join('\n');
    const s = session({ 'context/budget': '4000\n', 'context/policy.yaml': 'memory: [{path: wiki, share: 0.1}]\n' });
    put(s, 'home/0/wiki', 'AGENTS.md', `# Rules\n\n${long}\n`);
    put(s, 'home/0/wiki', 'gateway.md', `# Gateway\n\n${long}\n\n## Port\n\nIt listens on port 8443.\n\n## More\n\n${long}\n`);
    put(s, 'home/0/wiki', 'ports.md', `# Ports\n\n${long}\n`);
    ask(s, 'Which port does the gateway listen on?');
    const pack = await packOf(s);
    const memory = pack.items.filter(({ kind }) => kind === 'memory');
    expect(memory.reduce((sum, { tokens }) => sum + tokens, 0)).toBeLessThanOrEqual(400);
    expect(memory[0]).toMatchObject({ source: 'home/0/wiki/AGENTS.md', reason: expect.stringContaining('first lines') });
    expect(memory.find(({ source }) => source.endsWith('gateway.md'))).toMatchObject({ section: 'Port' });
    expect(pack.left_out).toEqual(
      expect.arrayContaining([{ source: 'home/0/wiki/ports.md', reason: expect.stringContaining('no room in its share') }]),
    );
    for (const item of memory) expect(s.deriver.resolve(item.source, item.range)?.digest).toBe(item.digest);
  });

  test('MEM-6 a plan that is carried out brings the pages that it cites: named by the policy, or by an open item', async () => {
    const s = session({ 'context/policy.yaml': 'memory: [{path: wiki, plan: plans/q3.md}]\n' });
    ask(s, 'Go on with the invoices.');
    expect(memoryOf(await packOf(s)).slice(2, 4)).toEqual(['home/0/wiki/plans/q3.md', 'home/0/wiki/people.md']);
    const other = session();
    other.event({ type: 'context.todo', text: 'carry out plans/q3.md' });
    ask(other, 'Go on with the invoices.');
    expect(memoryOf(await packOf(other)).slice(2, 4)).toEqual(['home/0/wiki/plans/q3.md', 'home/0/wiki/people.md']);
  });
});

describe('domains', () => {
  test('WIK-65 pages of a domain are packed only where the mount names it', async () => {
    for (const [domain, expected] of [
      [undefined, []],
      ['acme', ['home/0/wiki/acme/port.md']],
      ['globex', ['home/0/wiki/globex/port.md']],
    ] as const) {
      const s = session({ 'context/policy.yaml': `memory: [{path: wiki${domain === undefined ? '' : `, domain: ${domain}`}}]\n` });
      put(s, 'home/0/wiki', '.wiki/config.yaml', 'domains: [acme, globex]\n');
      for (const name of ['acme', 'globex'])
        put(s, 'home/0/wiki', `${name}/port.md`, `# Port of ${name}\n\nThe gateway of ${name} listens there.\n`);
      ask(s, 'Which port does the gateway listen on?');
      const pack = await packOf(s);
      expect(memoryOf(pack)).toContain('home/0/wiki/gateway.md');
      expect(memoryOf(pack).filter((source) => source.endsWith('/port.md'))).toEqual(expected);
      if (domain !== 'globex') expect(await s.read('prompt.json')).not.toContain('globex listens');
    }
  });
});

describe('when it changes', () => {
  test('MEM-4 an edit never changes a running epoch, and shows in the next one', async () => {
    const s = session();
    ask(s, 'Which port does the gateway listen on?');
    await s.read('pack.md');
    answer(s, 'Port 8443.');
    const before = await s.read('pack.md');
    const { epoch } = await packOf(s);
    put(s, 'home/0/wiki', 'gateway.md', '# Gateway\n\nIt listens on port 9999.\n');
    ask(s, 'And which port does the gateway have now?');
    const after = await s.read('pack.md');
    expect(after.startsWith(before)).toBe(true);
    expect(after).not.toContain('9999');
    expect((await packOf(s)).epoch.id).toBe(epoch.id);
    answer(s);
    s.put('context/pinned/new.md', 'Begin anew.\n');
    const next = await s.read('pack.md');
    expect(next).toContain('9999');
    expect(next).not.toContain('on port 8443.');
  });

  test('MEM-4 where no model has answered yet, the pages for the newest question are there', async () => {
    const s = session();
    expect(memoryOf(await packOf(s))).toEqual(['home/0/wiki/AGENTS.md', 'home/0/wiki/INDEX.md']);
    ask(s, 'When are invoices sent?');
    expect(memoryOf(await packOf(s))).toContain('home/0/wiki/billing.md');
    ask(s, 'No: which port does the gateway listen on?');
    const pack = await packOf(s);
    expect(memoryOf(pack)[2]).toBe('home/0/wiki/gateway.md');
    expect(pack.epoch.reason).toBe('memory was chosen');
  });

  test('MEM-7 a wiki that is read too slowly is named, and there at a later read; so is one that could not be read', async () => {
    const reader = services.memory;
    if (reader === undefined) throw new Error('no memory');
    const close = (): void => undefined;
    const reopened = async (choose: typeof reader.choose): Promise<TestSession> => {
      const s = session();
      await s.deriver.close();
      s.deriver = s.open({ memory: { choose, close }, memoryWaitMs: 20, memoryRestMs: 50 });
      ask(s, 'Which port does the gateway listen on?');
      return s;
    };
    const missing = async (s: TestSession): Promise<readonly string[]> =>
      (await packOf(s)).left_out.map(({ source, reason }) => `${source} ${reason}`);
    let go = close;
    const gate = new Promise<void>((resolve) => (go = resolve));
    const slow = await reopened((request) => gate.then(() => reader.choose(request)));
    expect(await missing(slow)).toEqual([expect.stringMatching(/^home\/0\/wiki .*still being read/)]);
    go();
    await vi.waitUntil(async () => memoryOf(await packOf(slow)).includes('home/0/wiki/gateway.md'), { timeout: 60_000 });
    expect((await missing(slow)).join()).not.toContain('still');

    const broken = await reopened(() => Promise.reject(new Error('no')));
    expect(await missing(broken)).toEqual([expect.stringMatching(/^home\/0\/wiki .*could not be read/)]);
    // The first read after a while asks again, though nobody said anything; whoever read before is told.
    let asks = 0;
    const failing = await reopened((request) => ((asks += 1), asks < 3 ? Promise.reject(new Error('no')) : reader.choose(request)));
    const told = vi.fn();
    failing.deriver.onMemory = told;
    expect(await missing(failing)).toEqual([expect.stringMatching(/^home\/0\/wiki .*could not be read/)]);
    for (const times of [2, 3]) {
      await vi.waitUntil(() => told.mock.calls.length === times - 1, { timeout: 60_000 });
      expect(asks).toBe(times - 1);
      await packOf(failing);
      expect(asks).toBe(times);
    }
    expect(memoryOf(await packOf(failing))).toContain('home/0/wiki/gateway.md');
    expect(await missing(failing)).toEqual([]);
    await broken.reopen();
    ask(broken, 'Which port, then, does the gateway have?');
    expect(memoryOf(await packOf(broken))).toContain('home/0/wiki/gateway.md');
  });
  test('MEM-4 a page that a later question needs is appended behind it, once', async () => {
    const s = session();
    ask(s, 'When are invoices sent?');
    await s.read('pack.md');
    answer(s);
    const before = await s.read('pack.md');
    ask(s, 'What does Ada do?');
    const pack = await packOf(s);
    expect((await s.read('pack.md')).startsWith(before)).toBe(true);
    expect(pack.items.at(-1)).toMatchObject({ kind: 'memory', source: 'home/0/wiki/people.md' });
    expect(await s.read('prompt.json')).toContain('Ada runs the harbour desk.');
    answer(s);
    await s.read('pack.md');
    ask(s, 'Which desk does Ada run?');
    expect(memoryOf(await packOf(s)).filter((source) => source.endsWith('people.md'))).toHaveLength(1);
    for (const item of (await packOf(s)).items.filter(({ kind }) => kind === 'memory'))
      expect(s.deriver.resolve(item.source, item.range)?.digest).toBe(item.digest);
  });

  test('MEM-3 lazy equals scratch, and deleting what is derived changes no byte, whatever the wiki says meanwhile', async () => {
    const s = session({ 'context/budget': '900\n', 'context/policy.yaml': 'memory: [{path: wiki, share: 0.3}]\n' });
    const files = ['pack.json', 'pack.md', 'prompt.json'];
    const all = async (): Promise<readonly string[]> => {
      const texts: string[] = [];
      for (const file of files) texts.push(await s.read(file));
      return texts;
    };
    const epochs = new Map<string, string>();
    for (let turn = 0; turn < 12; turn += 1) {
      ask(s, turn % 3 === 0 ? `Which port, in turn ${turn}?` : `When are invoices sent, in turn ${turn}?`);
      if (turn % 4 !== 3) await s.read('pack.md');
      answer(s, `Turn ${turn}. ${'It is as the page says. '.repeat(10)}`);
      put(s, 'home/0/wiki', 'gateway.md', `# Gateway\n\nIt listens on port ${8000 + turn}.\n`);
      const md = await s.read('pack.md');
      const { epoch } = await packOf(s);
      expect(md.startsWith(epochs.get(epoch.id) ?? '')).toBe(true);
      epochs.set(epoch.id, md);
    }
    expect(epochs.size).toBeGreaterThan(2);
    for (const page of ['gateway', 'billing']) expect([...epochs.values()].join('')).toContain(`<memory home/0/wiki/${page}.md`);
    const lazy = await all();
    await s.reopen(true);
    expect(await all()).toEqual(lazy);
    rmSync(join(s.root, 'home/0/wiki'), { recursive: true });
    await s.reopen(true);
    expect(await all()).toEqual(lazy);
    await s.reopen(false);
    expect(await all()).toEqual(lazy);
  });
});
