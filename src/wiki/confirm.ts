// Copies that a person has confirmed: on which day, and against which schema. A schema that changes has to reach each of them anew.
import { digestOf } from '../abi/digest.ts';
import { CtxError } from '../abi/errors.ts';
import { loadYaml } from '../abi/packages.ts';
import { CONFIG_PATH, type DeclaredCopy } from './config.ts';
import { namesIn, namesOf } from './log.ts';
import type { WikiDirectory } from './wiki-directory.ts';

/** Stands for what the schema says now, however its lines are wrapped. */
export function schemaMark(wiki: WikiDirectory): string {
  const words = wiki.index.special('schema').map(({ path }) => (wiki.text(path) ?? '').split(/\s+/).join(' ').trim());
  return digestOf(words.join('\n')).slice('sha256-'.length, 'sha256-'.length + 8);
}

/** WIK-68: why a confirmed copy is asked about again; undefined: the schema is the one that it was confirmed against. */
export function schemaSince(wiki: WikiDirectory, { kind, confirmed, schema }: DeclaredCopy): string | undefined {
  if (kind === 'forwarded' || confirmed === undefined) return undefined;
  if (schema !== undefined) return schema === schemaMark(wiki) ? undefined : 'the schema is another one now';
  // Nobody noted which one it was: the log says when it changed.
  const names = wiki.index.special('schema').flatMap(({ path }) => namesOf(path));
  const later = wiki.log().filter(({ day }) => day > confirmed);
  const entry = later.find(({ text }) => {
    const named = namesIn(text.toLowerCase());
    return names.some((name) => named.has(name));
  });
  return entry === undefined ? undefined : `the schema changed on ${entry.day}`;
}

/** The configuration with these copies (by name or path) confirmed; its comments stay. Fails with `wiki.copy` for a name that is none. */
export function withConfirmed(yaml: string, names: readonly string[], day: string, mark: string): string {
  const document = loadYaml().parseDocument(yaml);
  const { copies } = (document.toJS() ?? {}) as { copies?: readonly { path?: unknown; name?: unknown }[] };
  for (const name of names) {
    const places = (copies ?? []).flatMap((copy, index) => (copy.name === name || copy.path === name ? [index] : []));
    if (places.length === 0)
      throw new CtxError('wiki.copy', 'ENOENT', `declares no copy ${name}`, { where: CONFIG_PATH, next: 'name it under copies: first' });
    for (const index of places) {
      document.setIn(['copies', index, 'confirmed'], day);
      document.setIn(['copies', index, 'schema'], mark);
    }
  }
  return document.toString({ lineWidth: 0 });
}
