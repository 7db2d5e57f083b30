// What is to be filed: a file, a session, or some of a session's messages, as bytes and as text that can be read.
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';

import { CtxError } from '../../abi/errors.ts';
import { parseSource } from '../../abi/ranges.ts';
import { viewMessage } from '../../abi/records.ts';
import { parsePolicy } from '../../context/policy.ts';
import { requireSession } from '../mounted.ts';
import type { Shell } from '../shell.ts';

export interface Material {
  readonly origin: string;
  readonly bytes: Buffer;
  /** For search and for a model; undefined: it is no text. */
  readonly text: string | undefined;
  readonly name: string;
  /** With its dot. */
  readonly extension: string;
  /** False: it comes from a session whose policy lets no server read it. */
  readonly remoteAllowed: boolean;
}

const MAX_SOURCE_BYTES = 64 * 1024 * 1024;
const NEWLINE = 10;

/** A file, AGENT/SESSION, a session's directory, or either with `:12-40`, `:messages:12-40` or `:tail:40` behind it. */
export async function readMaterial(shell: Shell, what: string): Promise<Material> {
  const stat = statSync(what, { throwIfNoEntry: false });
  if (stat?.isFile() === true) {
    if (stat.size > MAX_SOURCE_BYTES) throw tooLarge(what);
    const bytes = readFileSync(what);
    const text = bytes.includes(0) ? undefined : bytes.toString('utf8');
    return { origin: resolve(what), bytes, text, name: what, extension: extname(what).slice(0, 9), remoteAllowed: true };
  }
  const range = /:((?:messages:)?(?:tail:)?[0-9]+(?:-[0-9]+)?)$/.exec(what);
  const reference = range === null ? what : what.slice(0, range.index);
  if (stat === undefined && !reference.includes('/') && reference !== '.')
    throw new CtxError('wiki.source', 'ENOENT', 'is no file and no session', { where: what, next: 'name a file, or AGENT/SESSION' });
  const { directory, path } = await requireSession(shell, reference);
  const [first, last] = await linesOf(directory, range?.[1], what);
  const bytes = await readLines(join(directory, 'messages.jsonl'), first, last, what);
  const policy = parsePolicy(await readFile(join(directory, 'context/policy.yaml'), 'utf8'));
  const named = range === null ? '' : `:${first}-${last}`;
  return {
    origin: `session:${path}/messages.jsonl${named}`,
    bytes,
    text: readable(bytes, first),
    name:
      path
        .split('/')
        .filter((_, at) => at === 3 || at === 5)
        .join('-') + named.replace(':', '-'),
    extension: '.jsonl',
    remoteAllowed: policy.remote.allow,
  };
}

/** First and last line, both included. */
async function linesOf(directory: string, range: string | undefined, where: string): Promise<readonly [number, number]> {
  if (range === undefined) return [1, Infinity];
  const source = parseSource(range);
  if (source?.kind === 'messages') return [source.first, source.last];
  if (source?.kind !== 'tail')
    throw new CtxError('wiki.range', 'EINVAL', 'names no messages', { where, next: 'write AGENT/SESSION:12-40' });
  let lines = 0;
  for await (const piece of createReadStream(join(directory, 'messages.jsonl')))
    for (const byte of piece as Buffer) if (byte === NEWLINE) lines += 1;
  return [Math.max(1, lines - source.lines + 1), lines];
}

/** The bytes of those lines as they are; only they are held. */
async function readLines(path: string, first: number, last: number, where: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let line = 1;
  let sizeBytes = 0;
  for await (const read of createReadStream(path, { highWaterMark: 1 << 20 })) {
    const piece = read as Buffer;
    let at = 0;
    while (at < piece.length && line <= last) {
      const newline = piece.indexOf(NEWLINE, at);
      const end = newline < 0 ? piece.length : newline + 1;
      if (line >= first) {
        pieces.push(piece.subarray(at, end));
        sizeBytes += end - at;
        if (sizeBytes > MAX_SOURCE_BYTES) throw tooLarge(where);
      }
      if (newline >= 0) line += 1;
      at = end;
    }
    if (line > last) break;
  }
  if (sizeBytes === 0) throw new CtxError('wiki.range', 'ENOENT', 'has no such messages', { where, next: `it has ${line - 1} messages` });
  return Buffer.concat(pieces);
}

/** `[12] user: …`, a message a paragraph. */
function readable(bytes: Buffer, first: number): string {
  const said = bytes
    .toString('utf8')
    .split('\n')
    .map((raw, index) => {
      if (raw === '') return '';
      const view = viewMessage(JSON.parse(raw) as Record<string, unknown>);
      const text = [view.text, ...view.toolResults.map((result) => result.text)].filter((piece) => piece.trim() !== '').join('\n');
      return text === '' ? '' : `[${first + index}] ${view.role}: ${text}\n`;
    });
  return said.join('');
}

function tooLarge(where: string): CtxError {
  return new CtxError('wiki.large', 'EFBIG', `is longer than ${MAX_SOURCE_BYTES} bytes`, {
    where,
    next: 'name some of its messages: AGENT/SESSION:12-40',
  });
}
