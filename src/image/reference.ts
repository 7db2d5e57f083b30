// IMG-1: NAME[:TAG][@sha256:…]; a name is one to eight parts of lower-case letters, digits and . _ - (as registries have it).
import { CtxError } from '../abi/errors.ts';
import { isOciDigest, type OciDigest } from './oci.ts';

export interface ImageReference {
  /** `quilt/customer-review` */
  readonly name: string;
  readonly tag: string | undefined;
  readonly digest: OciDigest | undefined;
}

export const DEFAULT_TAG = 'latest';

const PART = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const NAME = new RegExp(`^${PART}(?:/${PART}){0,7}$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** Undefined when the text is no reference. `image:` in front is allowed. */
export function tryImageReference(text: string): ImageReference | undefined {
  const bare = text.startsWith('image:') ? text.slice('image:'.length) : text;
  const [front, digest, ...more] = bare.split('@');
  if (front === undefined || more.length > 0 || (digest !== undefined && !isOciDigest(digest))) return undefined;
  const colon = front.indexOf(':');
  const name = colon < 0 ? front : front.slice(0, colon);
  const tag = colon < 0 ? undefined : front.slice(colon + 1);
  if (!NAME.test(name) || name.length > 255 || (tag !== undefined && !TAG.test(tag))) return undefined;
  return { name, tag, digest };
}

/** Throws `image.reference` when the text is no reference; `place` is the file that says so. */
export function parseImageReference(text: string, place?: string): ImageReference {
  const reference = tryImageReference(text);
  if (reference !== undefined) return reference;
  throw new CtxError('image.reference', 'EINVAL', 'names no image', {
    where: `${place === undefined ? '' : `${place} `}${JSON.stringify(text)}`,
    next: 'write NAME[:TAG][@sha256:…] in lower case, such as quilt/customer-review:2026.05',
  });
}

/** `quilt/customer-review:2026.05`, the key of a tag. */
export function tagKey(reference: ImageReference): string {
  return `${reference.name}:${reference.tag ?? DEFAULT_TAG}`;
}
