// One request to the daemon through `<mount>/.control`: write a JSON line, read the JSON reply to the end.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

import { CONTROL_FILE, type ControlReply, type ControlRequest } from '../abi/control.ts';
import { CtxError, type ErrnoName } from '../abi/errors.ts';

/** The reply's result; a reply that is an error is thrown as the CtxError it describes. */
export async function ask(mountRoot: string, request: ControlRequest): Promise<unknown> {
  const path = join(mountRoot, CONTROL_FILE);
  const file = await open(path, constants.O_RDWR);
  try {
    await file.write(`${JSON.stringify(request)}\n`, null);
    const reply = parseReply(await readToEnd(file), path);
    if (reply.ok) return reply.result;
    const { code, errno, message, where, next } = reply.error;
    throw new CtxError(code, errno as ErrnoName, message, {
      ...(where === undefined ? {} : { where }),
      ...(next === undefined ? {} : { next }),
    });
  } finally {
    await file.close();
  }
}

// The file has no size and no positions (it answers what was asked), so it is read until a read gives nothing.
async function readToEnd(file: Awaited<ReturnType<typeof open>>): Promise<string> {
  const pieces: Buffer[] = [];
  for (;;) {
    const piece = Buffer.allocUnsafe(256 * 1024);
    const { bytesRead } = await file.read(piece, 0, piece.length, null);
    if (bytesRead === 0) return Buffer.concat(pieces).toString('utf8');
    pieces.push(piece.subarray(0, bytesRead));
  }
}

function parseReply(text: string, where: string): ControlReply {
  try {
    const value = JSON.parse(text) as ControlReply;
    if (typeof value === 'object' && value !== null && typeof value.ok === 'boolean') return value;
  } catch {
    // Falls through: an empty or cut reply means that the daemon went away.
  }
  throw new CtxError('cli.control_reply', 'EIO', `gave no reply (${text.length} characters)`, { where, next: 'run: ctx doctor' });
}
