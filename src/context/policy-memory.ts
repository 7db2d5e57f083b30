// `memory` of policy.yaml: the wikis that a session mounts. Which of them its owner may have is for whoever reads them (MEM-2).
import { isObjectName } from '../abi/names.ts';

export const MEMORY_MODES = ['read-only', 'read-write', 'ephemeral'] as const;
export const MEMORY_SCOPES = ['user', 'project', 'organization'] as const;

export interface MemoryMount {
  readonly name: string;
  /** Below the mount point: `home/1000/wiki`, `shared/acme/wiki`, or a directory in one; `wiki` is the owner's own. */
  readonly path: string;
  readonly mode: (typeof MEMORY_MODES)[number];
  readonly scope: (typeof MEMORY_SCOPES)[number];
  /** Most of the budget that it takes; undefined: its part of `shares.memory`. */
  readonly share: number | undefined;
  /** Pages of plans that are being carried out: what they cite comes first. */
  readonly plans: readonly string[];
  /** The domain of the wiki that the session works for; undefined: only what is common to all. */
  readonly domain: string | undefined;
}

const MOST_MOUNTS = 8;
const MOST_PLANS = 8;
const PLACE = /^(?:wiki|home\/(?:0|[1-9][0-9]{0,9})\/wiki|shared\/[a-zA-Z0-9][a-zA-Z0-9._+-]{0,63}\/wiki)$/;
const KEYS = ['name', 'path', 'mode', 'scope', 'share', 'plan', 'domain'];

/** Undefined: the key is not there. `refuse` throws. */
export function readMemoryMounts(value: unknown, refuse: (what: string) => never): readonly MemoryMount[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) return refuse('memory is not a list');
  if (value.length > MOST_MOUNTS) refuse(`memory has more than ${MOST_MOUNTS} entries`);
  const mounts = (value as readonly unknown[]).map((entry, at) => readMount(entry, `memory[${at}]`, refuse));
  for (const [at, { name }] of mounts.entries())
    if (mounts.findIndex((other) => other.name === name) < at) refuse(`memory: the name ${name} is given twice`);
  return mounts;
}

function readMount(entry: unknown, where: string, refuse: (what: string) => never): MemoryMount {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return refuse(`${where} is not a mapping`);
  const map = entry as Readonly<Record<string, unknown>>;
  for (const key of Object.keys(map)) if (!KEYS.includes(key)) refuse(`unknown key ${where}.${key} (known: ${KEYS.join(', ')})`);
  const { path, share, plan, domain } = map;
  if (typeof path !== 'string' || !isPlace(path)) return refuse(`${where}.path is not wiki, home/UID/wiki, shared/NAME/wiki, or below one`);
  const name = map['name'] ?? (path.startsWith('shared/') ? path.split('/')[1] : 'wiki');
  if (typeof name !== 'string' || !isObjectName(name)) return refuse(`${where}.name is not a name`);
  if (share !== undefined && (typeof share !== 'number' || !(share >= 0 && share <= 1)))
    refuse(`${where}.share is not a number from 0 to 1`);
  const plans: readonly unknown[] = plan === undefined || plan === null ? [] : Array.isArray(plan) ? plan : [plan];
  if (plans.length > MOST_PLANS || !plans.every((page) => typeof page === 'string' && isInside(page)))
    refuse(`${where}.plan is not the path of a page, or up to ${MOST_PLANS} of them`);
  if (domain !== undefined && (typeof domain !== 'string' || !isInside(domain) || domain.includes('/')))
    refuse(`${where}.domain is not a name`);
  const shared = path.startsWith('shared/');
  return {
    name,
    path,
    mode: oneOf(map['mode'], MEMORY_MODES, 'read-write', `${where}.mode`, refuse),
    scope: oneOf(map['scope'], MEMORY_SCOPES, shared ? 'project' : 'user', `${where}.scope`, refuse),
    share: share as number | undefined,
    plans: plans as readonly string[],
    domain: domain as string | undefined,
  };
}

function oneOf<T extends string>(value: unknown, known: readonly T[], otherwise: T, where: string, refuse: (what: string) => never): T {
  if (value === undefined || value === null) return otherwise;
  return known.includes(value as T) ? (value as T) : refuse(`${where} is not ${known.join(', ')}`);
}

function isPlace(path: string): boolean {
  const parts = path.split('/');
  const root = parts[0] === 'wiki' ? 1 : 3;
  return PLACE.test(parts.slice(0, root).join('/')) && (parts.length === root || isInside(parts.slice(root).join('/')));
}

/** No name that leads elsewhere, and none that is hidden. */
function isInside(path: string): boolean {
  return path.length <= 1024 && path.split('/').every((part) => part !== '' && !part.startsWith('.') && !/[\u0000-\u001f]/.test(part));
}
