// docker-credential-NAME: a child process that keeps passwords (the protocol of docker-credential-helpers), with bounds.
import { spawn } from 'node:child_process';
import { registryError } from './failures.ts';

const LIMIT_MS = 60_000;
const MAX_BYTES = 1024 * 1024;

/** Its stdout; undefined when it says that it has nothing. */
export async function runCredentialProcess(
  name: string,
  verb: 'get' | 'store' | 'erase',
  input: string,
  environment: NodeJS.ProcessEnv,
  limitMs: number = LIMIT_MS,
): Promise<string | undefined> {
  const program = `docker-credential-${name}`;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) throw failed(JSON.stringify(program), 'is no name of a credential program');
  const { status, stdout, trouble } = await run(program, verb, input, environment, limitMs);
  if (trouble !== undefined) throw failed(program, trouble);
  if (status === 0) return stdout;
  // The protocol has no other sign for it than this text.
  if (/credentials not found/i.test(stdout)) return undefined;
  throw failed(program, `${verb} ended with status ${String(status)}`);
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly trouble?: string;
}

function run(program: string, verb: string, input: string, environment: NodeJS.ProcessEnv, limitMs: number): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(program, [verb], { stdio: ['pipe', 'pipe', 'ignore'], env: environment });
    const pieces: Buffer[] = [];
    let size = 0;
    // A child that cannot be killed is left behind: this process does not wait for it.
    const end = (ended: Ended): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.unref();
      resolve(ended);
    };
    const timer = setTimeout(() => end({ status: null, stdout: '', trouble: `did not answer in ${limitMs / 1000} s` }), limitMs);
    child.on('error', (error: NodeJS.ErrnoException) =>
      end({ status: null, stdout: '', trouble: error.code === 'ENOENT' ? 'is not installed' : error.message }),
    );
    child.stdout.on('data', (piece: Buffer) => {
      size += piece.length;
      if (size > MAX_BYTES) end({ status: null, stdout: '', trouble: 'said too much' });
      else pieces.push(piece);
    });
    child.on('close', (status) => end({ status, stdout: Buffer.concat(pieces).toString('utf8') }));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

function failed(program: string, what: string): Error {
  return registryError('credentials', 'EACCES', what, program, 'see credsStore and credHelpers in the Docker configuration');
}
