// Commits of a wiki, made as its owner and through the mount: git never runs with more rights than the repository's own.
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { QueueFile } from '../src/wiki/queue-file.ts';
import { QUEUE_PATH, type QueuedChange } from '../src/wiki/queue.ts';
import type { WikiKeeper } from './wiki-keeper.ts';

const LIMIT_MS = 60_000;
const SHOWN = 5;
/** Hooks and monitors are for people. */
const QUIET = ['core.hooksPath=/dev/null', 'core.fsmonitor=false', 'gc.auto=0', 'commit.gpgSign=false', 'core.pager=cat'].flatMap(
  (each) => ['-c', each],
);

/** WIK-51. `place`: the wiki on the mount. Does nothing where the wiki is no repository of its owner's own. */
export async function commitWiki(keeper: WikiKeeper, place: string): Promise<void> {
  if (keeper.config().commit !== 'auto') return;
  keeper.flush();
  const startedMs = Date.now();
  const owner = fs.lstatSync(keeper.root);
  if (!isOwn(`${keeper.root}/.git`, owner) || !isOwn(`${keeper.root}/.git/config`, owner)) return;
  const git = (...args: readonly string[]): Promise<string> => run(place, owner, args);
  // git adds nothing and fails where it is told to leave out what it ignores.
  const ignored = await git('check-ignore', '--quiet', QUEUE_PATH).then(
    () => true,
    () => false,
  );
  await git('add', '--all', '--', '.', ...(ignored ? [] : [`:(exclude)${QUEUE_PATH}`]));
  const changed = (await git('diff', '--cached', '--name-only', '-z')).split('\0').filter((path) => path !== '');
  if (changed.length === 0) return;
  // Who made a change that came meanwhile may not be known yet; that change has its own commit coming, with this in it.
  if (keeper.changedMs >= startedMs) return;
  const waiting = [...new QueueFile(keeper.root).waiting().values()].filter(({ path }) => changed.includes(path));
  await git('commit', '--quiet', '--message', messageOf(changed, waiting));
}

/** Nobody else can say there what git is to run. */
function isOwn(path: string, { uid }: fs.Stats): boolean {
  const stat = fs.lstatSync(path, { throwIfNoEntry: false });
  return stat !== undefined && !stat.isSymbolicLink() && stat.uid === uid && (stat.mode & 0o022) === 0;
}

/** What changed, and who did, as far as the queue knows. */
function messageOf(changed: readonly string[], waiting: readonly QueuedChange[]): string {
  const makers = new Set(
    waiting.map(({ session, program, uid }) => {
      const parts = [session, program === undefined ? undefined : `with ${program}`, uid === undefined ? undefined : `uid ${uid}`];
      return parts.filter((part) => part !== undefined).join(', ');
    }),
  );
  const by = [...makers].filter((maker) => maker !== '').map((maker) => `Changed-by: ${oneLine(maker)}\n`);
  const shown = changed.slice(0, SHOWN).map(oneLine).join(', ');
  return `wiki: ${shown}${changed.length > SHOWN ? ` and ${changed.length - SHOWN} more` : ''}\n\n${by.join('')}Committed-by: the daemon of the mount\n`;
}

function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f]/g, '?');
}

function run(place: string, owner: fs.Stats, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const identity = process.getuid?.() === 0 ? { uid: owner.uid, gid: owner.gid } : {};
    const child = spawn('git', ['-C', place, '-c', 'user.name=ctx', '-c', 'user.email=ctx@localhost', ...QUIET, ...args], {
      ...identity,
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
      env: {
        PATH: '/usr/local/bin:/usr/bin:/bin',
        LC_ALL: 'C.UTF-8',
        GIT_CEILING_DIRECTORIES: place.slice(0, place.lastIndexOf('/')),
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_CONFIG_GLOBAL: '/dev/null',
        GIT_TERMINAL_PROMPT: '0',
      },
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(out) : reject(new Error(`git ${args[0]}: ${err.trim() || String(code)}`))));
  });
}
