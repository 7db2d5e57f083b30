// Exit codes of ctx (docs/cli.md). Scripts rely on them: a number never changes its meaning.
import { CtxError } from '../abi/errors.ts';
import { asCtxError } from './errors.ts';

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** No live mount where one is needed. */
  notMounted: 3,
  /** The session, file or line that was named does not exist. */
  notFound: 4,
  /** The command worked and found problems (fsck, doctor). */
  findings: 5,
  interrupted: 130,
} as const;

/** What was written can name nothing, whatever there is. */
const USAGE: ReadonlySet<string> = new Set(['cli.usage', 'cli.reference', 'image.reference', 'image.remote']);

export function exitCodeOf(thrown: unknown): number {
  const error = asCtxError(thrown);
  if (!(error instanceof CtxError)) return EXIT.failed;
  if (USAGE.has(error.code)) return EXIT.usage;
  if (error.code === 'cli.not_mounted') return EXIT.notMounted;
  return error.errno === 'ENOENT' ? EXIT.notFound : EXIT.failed;
}
