// Ed25519 keys below the XDG config directory: NAME.pub is a key whose signatures count, NAME.key (0600) one to sign with (IMG-80).
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { age } from './encrypt.ts';
import { ociDigest, type OciDigest } from './oci.ts';

export interface KnownKey {
  readonly name: string;
  /** sha256 of its SubjectPublicKeyInfo. */
  readonly id: OciDigest;
  readonly publicKey: KeyObject;
  readonly private: 'none' | 'plain' | 'passphrase';
}

export interface NewKeyOptions {
  readonly passphrase?: string;
  /** log2 of scrypt's N; that of age (18) unless told. */
  readonly workFactor?: number;
}

const MAX_KEYS = 1000;
const MAX_KEY_BYTES = 16 * 1024;

/** `$XDG_CONFIG_HOME/ctxfs`, or `~/.config/ctxfs`. */
export function configDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const given = env['XDG_CONFIG_HOME'];
  const home = env['HOME'];
  return join(given?.startsWith('/') === true ? given : join(home?.startsWith('/') === true ? home : homedir(), '.config'), 'ctxfs');
}

export class KeyRing {
  readonly directory: string;

  constructor(config: string = configDirectory()) {
    this.directory = join(config, 'keys');
  }

  async list(): Promise<readonly KnownKey[]> {
    const files = new Set(
      await fs.readdir(this.directory).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return [];
        throw error;
      }),
    );
    const names = [...files].filter((file) => file.endsWith('.pub')).sort((a, b) => (a < b ? -1 : 1));
    if (names.length > MAX_KEYS) throw new CtxError('key.too_many', 'EFBIG', `has more than ${MAX_KEYS} keys`, { where: this.directory });
    return Promise.all(
      names.map(async (file) => {
        const name = file.slice(0, -'.pub'.length);
        const publicKey = readPublicKey(await this.#read(file), join(this.directory, file));
        const own = files.has(`${name}.key.age`) ? 'passphrase' : files.has(`${name}.key`) ? 'plain' : 'none';
        return { name, id: keyId(publicKey), publicKey, private: own };
      }),
    );
  }

  /** By name, or by id. */
  async find(wanted: string): Promise<KnownKey> {
    const found = (await this.list()).find(({ name, id }) => name === wanted || id === wanted);
    if (found !== undefined) return found;
    throw new CtxError('key.unknown', 'ENOENT', 'is not a key here', {
      where: wanted,
      next: 'see: ctx key ls; make one with ctx key new, or take one in with ctx key trust',
    });
  }

  async create(name: string, options: NewKeyOptions = {}): Promise<KnownKey> {
    await this.#requireFree(name);
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    // The public half comes last: until it is there, there is no such key.
    if (options.passphrase === undefined) await this.#write(`${name}.key`, pem);
    else {
      const { armor, Encrypter } = await age();
      const encrypter = new Encrypter();
      encrypter.setPassphrase(options.passphrase);
      if (options.workFactor !== undefined) encrypter.setScryptWorkFactor(options.workFactor);
      await this.#write(`${name}.key.age`, armor.encode(await encrypter.encrypt(pem)));
    }
    await this.#write(`${name}.pub`, publicKey.export({ type: 'spki', format: 'pem' }) as string);
    return this.find(name);
  }

  /** Signatures of this key count from now on. */
  async trust(name: string, pem: string, where: string): Promise<KnownKey> {
    const publicKey = readPublicKey(pem, where);
    await this.#requireFree(name);
    await this.#write(`${name}.pub`, publicKey.export({ type: 'spki', format: 'pem' }) as string);
    return this.find(name);
  }

  async remove(name: string): Promise<KnownKey> {
    const key = await this.find(name);
    for (const ending of ['.pub', '.key', '.key.age']) await fs.rm(join(this.directory, key.name + ending), { force: true });
    return key;
  }

  async privateKey(key: KnownKey, passphrase: () => Promise<string>): Promise<KeyObject> {
    if (key.private === 'none')
      throw new CtxError('key.public_only', 'EPERM', 'is only trusted: its private half is not here', {
        where: key.name,
        next: 'see: ctx key ls',
      });
    const path = join(this.directory, key.private === 'plain' ? `${key.name}.key` : `${key.name}.key.age`);
    const { mode } = await fs.stat(path);
    if ((mode & 0o077) !== 0)
      throw new CtxError('key.too_open', 'EPERM', 'may be read by others', {
        where: path,
        next: `run: chmod 600 ${path}; better: make a new key`,
      });
    const text = await this.#read(path.slice(this.directory.length + 1));
    const pem = key.private === 'plain' ? text : await unlock(text, await passphrase(), path);
    const privateKey = createPrivateKey(pem);
    if (keyId(createPublicKey(privateKey)) !== key.id)
      throw new CtxError('key.mismatch', 'EINVAL', `is not the private half of ${key.name}.pub`, {
        where: path,
        next: 'restore both from a backup, or make a new key',
      });
    return privateKey;
  }

  async #requireFree(name: string): Promise<void> {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name))
      throw new CtxError('key.name', 'EINVAL', 'is no name of a key', {
        where: JSON.stringify(name.slice(0, 80)),
        next: 'use letters, digits, . _ and -',
      });
    await fs.mkdir(this.directory, { recursive: true, mode: 0o700 });
    if ((await this.list()).some((key) => key.name === name))
      throw new CtxError('key.exists', 'EEXIST', 'is a key already', {
        where: name,
        next: `take another name, or first: ctx key rm ${name}`,
      });
  }

  async #read(file: string): Promise<string> {
    const bytes = await fs.readFile(join(this.directory, file));
    if (bytes.length <= MAX_KEY_BYTES) return bytes.toString();
    throw new CtxError('key.invalid', 'EFBIG', `is ${bytes.length} bytes, which no key is`, {
      where: join(this.directory, file),
      next: 'remove it',
    });
  }

  /** Whole or not at all; 0600 from the first byte on. */
  async #write(file: string, text: string): Promise<void> {
    const path = join(this.directory, file);
    const temporary = `${path}.${process.pid}.part`;
    await fs.rm(temporary, { force: true });
    await fs.writeFile(temporary, text, { mode: 0o600, flag: 'wx', flush: true });
    await fs.rename(temporary, path);
  }
}

export function keyId(key: KeyObject): OciDigest {
  return ociDigest(key.export({ type: 'spki', format: 'der' }) as Buffer);
}

function readPublicKey(pem: string, where: string): KeyObject {
  try {
    if (/PRIVATE KEY/.test(pem)) throw new Error('it is a private key');
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
    throw new Error(`it is ${key.asymmetricKeyType}`);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CtxError('key.invalid', 'EINVAL', `is no Ed25519 public key in PEM: ${why}`, {
      where,
      next: 'get it with: ctx key export NAME',
      cause,
    });
  }
}

async function unlock(armored: string, passphrase: string, where: string): Promise<string> {
  const { armor, Decrypter } = await age();
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  try {
    return await decrypter.decrypt(armor.decode(armored), 'text');
  } catch (cause) {
    throw new CtxError('key.passphrase', 'EACCES', 'is not opened by this passphrase', {
      where,
      next: 'try again with the right one',
      cause,
    });
  }
}
