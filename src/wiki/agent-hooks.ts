// What an agent outside the mount is told at the start of a session, before it ends, and before it compacts. Pure texts.
import { CtxError } from '../abi/errors.ts';
import type { Finding } from './finding.ts';

export const HOOK_EVENTS = ['SessionStart', 'Stop', 'PreCompact'] as const;
export type HookEvent = (typeof HOOK_EVENTS)[number];

export interface HookState {
  readonly root: string;
  readonly schema: string;
  readonly index: string;
  readonly lastLint: string | undefined;
  readonly gaps: readonly Finding[];
  /** Changes of the queue, and pages that git has as changed, which the log does not mention. */
  readonly unlogged: readonly string[];
}

/** The first lines every reader sees. */
export function heartbeatLines({ lastLint, gaps, unlogged }: Pick<HookState, 'lastLint' | 'gaps' | 'unlogged'>): readonly string[] {
  const changed = [...new Set([...gaps.map(({ file }) => file), ...unlogged])];
  return [
    `Last lint: ${lastLint ?? 'never'}`,
    ...(changed.length === 0 ? [] : [`LOG GAP: ${changed.slice(0, 10).join(', ')}${changed.length > 10 ? ', …' : ''}`]),
  ];
}

export interface HookCall {
  /** This stop comes from our own answer, and is let through. */
  readonly stopHookActive: boolean;
  /** The session goes on after a compaction. */
  readonly compacted: boolean;
}

/** What Claude Code reads on stdout. */
export function hookAnswer(event: HookEvent, state: HookState, { stopHookActive, compacted }: HookCall): object {
  const beat = heartbeatLines(state);
  const [, gap] = beat;
  const late = compacted && gap !== undefined ? [`This session was compacted before log.md had it: write the entry first.`] : [];
  switch (event) {
    case 'SessionStart':
      return {
        hookSpecificOutput: {
          hookEventName: event,
          additionalContext: `${[...beat, ...late].join('\n')}\nWiki: ${state.root}\n\n${state.schema.trimEnd()}\n\n${state.index.trimEnd()}\n`,
        },
      };
    case 'Stop':
      if (gap === undefined || stopHookActive) return {};
      return {
        decision: 'block',
        reason: `${gap}. Append an entry to log.md in ${state.root}: what changed, and a "Judgment:" line that says why.`,
      };
    case 'PreCompact':
      return gap === undefined
        ? {}
        : {
            systemMessage: `${gap}. It waits in .update-queue, and is told again after compaction; the reasons are known only until then.`,
          };
    default:
      event satisfies never;
      return {};
  }
}

export type HookSettings = Readonly<Record<string, unknown>>;

/** The hooks of a settings file with ours in them, each once; what others put there stays. Fails with `wiki.settings`. */
export function withHooks(settings: HookSettings, command: (event: HookEvent) => string): Record<string, unknown> {
  const hooks = { ...hooksOf(withoutHooks(settings)) };
  for (const event of HOOK_EVENTS) hooks[event] = [...entriesOf(hooks, event), { hooks: [{ type: 'command', command: command(event) }] }];
  return { ...settings, hooks };
}

/** Without ours; what is empty then goes as well. */
export function withoutHooks(settings: HookSettings): Record<string, unknown> {
  const { hooks: _, ...rest } = settings;
  const kept: [string, unknown][] = [];
  for (const [event, entries] of Object.entries(hooksOf(settings))) {
    const ours = (HOOK_EVENTS as readonly string[]).includes(event) ? entriesOf(hooksOf(settings), event) : [];
    const left = ours.flatMap(withoutOurs);
    if (left.length > 0 || ours.length === 0) kept.push([event, ours.length === 0 ? entries : left]);
  }
  return kept.length > 0 || Object.keys(hooksOf(settings)).length === 0
    ? { ...settings, ...(kept.length > 0 ? { hooks: Object.fromEntries(kept) } : {}) }
    : rest;
}

function hooksOf(settings: HookSettings): HookSettings {
  const hooks = settings['hooks'] ?? {};
  if (!isRecord(hooks)) throw unknownShape('hooks', 'no object');
  return hooks;
}

function entriesOf(hooks: HookSettings, event: string): readonly unknown[] {
  const entries = hooks[event] ?? [];
  if (!Array.isArray(entries)) throw unknownShape(`hooks.${event}`, 'no list');
  return entries as readonly unknown[];
}

function unknownShape(where: string, what: string): CtxError {
  return new CtxError('wiki.settings', 'EINVAL', `is ${what}; nothing was changed`, { where, next: 'mend it, and run this again' });
}

const OURS = 'wiki hooks run ';

/** One entry may hold hooks of several. */
function withoutOurs(entry: unknown): readonly unknown[] {
  const inner = isRecord(entry) ? entry['hooks'] : undefined;
  if (!isRecord(entry) || !Array.isArray(inner)) return [entry];
  const left = (inner as readonly unknown[]).filter(
    (hook) => !(isRecord(hook) && typeof hook['command'] === 'string' && hook['command'].includes(OURS)),
  );
  if (left.length === inner.length) return [entry];
  return left.length === 0 ? [] : [{ ...entry, hooks: left }];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const SKILL_BEGIN = '---\nname: ctx-wiki\n';

export function skill(root: string): string {
  return `${SKILL_BEGIN}description: Durable knowledge of this person or team. Use it before answering about their projects, people, conventions or decisions, and after every deploy, debugging, correction or decision.
---

# The wiki in ${root}

- Ask: \`ctx wiki query -d ${root} WORDS…\` names the two to four pages to read, with the reason; \`--text\` prints them.
- Why things are as they are: \`ctx wiki judgments -d ${root} WORDS…\`.
- After a change: edit the pages it touches (and their \`last_updated\`), then append to \`log.md\`:
  a heading \`## YYYY-MM-DD what happened\`, what changed, and a line \`- Judgment: why\`.
- Raw material: \`ctx wiki ingest -d ${root} FILE\`, then \`ctx wiki review -d ${root}\`. A person accepts.
- Before calling something done: \`ctx wiki lint ${root}\`.
- The same as tools (query, read, ingest, lint): \`claude mcp add ctx-wiki -- ctx wiki mcp ${root}\`.
- Carrying out a plan: \`ctx wiki query -d ${root} --plan PAGE\` gives the plan with the pages it cites.
`;
}
