// The completion gate: nothing is done until the wiki reflects it. Pure: what runs checks, and where results are kept, is elsewhere.
import { changeName } from './queue.ts';
import type { QueuedChange } from './queue.ts';

export interface GatePolicy {
  /** Names of checks whose recorded result must be a pass. */
  readonly checks: readonly string[];
  /** Oldest result that counts. */
  readonly maxAgeMs: number;
  /** Path of a page whose tasks must all be ticked. */
  readonly checklist?: string;
  readonly requireLog: boolean;
}

export interface CheckResult {
  readonly check: string;
  readonly passed: boolean;
  readonly atMs: number;
  /** Revision that it was run for. */
  readonly revision: string;
}

export interface GateState {
  /** Changes of this session that no log entry mentions. */
  readonly waiting: readonly QueuedChange[];
  readonly results: readonly CheckResult[];
  /** What is to be called done. */
  readonly revision: string;
  readonly openTasks: readonly { readonly line: number; readonly text: string }[];
  readonly checklistFound: boolean;
  readonly nowMs: number;
}

export interface GateVerdict {
  readonly open: boolean;
  /** One sentence each; what to do is in it. */
  readonly reasons: readonly string[];
}

export function evaluateGate(policy: GatePolicy, state: GateState): GateVerdict {
  const reasons: string[] = [];
  if (policy.requireLog && state.waiting.length > 0) {
    const paths = [...new Set(state.waiting.map(changeName))];
    reasons.push(
      `log.md does not mention ${paths.slice(0, 5).join(', ')}${paths.length > 5 ? ` and ${paths.length - 5} more` : ''}; add an entry with a Judgment: line`,
    );
  }
  for (const check of policy.checks) {
    const latest = state.results.filter((result) => result.check === check).sort((a, b) => b.atMs - a.atMs)[0];
    if (latest === undefined) reasons.push(`the check ${check} was never run; run it`);
    else if (!latest.passed) reasons.push(`the check ${check} failed; fix it and run it again`);
    else if (latest.revision !== state.revision) reasons.push(`the check ${check} passed for an earlier state; run it again`);
    else if (state.nowMs - latest.atMs > policy.maxAgeMs) reasons.push(`the check ${check} passed too long ago; run it again`);
  }
  if (policy.checklist !== undefined) {
    if (!state.checklistFound) reasons.push(`the checklist ${policy.checklist} is not there`);
    for (const { line, text } of state.openTasks) reasons.push(`${policy.checklist}:${line} is not ticked: ${text}`);
  }
  return { open: reasons.length === 0, reasons };
}

/** `context/gate.md` */
export function gateText({ open, reasons }: GateVerdict): string {
  return open
    ? '# Gate\n\nOpen: this session may be called done.\n'
    : `# Gate\n\nClosed:\n\n${reasons.map((reason) => `- ${reason}\n`).join('')}`;
}
