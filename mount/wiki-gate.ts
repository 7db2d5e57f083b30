// The gate of a session: what its policy asks for, what its wiki and its journals say.
import * as fs from 'node:fs';
import { digestOf } from '../src/abi/digest.ts';
import { CtxError } from '../src/abi/errors.ts';
import { parseSessionRelativePath } from '../src/abi/names.ts';
import type { GateChoice } from '../src/context/gate-policy.ts';
import { parsePolicy } from '../src/context/policy.ts';
import { recordedChecks, workedSince } from '../src/session/gate-records.ts';
import { readControl, writeControl } from '../src/tree/control-file.ts';
import type { WikiText } from '../src/tree/wiki-client.ts';
import { evaluateGate, gateText as textOf } from '../src/wiki/gate.ts';
import type { GateVerdict } from '../src/wiki/gate.ts';
import { queueState } from '../src/wiki/lint-time.ts';
import type { QueuedChange } from '../src/wiki/queue.ts';
import { sessionName } from './wiki-doer.ts';
import type { WikiKeeper } from './wiki-keeper.ts';

export interface GateContext {
  readonly store: string;
  /** `home/0/agent/coder/session/default` */
  readonly session: string;
  readonly keeper: (wiki: string) => WikiKeeper | undefined;
}

export async function gateText(context: GateContext): Promise<WikiText> {
  const verdict = await verdictOf(context);
  const text = verdict === undefined ? '# Gate\n\nNone: context/policy.yaml has no `gate`.\n' : textOf(verdict);
  return { text, digest: digestOf(text), sizeBytes: Buffer.byteLength(text), modifiedMs: Date.now() };
}

/** WIK-45: `state` is written here, before the caller hears of it, when the gate is open. */
export async function finishSession(context: GateContext, bytes: Uint8Array, untilMs: number): Promise<null> {
  const verdict = await verdictOf(context);
  if (verdict?.open === false)
    throw new CtxError('gate.closed', 'EPERM', verdict.reasons.join('; '), { where: 'state', next: 'see context/gate.md' });
  // Whoever waited was told that it takes too long.
  if (Date.now() > untilMs)
    throw new CtxError('wiki.timeout', 'ETIMEDOUT', 'the gate took too long', { where: 'state', next: 'write it again' });
  writeControl(`${context.store}/${context.session}/state`, Buffer.from(bytes), '.done');
  return null;
}

async function verdictOf(context: GateContext): Promise<GateVerdict | undefined> {
  const { store, session } = context;
  const directory = `${store}/${session}`;
  const { gate } = parsePolicy(readControl(`${directory}/context/policy.yaml`).toString('utf8'));
  if (gate === undefined) return undefined;
  const wiki = await wikiState(context, gate);
  if ('refusal' in wiki) return { open: false, reasons: [wiki.refusal] };
  const results = recordedChecks(
    directory,
    gate.checks.map(({ name }) => name),
  );
  return evaluateGate(
    { ...gate, checks: gate.checks.map(({ name }) => name), checklist: gate.checklist } as Parameters<typeof evaluateGate>[0],
    {
      ...wiki,
      results: results.map((result) => ({ ...result, revision: workedSince(directory, result.messagesBytes) ? 'before' : 'now' })),
      revision: 'now',
      nowMs: Date.now(),
    },
  );
}

interface WikiState {
  readonly waiting: readonly QueuedChange[];
  readonly openTasks: readonly { readonly line: number; readonly text: string }[];
  readonly checklistFound: boolean;
}

async function wikiState({ store, session, keeper }: GateContext, gate: GateChoice): Promise<WikiState | { readonly refusal: string }> {
  const owner = fs.lstatSync(`${store}/${session}`);
  const place = session.slice(0, session.indexOf('/agent/'));
  const wiki = gate.wiki ?? `${place}/wiki`;
  if (!gate.requireLog && gate.checklist === undefined) return { waiting: [], openTasks: [], checklistFound: false };
  if (!mayRead(store, wiki, place, owner))
    return { refusal: `the wiki ${wiki} is not there, or not for this session; name another one in context/policy.yaml` };
  const kept = keeper(wiki);
  if (kept === undefined) return { refusal: `the wiki ${wiki} cannot be read; see the daemon log` };
  kept.flush();
  const directory = kept.directory();
  const input = directory.lintInput({ today: new Date().toISOString().slice(0, 10) });
  const page = gate.checklist === undefined ? undefined : directory.index.get(gate.checklist);
  return {
    waiting: queueState(input).waiting.filter((change) => isOf(change, session, owner)),
    openTasks: page?.facts.markdown.tasks.filter(({ done }) => !done) ?? [],
    checklistFound: page !== undefined,
  };
}

/** What this session changed; and what its user changed since it began, where nobody knows for which session. */
function isOf(change: QueuedChange, session: string, owner: fs.Stats): boolean {
  if (change.session === undefined) return change.uid === owner.uid && Date.parse(change.time) >= Math.floor(owner.birthtimeMs);
  if (change.session === session) return true;
  const path = parseSessionRelativePath(session);
  return (
    path !== undefined && 'home' in path.owner && change.uid === path.owner.home && change.session === sessionName(session, path.owner.home)
  );
}

/** A wiki of its own home or space, or one that its owner may list. */
function mayRead(store: string, wiki: string, place: string, { uid, gid }: fs.Stats): boolean {
  const parts = wiki.split('/');
  if (wiki.startsWith('home/') && wiki !== `${place}/wiki`) return uid === 0 && fs.existsSync(`${store}/${wiki}`);
  for (let length = 2; length <= parts.length; length++) {
    const stat = fs.lstatSync(`${store}/${parts.slice(0, length).join('/')}`, { throwIfNoEntry: false });
    if (stat?.isDirectory() !== true) return false;
    const shift = stat.uid === uid ? 6 : stat.gid === gid ? 3 : 0;
    if (uid !== 0 && ((stat.mode >> shift) & 0o5) !== 0o5) return false;
  }
  return true;
}
