// How one wiki is laid out and linted: `.wiki/config.yaml`, every key optional.
import { CtxError } from '../abi/errors.ts';
import { isTimezone, parseSchedule, type ExpectedOutput } from './expected-output.ts';
import { dayOf, parseFrontmatter, textOf, textsOf, type FrontmatterValue } from './frontmatter.ts';
import { isRule, type Rule } from './finding.ts';
import { foldName } from './slug.ts';

export const CONFIG_PATH = '.wiki/config.yaml';

/** A place that holds a copy of knowledge: pasted instructions, an agent's own memory. */
export interface DeclaredCopy {
  /** File or directory; `~` is the home directory; `*` stands for one name. */
  readonly path: string;
  readonly name: string;
  /** `copy`, or `forwarded`: instructions of another session, which are claims. */
  readonly kind: 'copy' | 'forwarded';
  /** Day on which a person last confirmed it. */
  readonly confirmed: string | undefined;
  /** Which schema it was confirmed against ({@link schemaMark}); undefined: of that day. */
  readonly schema?: string | undefined;
}

export interface Buckets {
  readonly root: string;
  readonly allowed: readonly string[];
  readonly runtime: readonly string[];
  /** What must lie outside every search scope. */
  readonly unsearched: readonly string[];
  readonly scopes: readonly string[];
}

export interface WikiConfig {
  readonly index: readonly string[];
  readonly log: readonly string[];
  readonly schema: readonly string[];
  readonly sources: string;
  /** Directories that lint reads past: raw, thrown away or unfilled. */
  readonly ignore: readonly string[];
  readonly pagesMin: number;
  readonly pagesMax: number;
  readonly schemaLines: number;
  readonly logBytes: number;
  readonly staleDays: number;
  readonly lintDays: number;
  readonly deferDays: number;
  readonly frontmatterKeys: readonly string[];
  readonly off: ReadonlySet<Rule>;
  readonly planTypes: readonly string[];
  readonly projectTypes: readonly string[];
  readonly copies: readonly DeclaredCopy[];
  readonly outputs: readonly ExpectedOutput[];
  readonly buckets: Buckets | undefined;
  /** Directories at the root that are kept apart: each for its own client, say. */
  readonly domains: readonly string[];
  /** `auto`: the daemon commits what changed on the mount, as the owner. */
  readonly commit: 'off' | 'auto';
}

export const DEFAULT_CONFIG: WikiConfig = {
  index: ['INDEX.md', 'index.md'],
  log: ['log.md', 'LOG.md'],
  schema: ['AGENTS.md', 'CLAUDE.md'],
  sources: 'sources',
  ignore: ['templates', 'scratch', 'archive'],
  pagesMin: 15,
  pagesMax: 30,
  schemaLines: 80,
  logBytes: 128 * 1024,
  staleDays: 180,
  lintDays: 7,
  deferDays: 7,
  frontmatterKeys: [],
  off: new Set(),
  planTypes: ['plan'],
  projectTypes: ['project'],
  copies: [],
  outputs: [],
  buckets: undefined,
  domains: [],
  commit: 'off',
};

/** Fails with `wiki.config` (EINVAL) and the key: a rule that is switched off by a slip would be silent. */
export function parseConfig(yaml: string): WikiConfig {
  const parsed = parseFrontmatter(yaml);
  if ('message' in parsed) throw configError(parsed.message.replace(/^frontmatter /, 'the file '));
  const { values } = parsed;
  const known = new Set([
    ...Object.keys(NUMBERS),
    ...LISTS.keys(),
    'sources',
    'off',
    'copies',
    'expected_outputs',
    'buckets',
    'commit',
    'version',
  ]);
  for (const key of values.keys()) if (!known.has(key)) throw configError(`${key} is not a key of it`);
  const config: Record<string, unknown> = { ...DEFAULT_CONFIG };
  for (const [key, field] of Object.entries(NUMBERS)) {
    const value = values.get(key);
    if (value === undefined) continue;
    if (typeof value !== 'string' || !/^[0-9]{1,9}$/.test(value)) throw configError(`${key} is not a whole number`);
    config[field] = Number(value);
  }
  for (const [key, field] of LISTS) if (values.has(key)) config[field] = textsOf(values.get(key));
  const sources = textOf(values.get('sources'));
  if (sources !== undefined) config['sources'] = sources.replace(/\/+$/, '');
  const off = textsOf(values.get('off'));
  for (const rule of off) if (!isRule(rule)) throw configError(`off: ${rule} is not a rule`);
  return {
    ...(config as unknown as WikiConfig),
    off: new Set(off as readonly Rule[]),
    copies: records(values.get('copies')).map((entry) => ({
      path: required(entry, 'path', 'copies'),
      name: textOf(entry['name']) ?? required(entry, 'path', 'copies'),
      kind: entry['kind'] === 'forwarded' ? 'forwarded' : 'copy',
      confirmed: dayOf(entry['confirmed']),
      schema: textOf(entry['schema']),
    })),
    outputs: records(values.get('expected_outputs')).map((entry) => output(entry)),
    buckets: buckets(values.get('buckets')),
    commit: commit(textOf(values.get('commit')) ?? 'off'),
  };
}

const NUMBERS: Readonly<Record<string, keyof WikiConfig>> = {
  pages_min: 'pagesMin',
  pages_max: 'pagesMax',
  schema_lines: 'schemaLines',
  log_bytes: 'logBytes',
  stale_days: 'staleDays',
  lint_days: 'lintDays',
  defer_days: 'deferDays',
};
const LISTS: ReadonlyMap<string, keyof WikiConfig> = new Map([
  ['index', 'index'],
  ['log', 'log'],
  ['schema', 'schema'],
  ['ignore', 'ignore'],
  ['frontmatter_keys', 'frontmatterKeys'],
  ['plan_types', 'planTypes'],
  ['project_types', 'projectTypes'],
  ['domains', 'domains'],
]);

type Entry = Readonly<Record<string, FrontmatterValue>>;

function records(value: FrontmatterValue | undefined): readonly Entry[] {
  if (value === undefined || value === '') return [];
  if (!Array.isArray(value)) throw configError('copies and expected_outputs are lists');
  return value.map((entry: FrontmatterValue) => {
    if (typeof entry !== 'object' || Array.isArray(entry)) throw configError('an entry of copies or expected_outputs is not a map');
    return entry as Entry;
  });
}

function required(entry: Entry, key: string, where: string): string {
  const value = textOf(entry[key]);
  if (value === undefined) throw configError(`an entry of ${where} has no ${key}`);
  return value;
}

const OUTPUT_KEYS: ReadonlySet<string> = new Set(['job', 'path', 'schedule', 'timezone', 'within']);
const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

function output(entry: Entry): ExpectedOutput {
  const path = required(entry, 'path', 'expected_outputs');
  const schedule = textOf(entry['schedule']) ?? 'daily';
  const unknown = Object.keys(entry).find((key) => !OUTPUT_KEYS.has(key));
  if (unknown !== undefined) throw configError(`an entry of expected_outputs has ${unknown}, which nothing reads`);
  const timezone = textOf(entry['timezone']);
  if (timezone !== undefined && !isTimezone(timezone)) throw configError(`timezone ${timezone} is none, such as Europe/Berlin`);
  const parsed = parseSchedule(schedule, timezone);
  if (parsed === undefined)
    throw configError(
      `schedule ${schedule} is none of hourly, daily, weekly, monthly, every Nh, or five fields of crontab ("0 6 * * 1-5")`,
    );
  const within = /^([0-9]{1,4})([mhd])$/.exec(textOf(entry['within']) ?? '1h');
  if (within === null) throw configError('within of expected_outputs is no time such as 30m, 2h or 1d');
  const withinMs = Number(within[1]) * (UNITS_MS[within[2] ?? ''] ?? 0);
  return { job: textOf(entry['job']) ?? path, path, schedule: parsed, timezone, withinMs };
}

function buckets(value: FrontmatterValue | undefined): Buckets | undefined {
  if (value === undefined || value === '') return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) throw configError('buckets is not a map');
  const entry = value as Entry;
  return {
    root: required(entry, 'root', 'buckets'),
    allowed: textsOf(entry['allowed']),
    runtime: textsOf(entry['runtime']),
    unsearched: textsOf(entry['unsearched']),
    scopes: textsOf(entry['scopes']),
  };
}

function commit(text: string): WikiConfig['commit'] {
  if (text !== 'auto' && text !== 'off') throw configError('commit is not auto or off');
  return text;
}

function configError(what: string): CtxError {
  return new CtxError('wiki.config', 'EINVAL', what, { where: CONFIG_PATH, next: 'see docs/wiki.md' });
}

/** The domain that a path belongs to; undefined: it is common to all. */
export function domainOf(path: string, { domains }: WikiConfig): string | undefined {
  return domains.find((domain) => foldName(path).startsWith(`${foldName(domain)}/`));
}

/** What a path is to the wiki. `other`: a file that is no page. */
export type Place = 'index' | 'log' | 'schema' | 'source' | 'ignored' | 'page';

export function placeOf(path: string, config: WikiConfig): Place {
  const folded = foldName(path);
  const among = (names: readonly string[]): boolean => names.some((name) => foldName(name) === folded);
  if (among(config.index)) return 'index';
  if (among(config.log) || folded.startsWith('log/')) return 'log';
  if (among(config.schema)) return 'schema';
  if (folded.startsWith(`${foldName(config.sources)}/`)) return 'source';
  return config.ignore.some((directory) => folded.startsWith(`${foldName(directory)}/`)) ? 'ignored' : 'page';
}
