// Runs as an ordinary user in a directory with our modules transpiled: mounts, serves, probes, unmounts, recovers.
// Prints what happened as one JSON object.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [, , modules, server, mountpoint] = process.argv;
const { attach, detach, mountState, recover } = await import(pathToFileURL(`${modules}/mount/lifecycle.js`).href);
const { mountAt } = await import(pathToFileURL(`${modules}/mount/mount-table.js`).href);
const seen = { uid: process.getuid() };

async function serve(mode) {
  const attached = await attach(mountpoint);
  const child = spawn(process.execPath, [server, mode], { stdio: ['ignore', 'pipe', 'inherit', attached.fd] });
  closeSync(attached.fd);
  await once(child.stdout, 'data');
  return { attached, child };
}

async function end(child) {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

try {
  const first = await serve('answer');
  seen.unprivileged = first.attached.unprivileged;
  seen.live = await mountState(mountpoint);
  seen.entry = await mountAt(mountpoint);
  await detach(mountpoint);
  seen.detached = await mountState(mountpoint);

  await end((await serve('answer')).child);
  seen.killed = await mountState(mountpoint);
  await end((await serve('answer')).child);
  seen.recovered = await recover(mountpoint);

  const hung = await serve('hang');
  seen.hung = await mountState(mountpoint, { timeoutMs: 300 });
  await end(hung.child);
  seen.unhung = await recover(mountpoint, { timeoutMs: 300 });
} catch (error) {
  seen.error = `${error.code}: ${error.message}`;
}
process.stdout.write(JSON.stringify(seen));
