// A small real HTTP server that fails as its test says.
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';

export type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

export interface FailingServer {
  readonly url: string;
  /** Requests so far: method, path and authorization. */
  readonly seen: readonly { readonly line: string; readonly authorization: string | undefined; readonly body: string }[];
  answer: Answer;
  end(): Promise<void>;
}

export async function startFailingServer(answer: Answer): Promise<FailingServer> {
  const seen: { line: string; authorization: string | undefined; body: string }[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const body = Buffer.concat(pieces).toString();
      seen.push({ line: `${request.method} ${request.url}`, authorization: request.headers.authorization, body });
      served.answer(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const served: FailingServer = {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    seen,
    answer,
    end: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  return served;
}

export const json =
  (status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(typeof value === 'string' ? value : JSON.stringify(value));
  };

/** Sends these pieces as they are, then ends as told. */
export const stream =
  (pieces: readonly string[], end: 'end' | 'cut' | 'silent'): Answer =>
  (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const piece of pieces) response.write(piece);
    if (end === 'end') response.end();
    // A turn later, so that what was written leaves first.
    if (end === 'cut') setTimeout(() => response.destroy(), 50);
  };

export function chunk(delta: object, finish: string | null = null): string {
  return `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
}

/** An answer that never ends: a word (and a bell) each few milliseconds until the client goes away. `/models` says what it serves. */
export const endless: Answer = (request, response) => {
  if (request.method === 'GET') return json(200, { data: [{ id: 'm' }] })(request, response, '');
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const clock = setInterval(() => response.write(chunk({ content: 'word\u0007 ' })), 10);
  response.on('close', () => clearInterval(clock));
};
