// ctx explain: why a derived file was rebuilt, from which inputs, and what it cost.
import type { Command } from 'commander';

import { ask } from './control-client.ts';
import { usageError } from './errors.ts';
import { requireSession } from './mounted.ts';
import { examples, type Shell } from './shell.ts';

export function registerExplain(program: Command, shell: Shell): void {
  program
    .command('explain')
    .description('say why a derived file was rebuilt, from what, and at what cost')
    .argument('<session>', 'AGENT/SESSION, or the path of a derived file on the mount')
    .argument('[file]', 'path below context/, such as pack.json, or latest.md')
    .option('--json', 'print the record')
    .addHelpText(
      'after',
      examples(['ctx explain coder/default pack.json', 'the newest rebuild'], ['ctx explain ./context/summary.md', 'inside a session']),
    )
    .action(async (reference: string, file: string | undefined, options: { json?: boolean }) => {
      const { path, rest, mounted } = await requireSession(shell, reference);
      const named = (file ?? rest).replace(/^(\.\/)?(context\/)?/, '');
      if (named === '') throw usageError('which file?', 'name a derived file, such as pack.json');
      const record = await ask(mounted.root, { verb: 'explain', session: path, file: named });
      if (options.json === true) shell.terminal.json(record);
      else for (const line of explanation(record)) shell.terminal.line(line);
    });
}

/** The record with each reason as a sentence, and each recent rebuild on a line. Pure. */
export function explanation(record: unknown): readonly string[] {
  const { recent, why, inputs, ...rest } = (typeof record === 'object' && record !== null ? record : {}) as Record<string, unknown>;
  const { file, ...more } = rest;
  const lines = [...outline({ file, why: sentence(why) }), ...outline(more)];
  if (Array.isArray(inputs))
    lines.push(
      'inputs:',
      ...inputs.map(({ name, version }: { name?: unknown; version?: unknown }) => `  ${String(name)}: ${String(version)}`),
    );
  if (!Array.isArray(recent) || recent.length === 0) return lines;
  const rebuilds = (recent as readonly Record<string, unknown>[]).map(
    (entry) => `  ${String(entry['rule'])}: ${sentence(entry['why'])} (${String(entry['outcome'])}, ${String(entry['elapsed_ms'])} ms)`,
  );
  return [...lines, 'recent rebuilds:', ...rebuilds];
}

function sentence(why: unknown): string {
  return Array.isArray(why) ? why.join('; ') : String(why);
}

/** A record as indented `key: value` lines; lists of plain values on one line. Pure. */
export function outline(value: unknown, indent = ''): readonly string[] {
  if (typeof value !== 'object' || value === null) return [`${indent}${String(value)}`];
  const entries = Array.isArray(value) ? value.map((item) => ['-', item] as const) : Object.entries(value);
  const lines: string[] = [];
  for (const [key, item] of entries) {
    const head = Array.isArray(value) ? '-' : `${key}:`;
    if (typeof item !== 'object' || item === null) lines.push(`${indent}${head} ${String(item)}`);
    else if (isPlainList(item)) lines.push(`${indent}${head} ${item.length === 0 ? '(none)' : item.join(', ')}`);
    else if (Array.isArray(value)) lines.push(`${indent}- ${oneLine(item)}`);
    else lines.push(`${indent}${head}`, ...outline(item, `${indent}  `));
  }
  return lines;
}

function isPlainList(value: unknown): value is readonly (string | number | boolean | null)[] {
  return Array.isArray(value) && value.every((item) => typeof item !== 'object' || item === null);
}

function oneLine(value: object): string {
  return Object.entries(value)
    .map(([key, item]) => `${key}=${typeof item === 'object' && item !== null ? JSON.stringify(item) : String(item)}`)
    .join(' ');
}
