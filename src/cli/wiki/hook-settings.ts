// The settings of an agent, which others write too: read whole, replaced whole, and left as they are when anything about them is odd.
import { mkdirSync, readFileSync, realpathSync, rmdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { digestOf } from '../../abi/digest.ts';
import { CtxError } from '../../abi/errors.ts';
import type { HookSettings } from '../../wiki/agent-hooks.ts';
import { replaceFile } from '../../wiki/write.ts';

const SKILL = 'skills/ctx-wiki/SKILL.md';

/** Returns the path, or nothing where it says what it said. */
export function changeSettings(directory: string, change: (settings: HookSettings) => HookSettings): readonly string[] {
  const path = join(directory, 'settings.json');
  const before = textOf(path);
  const settings = before === undefined ? {} : parsed(path, before);
  const after = change(settings);
  if (JSON.stringify(after) === JSON.stringify(settings)) return [];
  replace(path, `${JSON.stringify(after, null, 2)}\n`, before);
  return [path];
}

export function writeSkill(directory: string, text: string): readonly string[] {
  const path = join(directory, SKILL);
  replace(path, text, textOf(path));
  return [path];
}

/** Only where it is the one that we wrote, `begin` and all. */
export function removeSkill(directory: string, begin: string): readonly string[] {
  const path = join(directory, SKILL);
  if (textOf(path)?.startsWith(begin) !== true) return [];
  rmSync(path);
  try {
    rmdirSync(dirname(path));
  } catch {
    // Others keep something there.
  }
  return [path];
}

function replace(path: string, text: string, before: string | undefined): void {
  mkdirSync(dirname(path), { recursive: true });
  // People keep their settings elsewhere, and a link here.
  const place = before === undefined ? path : realpathSync(path);
  if (!replaceFile(dirname(place), basename(place), text, before === undefined ? undefined : digestOf(before)))
    throw new CtxError('wiki.settings', 'EAGAIN', 'changed meanwhile, and was left as it is', { where: path, next: 'run this again' });
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function parsed(path: string, text: string): HookSettings {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as HookSettings;
  } catch {
    // Said below.
  }
  throw new CtxError('wiki.settings', 'EINVAL', 'is not a JSON object, and was left as it is', {
    where: path,
    next: 'mend it, and run this again',
  });
}
