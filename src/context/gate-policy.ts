// `gate` of context/policy.yaml: what must hold before a session may be called done.

export interface GateChoice {
  /** `home/0/wiki`; undefined: the wiki of the home or shared space that the session is in. */
  readonly wiki: string | undefined;
  /** Commands, in their order; one without `run` is recorded by somebody else. */
  readonly checks: readonly { readonly name: string; readonly run: string | undefined }[];
  /** Path in the wiki. */
  readonly checklist: string | undefined;
  readonly maxAgeMs: number;
  readonly requireLog: boolean;
}

const DAY_MS = 86_400_000;
const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: DAY_MS };
const MAX_CHECKS = 50;
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$/;
const WIKI = /^(?:home\/[0-9]{1,10}|shared\/[a-zA-Z0-9][a-zA-Z0-9._+-]{0,63})\/wiki$/;

/** `refuse` throws, naming the key. An empty map is a gate that asks for the log only. */
export function readGate(value: unknown, refuse: (what: string) => never): GateChoice | undefined {
  if (value === undefined || value === null || value === false) return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) refuse('gate is not a mapping');
  const { wiki, checks, checklist, max_age: maxAge, require_log: requireLog, ...rest } = value as Readonly<Record<string, unknown>>;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) refuse(`unknown key gate.${unknown} (known: wiki, checks, checklist, max_age, require_log)`);
  if (wiki !== undefined && (typeof wiki !== 'string' || !WIKI.test(wiki)))
    refuse('gate.wiki is not home/<uid>/wiki or shared/<name>/wiki');
  if (requireLog !== undefined && typeof requireLog !== 'boolean') refuse('gate.require_log is not true or false');
  return {
    wiki,
    checks: readChecks(checks, refuse),
    checklist: readPage(checklist, refuse),
    maxAgeMs: readAge(maxAge, refuse),
    requireLog: requireLog ?? true,
  };
}

function readChecks(value: unknown, refuse: (what: string) => never): GateChoice['checks'] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > MAX_CHECKS) refuse(`gate.checks is not a list of at most ${MAX_CHECKS}`);
  const names = new Set<string>();
  return (value as readonly unknown[]).map((entry, index) => {
    const { name, run, ...rest } = (typeof entry === 'string' ? { name: entry } : (entry ?? {})) as Readonly<Record<string, unknown>>;
    if (typeof name !== 'string' || !NAME.test(name) || Object.keys(rest).length > 0)
      refuse(`gate.checks: entry ${index} is not {name, run}`);
    if (run !== undefined && (typeof run !== 'string' || run.length > 4096 || run.includes('\0')))
      refuse(`gate.checks: run of ${name} is not a command`);
    if (names.has(name)) refuse(`gate.checks: ${name} is given twice`);
    names.add(name);
    return { name, run };
  });
}

function readPage(value: unknown, refuse: (what: string) => never): string | undefined {
  if (value === undefined || value === null) return undefined;
  const fits = typeof value === 'string' && value.length <= 1024 && !value.startsWith('/') && !value.split('/').includes('..');
  return fits ? value : refuse('gate.checklist is not the path of a page in the wiki');
}

function readAge(value: unknown, refuse: (what: string) => never): number {
  if (value === undefined || value === null) return DAY_MS;
  const [, count, unit = ''] = /^([0-9]{1,6})([smhd])$/.exec(typeof value === 'string' ? value : '') ?? [];
  return count === undefined ? refuse('gate.max_age is not a time such as 30m, 24h or 7d') : Number(count) * (UNITS[unit] ?? 0);
}
