// Credentials where Docker keeps them: config.json below DOCKER_CONFIG or ~/.docker. Other fields of the file are left as they are.
import * as fs from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseBounded, record } from '../oci.ts';
import { runCredentialProcess } from './credential-process.ts';
import { registryError } from './failures.ts';

export type Credentials =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  /** A refresh token, exchanged for an access token at the realm. */
  | { readonly kind: 'identity'; readonly token: string };

const MAX_BYTES = 4 * 1024 * 1024;
/** The key that Docker uses for its own registry. */
const HUB_KEY = 'https://index.docker.io/v1/';

type Fields = Readonly<Record<string, unknown>>;

export function dockerConfigPath(environment: NodeJS.ProcessEnv): string {
  const directory = environment['DOCKER_CONFIG'] ?? '';
  if (directory !== '') return join(directory, 'config.json');
  const home = environment['HOME'] ?? '';
  return join(home === '' ? homedir() : home, '.docker/config.json');
}

/** Undefined when nothing is kept for this registry. Asks the registry's own program, else the general one, else the file. */
export async function findCredentials(host: string, environment: NodeJS.ProcessEnv): Promise<Credentials | undefined> {
  const path = dockerConfigPath(environment);
  const config = await readConfig(path);
  const program = programFor(config, host);
  const kept = program === undefined ? undefined : await fromProgram(program, keyOf(host), environment);
  return kept ?? fromFile(config, host, path);
}

/** Returns where they are kept now: a program's name, or the file. */
export async function storeCredentials(host: string, credentials: Credentials, environment: NodeJS.ProcessEnv): Promise<string> {
  const path = dockerConfigPath(environment);
  const program = programFor(await readConfig(path), host);
  const token = credentials.kind === 'identity';
  const user = token ? '<token>' : credentials.user;
  const secret = token ? credentials.token : credentials.password;
  const key = keyOf(host);
  if (program !== undefined)
    await runCredentialProcess(program, 'store', JSON.stringify({ ServerURL: key, Username: user, Secret: secret }), environment);
  const auth = Buffer.from(token ? '' : `${user}:${secret}`).toString('base64');
  const entry = program !== undefined ? {} : token ? { identitytoken: secret } : { auth };
  await changeAuths(path, (auths) => ({ ...without(auths, host), [key]: entry }));
  return program === undefined ? path : `docker-credential-${program}`;
}

/** False when nothing was kept. */
export async function eraseCredentials(host: string, environment: NodeJS.ProcessEnv): Promise<boolean> {
  const path = dockerConfigPath(environment);
  const config = await readConfig(path);
  const program = programFor(config, host);
  const kept = program === undefined ? undefined : await fromProgram(program, keyOf(host), environment);
  if (program !== undefined && kept !== undefined) await runCredentialProcess(program, 'erase', keyOf(host), environment);
  const auths = fieldsOf(config['auths']);
  const rest = without(auths, host);
  const inFile = Object.keys(rest).length < Object.keys(auths).length;
  if (inFile) await changeAuths(path, () => rest);
  return kept !== undefined || inFile;
}

async function readConfig(path: string): Promise<Fields> {
  const bytes = await fs.readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  return bytes === undefined || bytes.length === 0 ? {} : record(parseBounded(bytes, path, MAX_BYTES), path);
}

function programFor(config: Fields, host: string): string | undefined {
  const own = fieldsOf(config['credHelpers']);
  const named = [host, keyOf(host)].map((key) => (Object.hasOwn(own, key) ? own[key] : undefined)).find((name) => name !== undefined);
  const program = named ?? config['credsStore'];
  return typeof program === 'string' && program !== '' ? program : undefined;
}

async function fromProgram(program: string, key: string, environment: NodeJS.ProcessEnv): Promise<Credentials | undefined> {
  const said = await runCredentialProcess(program, 'get', key, environment);
  if (said === undefined) return undefined;
  const where = `docker-credential-${program}`;
  const { Username: user, Secret: secret } = record(parseBounded(Buffer.from(said), where), where);
  if (typeof user !== 'string' || typeof secret !== 'string') return undefined;
  return user === '<token>' ? { kind: 'identity', token: secret } : { kind: 'password', user, password: secret };
}

function fromFile(config: Fields, host: string, path: string): Credentials | undefined {
  const auths = fieldsOf(config['auths']);
  const found = Object.entries(auths).find(([key]) => hostOfKey(key) === hostOfKey(keyOf(host)))?.[1];
  const { auth, identitytoken, username, password } = fieldsOf(found);
  if (typeof identitytoken === 'string' && identitytoken !== '') return { kind: 'identity', token: identitytoken };
  if (typeof username === 'string' && typeof password === 'string') return { kind: 'password', user: username, password };
  if (typeof auth !== 'string' || auth === '') return undefined;
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) throw registryError('credentials', 'EINVAL', `has an auth for ${host} that is not USER:PASSWORD in base64`, path);
  return { kind: 'password', user: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') };
}

function keyOf(host: string): string {
  return host === 'docker.io' ? HUB_KEY : host;
}

/** Older files have whole addresses as keys. */
function hostOfKey(key: string): string {
  return key
    .replace(/^https?:\/\//, '')
    .replace(/\/.*$/, '')
    .toLowerCase();
}

function without(auths: Fields, host: string): Fields {
  return Object.fromEntries(Object.entries(auths).filter(([key]) => hostOfKey(key) !== hostOfKey(keyOf(host))));
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** Whole or not at all, readable by its owner alone; a link (to a folder of dotfiles) stays one. */
async function changeAuths(path: string, edit: (auths: Fields) => Fields): Promise<void> {
  await fs.mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const real = await fs.realpath(path).catch(() => path);
  const config = await readConfig(real);
  const temporary = `${real}.${process.pid}.part`;
  const file = await fs.open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ ...config, auths: edit(fieldsOf(config['auths'])) }, null, '\t')}\n`);
    await file.sync();
    await file.close();
    await fs.rename(temporary, real);
  } catch (error) {
    await file.close().catch(() => undefined);
    await fs.rm(temporary, { force: true });
    throw error;
  }
}
