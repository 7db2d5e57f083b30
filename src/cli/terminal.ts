// Where output goes. Nothing else in the project prints; verbs get a Terminal, so tests can read what they say.

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'magenta' | 'cyan';

const SGR: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
};

/** One line on stderr that is redrawn; nothing at all when stderr is not a terminal. */
export interface Progress {
  readonly shown: boolean;
  update(text: string): void;
  done(): void;
}

export interface Terminal {
  /** One line on stdout. */
  line(text: string): void;
  /** Bytes on stdout, as they are; resolves when the next piece may be written. */
  write(bytes: string | Uint8Array): Promise<void>;
  /** A JSON document on stdout (two-space indentation, LF at the end). */
  json(value: unknown): void;
  /** One line on stderr. */
  note(text: string): void;
  progress(): Progress;
  style(style: Style, text: string): string;
  readonly columns: number;
  readonly interactive: boolean;
}

/** CLI-4: colour only on a terminal, never with NO_COLOR (any non-empty value) or TERM=dumb; FORCE_COLOR asks for it. */
export function wantsColour(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean {
  if ((env['NO_COLOR'] ?? '') !== '') return false;
  if ((env['FORCE_COLOR'] ?? '') !== '') return env['FORCE_COLOR'] !== '0';
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}

export function openTerminal(env: NodeJS.ProcessEnv = process.env): Terminal {
  const colour = wantsColour(process.stdout, env);
  // A reader that had enough (`ctx cat … | head`) is not a failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  process.stderr.on('error', () => undefined);
  return {
    line: (text) => void process.stdout.write(`${text}\n`),
    write: (bytes) =>
      new Promise((resolve) => {
        if (process.stdout.write(bytes)) resolve();
        else process.stdout.once('drain', resolve);
      }),
    json: (value) => void process.stdout.write(`${JSON.stringify(value, null, 2)}\n`),
    note: (text) => void process.stderr.write(`${text}\n`),
    progress: () => progressOn(process.stderr),
    style: (style, text) => (colour ? `\u001b[${SGR[style][0]}m${text}\u001b[${SGR[style][1]}m` : text),
    columns: columnsOf(process.stdout, 100),
    interactive: process.stdin.isTTY === true && process.stderr.isTTY === true,
  };
}

/** A terminal that has no size says 0. */
function columnsOf(stream: NodeJS.WriteStream, otherwise: number): number {
  const { columns } = stream as { columns?: number };
  return columns === undefined || columns === 0 ? otherwise : columns;
}

function progressOn(stream: NodeJS.WriteStream): Progress {
  if (stream.isTTY !== true) return { shown: false, update: () => undefined, done: () => undefined };
  let lastMs = 0;
  let drawn = false;
  return {
    shown: true,
    update(text) {
      const nowMs = Date.now();
      if (nowMs - lastMs < 100) return;
      lastMs = nowMs;
      drawn = true;
      stream.write(`\r\u001b[K${text.slice(0, columnsOf(stream, 80) - 1)}`);
    },
    done() {
      if (drawn) stream.write('\r\u001b[K');
    },
  };
}
