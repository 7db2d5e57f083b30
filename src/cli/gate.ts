// ctx gate: may this session be called done, and if not, why; run its checks. The mount decides, from what is recorded.
import { spawn } from 'node:child_process';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../abi/errors.ts';
import type { GateChoice } from '../context/gate-policy.ts';
import { parsePolicy } from '../context/policy.ts';
import { checkEvent } from '../session/gate-check.ts';
import { usageError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { requireSession } from './mounted.ts';
import { referenceOf } from './reference.ts';
import { examples, type Shell } from './shell.ts';

const LIMIT_SECONDS = 600;

export function registerGate(program: Command, shell: Shell): void {
  const gate = program
    .command('gate')
    .description('may a session be called done, and if not, why')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx gate coder/default', 'exit 5 while it is closed'],
        ['ctx gate run coder/default', 'run the checks of its policy first'],
      ),
    )
    .action(async (reference: string, options: { json?: boolean }) => {
      const { directory } = await requireSession(shell, reference);
      await show(shell, directory, options.json === true);
    });
  gate
    .command('run')
    .description("run the checks of the session's policy as you, and record how they went")
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .argument('[check...]', 'only these')
    .option('--limit <seconds>', 'longest time for one check', String(LIMIT_SECONDS))
    .addHelpText('after', examples(['ctx gate run coder/default smoke', 'only the check smoke']))
    .action(async (reference: string, names: readonly string[], options: { limit: string }) => {
      const { directory, session } = await requireSession(shell, reference);
      const limitMs = Number(options.limit) * 1000;
      if (!(limitMs > 0)) throw usageError('--limit is not a number of seconds', 'for example --limit 600');
      const own = await ownPolicy(shell, directory);
      const unknown = names.find((name) => !own.checks.some((check) => check.name === name));
      if (unknown !== undefined) throw usageError(`${unknown} is no check of this session`, 'see context/policy.yaml');
      const wanted = own.checks.filter(({ name, run }) => (names.length === 0 ? run !== undefined : names.includes(name)));
      for (const check of wanted) await run(shell, directory, referenceOf(session, shell.uid), check, limitMs);
      await show(shell, directory, false);
    });
}

async function show(shell: Shell, directory: string, json: boolean): Promise<void> {
  const text = await readFile(join(directory, 'context/gate.md'), 'utf8');
  const closed = text.includes('\nClosed:');
  const reasons = [...text.matchAll(/^- (.*)$/gm)].map(([, reason]) => reason);
  if (json) shell.terminal.json({ open: !closed, reasons });
  else shell.terminal.line(text.trimEnd());
  if (closed) shell.exit(EXIT.findings);
}

/** WIK-48: commands that somebody else wrote are not run as you. */
async function ownPolicy(shell: Shell, directory: string): Promise<GateChoice> {
  const path = join(directory, 'context/policy.yaml');
  const { uid, mode } = await stat(path);
  if (uid !== shell.uid || (mode & 0o022) !== 0)
    throw new CtxError('gate.not_yours', 'EPERM', `can be written by others than you (uid ${uid})`, {
      where: path,
      next: 'read its commands, and run them yourself',
    });
  const { gate } = parsePolicy(await readFile(path, 'utf8'));
  if (gate === undefined) throw new CtxError('gate.none', 'ENOENT', 'has no gate', { where: path, next: 'add gate: to it' });
  return gate;
}

async function run(
  shell: Shell,
  directory: string,
  reference: string,
  check: GateChoice['checks'][number],
  limitMs: number,
): Promise<void> {
  if (check.run === undefined) throw usageError(`${check.name} has no command`, 'whoever runs it appends a gate.check event');
  const cwd = (await readFile(join(directory, 'cwd'), 'utf8')).trim();
  // Taken before: what is said while it runs comes after it.
  const { size: messagesBytes } = await stat(join(directory, 'messages.jsonl'));
  const startedMs = Date.now();
  const exit = await command(check.run, cwd, { ...shell.env, CTX_SESSION: reference }, limitMs);
  const atMs = Date.now();
  const event = checkEvent({ check: check.name, passed: exit === 0, atMs, messagesBytes }, exit, (atMs - startedMs) / 1000);
  const events = await open(join(directory, 'events.jsonl'), 'a');
  try {
    await events.write(`${JSON.stringify(event)}\n`);
  } finally {
    await events.close();
  }
  shell.terminal.note(`${check.name}: ${exit === 0 ? 'passed' : exit === null ? 'took too long, or was killed' : `failed (${exit})`}`);
}

/** Exit status; null when it was ended. Its children end with it. */
function command(line: string, cwd: string, env: NodeJS.ProcessEnv, limitMs: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', line], { cwd, env, stdio: ['ignore', 'inherit', 'inherit'], detached: true });
    const timer = setTimeout(() => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, limitMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new CtxError('gate.check', 'EIO', `could not be started: ${error.message}`, { where: line, next: 'see cwd of the session' }));
    });
    child.on('exit', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
  });
}
