// How a request of the serving thread is answered: the result as a message, and the prepared reply straight to the kernel.
import type { ReplyTicket } from '../src/tree/types.ts';
import { plainError } from './deriver-messages.ts';
import type { FromDeriver } from './deriver-messages.ts';
import { isUnchanged, sendRefusal, sendReply } from './kernel/late-reply.ts';

export interface Replies {
  readonly send: (message: FromDeriver) => void;
  /** /dev/fuse, when replies with a ticket go straight to the kernel. */
  readonly fd: number | undefined;
}

/**
 * The message goes first: the serving thread drains it before any request that the reply can cause.
 * `refusable`: the kernel's request fails too; else its reply carries the failure in its text.
 */
export function settle(
  { send, fd }: Replies,
  id: number,
  ticket: ReplyTicket | undefined,
  error: unknown,
  value: unknown,
  refusable: boolean,
): void {
  if (error === undefined) send({ op: 'result', id, value, unchanged: ticket !== undefined && isUnchanged(ticket, value) });
  else send({ op: 'failed', id, error: plainError(error) });
  if (ticket === undefined || fd === undefined) return;
  if (error !== undefined && refusable) sendRefusal(fd, ticket, error);
  else sendReply(fd, ticket, value);
}
