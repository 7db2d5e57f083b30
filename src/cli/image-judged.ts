// IMG-95: an image that cannot be what it says here is not started: which field, what it wants, what is here, and what still works.
import { CtxError } from '../abi/errors.ts';
import { judgeImage, type FieldVerdict } from '../image/compatibility.ts';
import type { ImageConfig } from '../image/config.ts';
import { hereOf } from '../image/here.ts';

/** Judges the source alone: needs no model. What fits less than that runs, and is rendered or compiled anew. */
export function requireSource(config: ImageConfig, key: string, safety: string | undefined = process.env['CTX_SAFETY_POLICY']): void {
  const machine = { architecture: process.arch, safety };
  const { compatible, fields, remains } = judgeImage(config, hereOf(undefined, machine)).levels.source;
  if (compatible === true) return;
  const wrong = fields.filter(({ verdict }) => verdict === 'differs' || verdict === 'unknown');
  throw new CtxError('image.incompatible', 'EOPNOTSUPP', `is not started: ${wrong.map(words).join('; ')}; ${remains ?? ''}`, {
    where: key,
    next: wrong.some(({ field }) => field === 'safety_policy')
      ? 'whoever enforces that policy here says so with CTX_SAFETY_POLICY; see: ctx inspect'
      : 'see: ctx inspect',
  });
}

function words({ field, wanted, here }: FieldVerdict): string {
  return `${field} wants ${wanted}, here is ${here ?? 'none that is known'}`;
}
