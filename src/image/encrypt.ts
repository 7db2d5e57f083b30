// age (age-encryption.org/v1) around whole streams: recipients or a passphrase; what `age` writes is read, and it reads ours.
import { ReadableStream } from 'node:stream/web';
import { CtxError } from '../abi/errors.ts';

const MAGIC = Buffer.from('age-encryption.org/v1\n');

/** Loaded when it is used: it takes a tenth of a second. */
export const age = async (): Promise<typeof import('age-encryption')> => import('age-encryption');

export function isAge(head: Uint8Array): boolean {
  return Buffer.from(head.subarray(0, MAGIC.length)).equals(MAGIC);
}

export interface Locks {
  /** `age1…` */
  readonly recipients?: readonly string[];
  /** Instead of recipients. */
  readonly passphrase?: string;
  /** log2 of scrypt's N; that of age (18) unless told. */
  readonly workFactor?: number;
}

export interface Unlocks {
  /** `AGE-SECRET-KEY-1…` */
  readonly identities?: readonly string[];
  readonly passphrase?: string;
}

export async function* encrypted(
  pieces: AsyncIterable<Uint8Array>,
  { recipients = [], passphrase, workFactor }: Locks,
): AsyncGenerator<Uint8Array> {
  const { Encrypter } = await age();
  const encrypter = new Encrypter();
  if (passphrase !== undefined) encrypter.setPassphrase(passphrase);
  if (workFactor !== undefined) encrypter.setScryptWorkFactor(workFactor);
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient);
    } catch (cause) {
      throw new CtxError('image.recipient', 'EINVAL', 'is no age recipient', {
        where: recipient,
        next: 'write age1…, as age-keygen -y prints it',
        cause,
      });
    }
  }
  yield* (await encrypter.encrypt(ReadableStream.from(pieces) as never)) as unknown as AsyncIterable<Uint8Array>;
}

export async function* decrypted(pieces: AsyncIterable<Uint8Array>, unlocks: Unlocks, where: string): AsyncGenerator<Uint8Array> {
  const { Decrypter } = await age();
  const decrypter = new Decrypter();
  for (const identity of unlocks.identities ?? []) {
    try {
      decrypter.addIdentity(identity);
    } catch (cause) {
      throw new CtxError('image.identity', 'EINVAL', 'holds a line that is no age identity', {
        where,
        next: 'give the file that age-keygen wrote',
        cause,
      });
    }
  }
  if (unlocks.passphrase !== undefined) decrypter.addPassphrase(unlocks.passphrase);
  try {
    yield* (await decrypter.decrypt(ReadableStream.from(pieces) as never)) as unknown as AsyncIterable<Uint8Array>;
  } catch (cause) {
    if (cause instanceof CtxError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CtxError('image.decrypt', 'EACCES', `cannot be decrypted: ${why}`, {
      where,
      next: 'give the identity or passphrase that it was encrypted to, and the whole file',
      cause,
    });
  }
}

/** The lines of an age identity file that are not comments. */
export function identitiesOf(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}
