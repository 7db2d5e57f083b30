// A registry of a hundred lines, correct until `meddle` says otherwise: what hostile and failing registries are made of.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { MEDIA, ociDigest } from '../../../src/image/oci.ts';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly bodyBytes: number;
}

/** Answers the request itself and returns true, or lets the registry go on. */
export type Meddle = (request: IncomingMessage, response: ServerResponse, body: Buffer) => boolean | Promise<boolean>;

export interface SmallOptions {
  readonly address?: string;
  /** OCI distribution 1.1: lists referrers by itself. */
  readonly referrers?: boolean;
  readonly tls?: { readonly key: string; readonly cert: string };
}

export class SmallRegistry {
  readonly blobs: Map<string, Buffer> = new Map();
  readonly manifests: Map<string, { readonly bytes: Buffer; readonly type: string }> = new Map();
  readonly uploads: Map<string, Buffer> = new Map();
  readonly seen: Seen[] = [];
  meddle: Meddle = () => false;
  readonly #server: Server;
  readonly #options: SmallOptions;
  #next = 0;

  private constructor(options: SmallOptions) {
    this.#options = options;
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      response.on('error', () => undefined);
      request.on('error', () => undefined);
      this.#answer(request, response).catch(() => response.destroy());
    };
    this.#server = options.tls === undefined ? createServer(answer) : createTlsServer(options.tls, answer);
    this.#server.keepAliveTimeout = 60_000;
  }

  static async start(options: SmallOptions = {}): Promise<SmallRegistry> {
    const registry = new SmallRegistry(options);
    registry.#server.listen(0, options.address ?? '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  get host(): string {
    return `${this.#options.address ?? '127.0.0.1'}:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  count(method: string, part: string | RegExp): number {
    return this.seen.filter((one) => one.method === method && (typeof part === 'string' ? one.url.includes(part) : part.test(one.url)))
      .length;
  }

  sentBytes(): number {
    return this.seen.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
  }

  putManifest(repository: string, reference: string, bytes: Buffer, type: string = MEDIA.manifest): void {
    for (const name of [reference, ociDigest(bytes)]) this.manifests.set(`${repository}/${name}`, { bytes, type });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    const { method = '', url = '' } = request;
    this.seen.push({ method, url, headers: request.headers, bodyBytes: body.length });
    if (await this.meddle(request, response, body)) return;
    const { pathname, searchParams } = new URL(url, 'http://small');
    const [, repository = '', kind = '', name = ''] =
      /^\/v2\/(?:(.+)\/(blobs\/uploads|blobs|manifests|referrers)\/?([^/]*))?$/.exec(pathname) ?? [];
    if (kind === '') return end(response, pathname === '/v2/' ? 200 : 404);
    if (kind === 'blobs') return this.#blob(request, response, name);
    if (kind === 'manifests') return this.#manifest(method, response, repository, name, body, request.headers['content-type'] ?? '');
    if (kind === 'referrers') return this.#referrers(response, repository, name);
    return this.#upload(method, response, repository, name, searchParams, body);
  }

  #blob(request: IncomingMessage, response: ServerResponse, digest: string): void {
    const bytes = this.blobs.get(digest);
    if (bytes === undefined) return end(response, 404);
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const range = from > 0 ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {};
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': bytes.length - from,
      'content-type': 'application/octet-stream',
      ...range,
    });
    response.end(request.method === 'HEAD' ? undefined : bytes.subarray(from));
  }

  #manifest(method: string, response: ServerResponse, repository: string, reference: string, body: Buffer, type: string): void {
    if (method === 'PUT') {
      this.putManifest(repository, reference, body, type);
      const { subject } = JSON.parse(body.toString()) as { subject?: { digest: string } };
      const listed = this.#options.referrers === true && subject !== undefined ? { 'oci-subject': subject.digest } : {};
      return end(response, 201, { 'docker-content-digest': ociDigest(body), ...listed });
    }
    const found = this.manifests.get(`${repository}/${reference}`);
    if (found === undefined) return end(response, 404);
    response.writeHead(200, {
      'content-type': found.type,
      'content-length': found.bytes.length,
      'docker-content-digest': ociDigest(found.bytes),
    });
    response.end(method === 'HEAD' ? undefined : found.bytes);
  }

  #referrers(response: ServerResponse, repository: string, subject: string): void {
    if (this.#options.referrers !== true) return end(response, 404);
    const manifests = [...this.manifests]
      .filter(([name]) => name.startsWith(`${repository}/sha256:`))
      .flatMap(([, { bytes }]) => {
        const manifest = JSON.parse(bytes.toString()) as { subject?: { digest: string }; artifactType?: string };
        const { artifactType } = manifest;
        return manifest.subject?.digest === subject
          ? [{ mediaType: MEDIA.manifest, digest: ociDigest(bytes), size: bytes.length, artifactType }]
          : [];
      });
    response.writeHead(200, { 'content-type': MEDIA.index });
    response.end(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.index, manifests }));
  }

  #upload(method: string, response: ServerResponse, repository: string, id: string, query: URLSearchParams, body: Buffer): void {
    if (method === 'POST') {
      const mount = query.get('mount');
      if (mount !== null && this.blobs.has(mount)) return end(response, 201, { location: `/v2/${repository}/blobs/${mount}` });
      const fresh = String((this.#next += 1));
      this.uploads.set(fresh, Buffer.alloc(0));
      return end(response, 202, { location: `/v2/${repository}/blobs/uploads/${fresh}?state=a%2Bb`, range: '0-0' });
    }
    const held = this.uploads.get(id);
    if (held === undefined) return end(response, 404);
    const here = { location: `/v2/${repository}/blobs/uploads/${id}?state=a%2Bb` };
    if (method === 'GET') return end(response, 204, { ...here, range: `0-${Math.max(0, held.length - 1)}` });
    const whole = Buffer.concat([held, body]);
    this.uploads.set(id, whole);
    if (method === 'PATCH') return end(response, 202, { ...here, range: `0-${Math.max(0, whole.length - 1)}` });
    const digest = query.get('digest') ?? '';
    if (ociDigest(whole) !== digest)
      return end(response, 400, {}, '{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}');
    this.uploads.delete(id);
    this.blobs.set(digest, whole);
    return end(response, 201, { 'docker-content-digest': digest });
  }
}

export function end(response: ServerResponse, status: number, headers: Record<string, string> = {}, body = ''): void {
  response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
  response.end(body);
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}
