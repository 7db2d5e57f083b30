// Runs verbs of the built ctx when it is told to, several at once, in the way bin/ctx does; its end is somebody else's affair.
// Words that begin with @ are no verbs: what a test needs besides, through the mount as well.
import { join } from 'node:path';

const dist = new URL('../../dist/src/', import.meta.url);
const load = (name) => import(new URL(name, dist).href);
const { createProgram } = await load('cli/program.js');
const { ask } = await load('cli/control-client.js');
const { describeFailure } = await load('cli/errors.js');
const { ImageStore } = await load('image/layout-store.js');
const { canonicalBytes, MEDIA } = await load('image/oci.js');
// What verbs load when they need it: a verb that is ended while it loads has done nothing.
for (const name of ['image/registry/push.js', 'image/registry/pull.js', 'image/registry/client.js']) await load(name);

await createProgram({}, '0', []);

const uid = process.getuid();
const layout = join(process.env.CTX_ROOT, `home/${uid}/image/.store`);

/** Compiled state of an image as rebuild stores it, without an engine. */
async function compile(key, text) {
  const store = await ImageStore.open(layout);
  const { mediaType, digest, size } = await store.resolve(key);
  const config = { mediaType: MEDIA.compiledConfig, ...(await store.put(Buffer.from('{}'))) };
  const layers = [{ mediaType: MEDIA.kvState, ...(await store.put(Buffer.from(text))) }];
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    artifactType: MEDIA.compiled,
    config,
    layers,
    subject: { mediaType, digest, size },
  };
  await store.addReferrer(await store.putManifest(manifest, canonicalBytes(manifest)), digest);
}

/** Garbage of both kinds. */
async function stray(text) {
  const store = await ImageStore.open(layout);
  for (let n = 0; n < 20; n++) await store.put(Buffer.from(`${text} ${n}`));
}

/** An instance without a history, which nobody finishes. */
async function start(session) {
  return (await ask(process.env.CTX_ROOT, { verb: 'image.start', session, blobs: [], inputs: [] })).session;
}

/** Takes all names away but these, and what is about nothing then. */
async function untag(...kept) {
  const store = await ImageStore.open(layout);
  await store.change((entries) => entries.filter(({ annotations }) => kept.includes(annotations['org.opencontainers.image.ref.name'])));
}

/** Words that are no verb must not end this process. */
function lasting(command) {
  command.exitOverride();
  for (const inner of command.commands) lasting(inner);
  return command;
}

const OTHER = { '@compile': compile, '@stray': stray, '@start': start, '@untag': untag };

async function one([word, ...rest]) {
  const said = [];
  let code = 0;
  const quiet = { update: () => undefined, done: () => undefined };
  const terminal = {
    line: (text) => said.push(text),
    write: () => Promise.resolve(),
    json: (value) => said.push(JSON.stringify(value)),
    note: (text) => said.push(text),
    progress: () => quiet,
    style: (_style, text) => text,
    columns: 100,
    interactive: false,
  };
  const began = performance.now();
  try {
    if (word in OTHER) said.push((await OTHER[word](...rest)) ?? '');
    else {
      const shell = { terminal, env: process.env, uid, exit: (value) => (code = value) };
      await lasting(await createProgram(shell, '0', [word])).parseAsync([word, ...rest], { from: 'user' });
    }
  } catch (error) {
    code = 1;
    said.push(describeFailure(error, true));
  }
  return { code, said: said.join('\n'), ms: performance.now() - began };
}

process.on('message', async (verbs) => process.send(await Promise.all(verbs.map(one))));
process.send('ready');
