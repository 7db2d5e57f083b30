import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findCredentials } from '../../../src/image/registry/docker-config.ts';
import { runCredentialProcess } from '../../../src/image/registry/credential-process.ts';
import { ctx, type Outcome } from '../../cli/program.ts';
import { scratch, scratchStore } from '../scratch.ts';
import { PASSWORD, startDockerRegistry, USER, type RunningRegistry } from './docker-registry.ts';
import { makeImage, randomLines } from './image-fixture.ts';
import { pull, push } from './transfers.ts';

let registry: RunningRegistry;
beforeAll(async () => {
  registry = await startDockerRegistry({ password: true });
});
afterAll(() => registry.stop());

const login = (directory: string, password: string, more: readonly string[] = []): Promise<Outcome> =>
  ctx(['login', registry.host, '-u', USER, '--password-stdin', ...more], { env: { DOCKER_CONFIG: directory }, input: `${password}\n` });

test('IMG-53 login tries the password and keeps it where Docker does; push and pull use it; logout forgets it', async () => {
  const directory = await scratch();
  const path = join(directory, 'config.json');
  const others = {
    HttpHeaders: { 'x-a': 'b' },
    auths: { 'other.example': { auth: 'YTpi' }, [`https://${registry.host}/v1/`]: { auth: 'eDp5' } },
  };
  await fs.writeFile(path, JSON.stringify(others), { mode: 0o644 });

  const wrong = await login(directory, 'wrong');
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain('image.registry_denied');
  expect(JSON.parse(await fs.readFile(path, 'utf8'))).toEqual(others);

  const right = await login(directory, PASSWORD, ['--json']);
  expect(right).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(right.stdout)).toEqual({ registry: registry.host, user: USER, kept: path });
  const auth = Buffer.from(`${USER}:${PASSWORD}`).toString('base64');
  expect(JSON.parse(await fs.readFile(path, 'utf8'))).toEqual({
    ...others,
    auths: { 'other.example': { auth: 'YTpi' }, [registry.host]: { auth } },
  });
  expect((await fs.stat(path)).mode & 0o777).toBe(0o600);
  expect(await fs.readdir(directory)).toEqual(['config.json']);

  const store = await scratchStore();
  const made = await makeImage(store, 'a/b:v1', [randomLines(100_000)]);
  await expect(push(store, 'a/b:v1', `${registry.host}/a/b`)).rejects.toMatchObject({
    code: 'image.registry_denied',
    next: `run: ctx login ${registry.host}`,
  });
  const environment = { DOCKER_CONFIG: directory };
  await push(store, 'a/b:v1', `${registry.host}/a/b`, { options: { environment } });
  const second = await scratchStore();
  expect(await pull(second, `${registry.host}/a/b:v1`, 'x:v1', { options: { environment } })).toMatchObject({
    digest: made.descriptor.digest,
  });

  const out = await ctx(['logout', registry.host], { env: { DOCKER_CONFIG: directory } });
  expect(out).toMatchObject({ code: 0, stdout: `the password for ${registry.host} is forgotten\n` });
  expect(await findCredentials(registry.host, environment)).toBeUndefined();
  expect(await findCredentials('other.example', environment)).toEqual({ kind: 'password', user: 'a', password: 'b' });
  const again = await ctx(['logout', registry.host, '--json'], { env: { DOCKER_CONFIG: directory } });
  expect(JSON.parse(again.stdout)).toEqual({ registry: registry.host, removed: false });
});

/** As docker-credential-helpers has it, with a file a registry. */
const HELPER = `#!/bin/sh
dir=$(dirname "$0")/kept; mkdir -p "$dir"; input=$(cat)
key() { printf %s "$1" | tr -c 'A-Za-z0-9.\\n' _; }
case $1 in
  store) url=$(printf %s "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/'); printf %s "$input" > "$dir/$(key "$url")" ;;
  get) if [ -f "$dir/$(key "$input")" ]; then cat "$dir/$(key "$input")"; else echo 'credentials not found in native keychain'; exit 1; fi ;;
  erase) rm "$dir/$(key "$input")" ;;
esac
`;

test('a program that keeps passwords is used where the Docker configuration names one, and it has bounds', async () => {
  const directory = await scratch();
  const programs = {
    test: HELPER,
    slow: '#!/bin/sh\nexec sleep 1000\n',
    loud: '#!/bin/sh\nexec cat /dev/zero\n',
    broken: '#!/bin/sh\nexit 3\n',
  };
  for (const [name, text] of Object.entries(programs))
    await fs.writeFile(join(directory, `docker-credential-${name}`), text, { mode: 0o755 });
  const path = join(directory, 'config.json');
  await fs.writeFile(path, JSON.stringify({ credsStore: 'test' }));
  const env = { DOCKER_CONFIG: directory, PATH: `${directory}:${process.env['PATH'] ?? ''}` };
  const done = await ctx(['login', registry.host, '-u', USER, '--password-stdin'], { env, input: PASSWORD });
  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(done.stdout).toContain('docker-credential-test');
  const kept = await fs.readFile(path, 'utf8');
  expect(JSON.parse(kept)).toEqual({ credsStore: 'test', auths: { [registry.host]: {} } });
  expect(await findCredentials(registry.host, env)).toEqual({ kind: 'password', user: USER, password: PASSWORD });
  expect(await findCredentials('unknown.example', env)).toBeUndefined();
  expect(await ctx(['logout', registry.host], { env })).toMatchObject({ code: 0 });
  expect(await findCredentials(registry.host, env)).toBeUndefined();

  // One program for one registry wins over the general one.
  await fs.writeFile(path, JSON.stringify({ credsStore: 'test', credHelpers: { 'one.example': 'broken' } }));
  await expect(findCredentials('one.example', env)).rejects.toMatchObject({ code: 'image.registry_credentials' });
  await expect(runCredentialProcess('slow', 'get', 'x', env, 300)).rejects.toThrow('did not answer');
  await expect(runCredentialProcess('loud', 'get', 'x', env)).rejects.toThrow('said too much');
  await expect(runCredentialProcess('absent', 'get', 'x', env)).rejects.toThrow('is not installed');
  await expect(runCredentialProcess('../x', 'get', 'x', env)).rejects.toThrow('is no name');
});

test('every form of an entry of the Docker configuration is read', async () => {
  const directory = await scratch();
  const found = async (auths: unknown, host: string): Promise<unknown> => {
    await fs.writeFile(join(directory, 'config.json'), JSON.stringify({ auths }));
    return findCredentials(host, { DOCKER_CONFIG: directory });
  };
  const b64 = (text: string): string => Buffer.from(text).toString('base64');
  expect(await found({ 'https://a.example/v2/': { auth: b64('u:p:q') } }, 'a.example')).toEqual({
    kind: 'password',
    user: 'u',
    password: 'p:q',
  });
  expect(await found({ 'a.example': { identitytoken: 'tok', auth: '' } }, 'a.example')).toEqual({ kind: 'identity', token: 'tok' });
  expect(await found({ 'a.example': { username: 'u', password: 'p' } }, 'a.example')).toEqual({
    kind: 'password',
    user: 'u',
    password: 'p',
  });
  expect(await found({ 'https://index.docker.io/v1/': { auth: b64('u:p') } }, 'docker.io')).toEqual({
    kind: 'password',
    user: 'u',
    password: 'p',
  });
  expect(await found({ 'a.example:5000': { auth: b64('u:p') } }, 'a.example')).toBeUndefined();
  expect(await found({ 'a.example': {} }, 'a.example')).toBeUndefined();
  expect(await found(['x'], 'a.example')).toBeUndefined();
  await expect(found({ 'a.example': { auth: b64('nothing') } }, 'a.example')).rejects.toMatchObject({ code: 'image.registry_credentials' });
  await fs.writeFile(join(directory, 'config.json'), '{');
  await expect(findCredentials('a.example', { DOCKER_CONFIG: directory })).rejects.toThrow('is not JSON');
});

test('login says what it lacks', async () => {
  const env = { DOCKER_CONFIG: await scratch() };
  expect(await ctx(['login', registry.host], { env })).toMatchObject({ code: 2 });
  expect((await ctx(['login', registry.host, '--password-stdin'], { env, input: 'x' })).stderr).toContain('add -u USER');
  expect((await ctx(['login', 'http://registry.example', '-u', 'x', '--password-stdin'], { env, input: 'x' })).stderr).toContain(
    '--insecure',
  );
  expect((await ctx(['login', '../x', '-u', 'x', '--password-stdin'], { env, input: 'x' })).stderr).toContain('image.remote');
});
