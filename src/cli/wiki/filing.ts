// Material into `sources/`, with where it came from, and a proposal of which pages to work it into: for a person and for an agent.
import { extname } from 'node:path';

import { digestOf } from '../../abi/digest.ts';
import { propose, sourceName, type FiledSource } from '../../wiki/ingest.ts';
import { memoryPages } from '../../wiki/memory-pages.ts';
import { readPage } from '../../wiki/page.ts';
import { proposalPath, type Proposal } from '../../wiki/proposal.ts';
import { PROVENANCE_NAME, type WikiDirectory } from '../../wiki/wiki-directory.ts';
import { appendToFile, replaceFile } from '../../wiki/write.ts';
import type { Shell } from '../shell.ts';
import type { Material } from './material.ts';
import { author, now, today } from './place.ts';

/** The bytes stay as they are; the same bytes are filed once. */
export function fileMaterial(
  shell: Shell,
  place: WikiDirectory,
  { origin, bytes, name, extension }: Pick<Material, 'origin' | 'bytes' | 'name' | 'extension'>,
): { readonly source: FiledSource; readonly repeated: boolean } {
  const digest = digestOf(bytes);
  const known = place.provenance().find((record) => record.digest === digest);
  const common = { digest, origin, time: now(shell), by: author(shell) };
  if (known !== undefined) return { source: { ...common, ...known, digest }, repeated: true };
  const { sources } = place.config;
  for (let copy = 1; ; copy += 1) {
    const path = `${sources}/${sourceName(today(shell), copy === 1 ? name : `${name.replace(/\.[A-Za-z0-9]{1,8}$/, '')}-${copy}`, extension)}`;
    if (!replaceFile(place.root, path, bytes, undefined)) continue;
    const source = { path, ...common };
    // After the bytes: a stop in between leaves a file that lint asks about, never a record of nothing.
    appendToFile(place.root, `${sources}/${PROVENANCE_NAME}`, `${JSON.stringify(source)}\n`);
    return { source, repeated: false };
  }
}

/** Without a model: which pages it is about, each with a task. Undefined: none is. */
export function proposeTasks(shell: Shell, place: WikiDirectory, material: Material, source: FiledSource): Proposal | undefined {
  const { text } = material;
  if (text === undefined) return undefined;
  return propose({
    source,
    text,
    title: titleOf(material, source),
    pages: memoryPages(place).pages,
    pageText: (path) => place.text(path),
    day: today(shell),
    by: author(shell),
    at: now(shell),
  });
}

export function titleOf({ bytes }: Material, { path }: FiledSource): string {
  return (extname(path) === '.md' ? readPage(bytes).title : undefined) ?? path.slice(path.lastIndexOf('/') + 1);
}

export function saveProposal(place: WikiDirectory, proposal: Proposal): void {
  replaceFile(place.root, proposalPath(proposal.id), `${JSON.stringify(proposal, null, 1)}\n`, undefined);
}
