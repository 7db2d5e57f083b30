// A wiki in a directory of its own, made of texts.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterAll } from 'vitest';

import { WikiDirectory } from '../../src/wiki/wiki-directory.ts';
import type { Finding } from '../../src/wiki/finding.ts';

const made: string[] = [];
afterAll(() => {
  for (const directory of made) rmSync(directory, { recursive: true, force: true });
});

export function scratch(files: Readonly<Record<string, string | Uint8Array>>): string {
  const root = mkdtempSync(join(tmpdir(), 'wiki-'));
  made.push(root);
  for (const [path, text] of Object.entries(files)) write(root, path, text);
  return root;
}

export function write(root: string, path: string, text: string | Uint8Array): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

export const TODAY = '2026-04-20';

/** Findings of a fresh look, of some rules or all. */
export function linted(root: string, ...rules: readonly string[]): readonly Finding[] {
  const findings = WikiDirectory.open(root).lint({ today: TODAY, outside: true });
  return rules.length === 0 ? findings : findings.filter(({ rule }) => rules.includes(rule));
}

export function page(front: string, body: string = '# A page\n'): string {
  return `---\n${front}\n---\n\n${body}`;
}

/** Enough words to be compared. */
export const LONG: string = Array.from({ length: 120 }, (_, i) => `word${(i * 7919) % 1009}`).join(' ');
