// Authorization for one registry: Basic, or tokens of its realm. IMG-53: the password is looked up only when it is asked for, and
// a realm that the registry names, on whatever host, gets it over TLS only (the registry could ask for it itself: rationale 0081).
import { parseBounded, record } from '../oci.ts';
import { isLoopbackHost } from './addresses.ts';
import type { Challenge } from './challenge.ts';
import type { Credentials } from './docker-config.ts';
import { plainText, registryError } from './failures.ts';
import type { Registry } from './remote.ts';
import { placeOf, type Exchange, type Transport } from './transport.ts';

const MAX_TOKEN_BYTES = 1024 * 1024;
const CLIENT = 'ctxfs';

export class Authorizer {
  readonly #transport: Transport;
  readonly #registry: Registry;
  readonly #find: () => Promise<Credentials | undefined>;
  readonly #tokens = new Map<string, Promise<string>>();
  #challenge: Challenge | undefined;
  #publicOnly = false;
  #credentials: Promise<Credentials | undefined> | undefined;

  constructor(transport: Transport, registry: Registry, find: () => Promise<Credentials | undefined>) {
    this.#transport = transport;
    this.#registry = registry;
    this.#find = find;
  }

  /** The header for requests in these scopes; undefined while the registry has asked for nothing. */
  async header(scopes: readonly string[]): Promise<string | undefined> {
    if (this.#challenge === undefined) return undefined;
    if (this.#challenge.scheme === 'basic') return this.#basic();
    const key = scopes.join(' ');
    let token = this.#tokens.get(key);
    if (token === undefined) {
      token = this.#fetchToken(this.#challenge, scopes);
      this.#tokens.set(key, token);
      token.catch(() => this.#tokens.delete(key));
    }
    return `Bearer ${await token}`;
  }

  /** The registry refused a request with this header: what it asks for now; the token that it refused is not used again. */
  async challenged(challenge: Challenge, scopes: readonly string[], registryIsPublic: boolean, used: string | undefined): Promise<void> {
    this.#challenge = challenge;
    this.#publicOnly = registryIsPublic;
    const key = scopes.join(' ');
    const token = this.#tokens.get(key);
    const known = await token?.catch(() => undefined);
    if (used === `Bearer ${known}` && this.#tokens.get(key) === token) this.#tokens.delete(key);
  }

  async hasCredentials(): Promise<boolean> {
    return (await this.#known()) !== undefined;
  }

  #known(): Promise<Credentials | undefined> {
    this.#credentials ??= this.#find();
    return this.#credentials;
  }

  async #basic(): Promise<string | undefined> {
    const known = await this.#known();
    return known?.kind === 'password' ? basicHeader(known) : undefined;
  }

  async #fetchToken(challenge: Extract<Challenge, { scheme: 'bearer' }>, scopes: readonly string[]): Promise<string> {
    const realm = realmOf(challenge.realm, this.#registry);
    const known = await this.#known();
    const guard = { publicOnly: this.#publicOnly };
    const parameters: [string, string][] = [
      ...(challenge.service === undefined ? [] : [['service', challenge.service] as [string, string]]),
      ...(known?.kind === 'identity'
        ? [['scope', scopes.join(' ')] as [string, string]]
        : scopes.map((scope): [string, string] => ['scope', scope])),
    ];
    let answer: Exchange;
    if (known?.kind === 'identity') {
      const form = new URLSearchParams([
        ...parameters,
        ['grant_type', 'refresh_token'],
        ['client_id', CLIENT],
        ['refresh_token', known.token],
      ]);
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      answer = await this.#transport.exchange(realm, { method: 'POST', headers, body: Buffer.from(form.toString()), ...guard });
    } else {
      for (const [name, value] of parameters) realm.searchParams.append(name, value);
      const headers = known === undefined ? {} : { authorization: basicHeader(known) };
      answer = await this.#transport.exchange(realm, { method: 'GET', headers, ...guard });
    }
    return tokenOf(answer, this.#registry);
  }
}

function basicHeader({ user, password }: Extract<Credentials, { kind: 'password' }>): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

function realmOf(text: string, registry: Registry): URL {
  const where = registry.host;
  let realm: URL;
  try {
    realm = new URL(text);
  } catch (cause) {
    throw registryError('realm', 'EACCES', `names a realm for its tokens that is no address: ${plainText(text)}`, where, undefined, cause);
  }
  if (realm.username !== '' || realm.password !== '') throw registryError('realm', 'EACCES', 'names a realm with a password in it', where);
  const plain = realm.protocol === 'http:' && registry.base.protocol === 'http:';
  if (realm.protocol !== 'https:' && !(plain && (!isLoopbackHost(registry.base.hostname) || isLoopbackHost(realm.hostname))))
    throw registryError('realm', 'EACCES', `names the realm ${placeOf(realm)}, to which no password is sent without TLS`, where);
  return realm;
}

async function tokenOf(answer: Exchange, registry: Registry): Promise<string> {
  const where = placeOf(answer.url);
  if (answer.status !== 200) {
    answer.discard();
    const denied = answer.status === 401 || answer.status === 403;
    if (denied) throw registryError('denied', 'EACCES', 'gave no token', where, `run: ctx login ${registry.host}`);
    const busy = answer.status === 429 || answer.status >= 500;
    throw registryError(busy ? 'busy' : 'status', 'EIO', `answered ${answer.status} and gave no token`, where);
  }
  const { token, access_token: access } = record(parseBounded(await answer.read(MAX_TOKEN_BYTES), where), where);
  const found = typeof token === 'string' && token !== '' ? token : access;
  if (typeof found !== 'string' || !/^[\x21-\x7e]{1,65536}$/.test(found)) throw registryError('denied', 'EACCES', 'gave no token', where);
  return found;
}
