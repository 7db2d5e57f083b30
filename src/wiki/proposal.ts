// Changes to pages that wait for a person: the whole new texts, for exactly the texts they were made from.
import type { Digest } from '../abi/digest.ts';
import { digestOf } from '../abi/digest.ts';
import { unifiedDiff } from './diff.ts';
import { joinInside } from './paths.ts';

export const PROPOSALS_DIRECTORY = '.wiki/proposals';

export interface ProposedChange {
  readonly path: string;
  /** Digest of the text that it replaces; null for a new file. */
  readonly base: Digest | null;
  readonly text: string;
}

export interface Proposal {
  readonly id: string;
  /** One line. */
  readonly about: string;
  readonly by: string;
  readonly at: string;
  readonly changes: readonly ProposedChange[];
  /** Goes to the log when the proposal is accepted, with the judgment that the reviewer gives. */
  readonly log: { readonly title: string; readonly changes: readonly string[]; readonly judgment: string };
}

export function makeProposal(parts: Omit<Proposal, 'id'>): Proposal {
  const id = digestOf(JSON.stringify([parts.about, parts.at, parts.changes])).slice('sha256-'.length, 'sha256-'.length + 8);
  return { id, ...parts };
}

export function proposalPath(id: string): string {
  return `${PROPOSALS_DIRECTORY}/${id}.json`;
}

/** Undefined when it is none: also when a path leads out of the wiki, or to a hidden place. */
export function parseProposal(text: string): Proposal | undefined {
  let value: Partial<Proposal> | null;
  try {
    value = JSON.parse(text) as Partial<Proposal> | null;
  } catch {
    return undefined;
  }
  const { id, about, changes, log } = value ?? {};
  if (typeof id !== 'string' || !/^[0-9a-f]{8}$/.test(id) || typeof about !== 'string' || !Array.isArray(changes)) return undefined;
  const fits = changes.every(
    (change: Partial<ProposedChange> | null) =>
      typeof change?.path === 'string' &&
      change.path !== '' &&
      joinInside('', change.path) === change.path &&
      !change.path.split('/').some((name) => name.startsWith('.')) &&
      typeof change.text === 'string' &&
      (change.base === null || typeof change.base === 'string'),
  );
  if (!fits || typeof log?.title !== 'string' || !Array.isArray(log.changes) || typeof log.judgment !== 'string') return undefined;
  return value as Proposal;
}

/** What `git apply` also takes. */
export function proposalDiff(proposal: Proposal, text: (path: string) => string | undefined): string {
  return proposal.changes.map(({ path, text: after }) => unifiedDiff(path, text(path), after)).join('');
}
