// The tables of the mount benchmark. Rates and costs are kept by `METRIC\0TARGET`.

export interface Figure {
  readonly name: string;
  readonly unit: string;
}

/** What a daemon spent in all rounds: hardly disturbed by other work on the machine, unlike rates. */
export interface Spent {
  ticks: number;
  ops: number;
}

const TICKS_PER_SECOND = 100;
const MICROSECONDS_PER_TICK = 1e6 / TICKS_PER_SECOND;

export function rateTable(
  title: string,
  names: readonly string[],
  metrics: readonly Figure[],
  rates: ReadonlyMap<string, readonly number[]>,
): string {
  const ours = names.filter((name) => name.startsWith('ctx'));
  const lines = [
    `\n${title}: best (median, min); ratios of the best rounds, which other work on the machine disturbs least`,
    '',
    `| figure | ${names.join(' | ')} | ${ours.flatMap((name) => [`${name} / ll never`, `/ best uncached C`, `/ best C`]).join(' | ')} |`,
    `|${' --- |'.repeat(1 + names.length + 3 * ours.length)}`,
  ];
  for (const metric of metrics) {
    const at = (name: string): readonly number[] => rates.get(`${metric.name}\0${name}`) ?? [];
    if (at('native').length === 0) continue;
    const top = (name: string): number => Math.max(...at(name));
    const cells = names.map(
      (name) =>
        `${figure(top(name), metric.unit)} (${figure(median(at(name)), metric.unit)}, ${figure(Math.min(...at(name)), metric.unit)})`,
    );
    const examples = names.filter((name) => name.startsWith('passthrough'));
    const best = (some: readonly string[]): number => Math.max(...some.map(top));
    // passthrough_hp caches for a day and writes back; "uncached" leaves out what the kernel answers alone.
    const uncached = examples.filter((name) => !name.endsWith(' auto') && name !== 'passthrough_hp');
    const ratios = ours.flatMap((name) => [top('passthrough_ll never'), best(uncached), best(examples)].map((peer) => top(name) / peer));
    lines.push(
      `| ${metric.name}, ${metric.unit === 'bytes/s' ? 'MiB/s' : metric.unit} | ${[...cells, ...ratios.map((ratio) => ratio.toFixed(2))].join(' | ')} |`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** CPU time of the daemon for each operation (a MiB for reads, a pass for readdir), all its threads. */
export function cost(spent: Spent | undefined): number | null {
  return spent === undefined || spent.ops === 0 ? null : (spent.ticks * MICROSECONDS_PER_TICK) / spent.ops;
}

export function costTable(names: readonly string[], metrics: readonly Figure[], spent: ReadonlyMap<string, Spent>): string {
  const lines = [
    '\nCPU microseconds that the daemon spends on each operation',
    '',
    `| figure | ${names.join(' | ')} |`,
    `|${' --- |'.repeat(1 + names.length)}`,
  ];
  for (const metric of metrics) {
    const costs = names.map((name) => cost(spent.get(`${metric.name}\0${name}`)));
    if (costs.every((value) => value === null)) continue;
    lines.push(`| ${metric.name} | ${costs.map((value) => (value === null ? '' : value.toFixed(value < 1 ? 3 : 1))).join(' | ')} |`);
  }
  return `${lines.join('\n')}\n`;
}

function figure(value: number, unit: string): string {
  const scaled = unit === 'bytes/s' ? value / 1024 ** 2 : value;
  return scaled >= 100 ? Math.round(scaled).toLocaleString('en') : scaled.toFixed(1);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}
