// What a session binds (IMG-90, IMG-94): memory by its policy.yaml, retrieval by the image it came from. As of now, at each look:
// a stat where nothing changed. What cannot be read binds nothing.
import * as fs from 'node:fs';
import { parseSessionRelativePath } from '../abi/names.ts';
import type { SessionOwner } from '../abi/names.ts';
import { parsePolicy } from '../context/policy.ts';
import { environmentText } from '../image/bundle.ts';
import type { Binding } from '../image/config.ts';
import { ImageViews, type ImageView } from '../image/view.ts';
import { MEDIA } from '../image/oci.ts';
import type { OciDigest } from '../image/oci.ts';
import { MAX_CONTROL_BYTES } from '../session/controls.ts';
import { memoryMounts, type SessionMemory } from '../session/memory-mounts.ts';
import { isDirectory, lstat } from './backing.ts';
import type { Session } from './sessions.ts';

export interface RetrievalBinding extends Pick<Binding, 'name'> {
  readonly view: ImageView;
  /** A directory below the store, or one of the image's source. */
  readonly place: { readonly volume: string } | { readonly source: string };
}

const BROKEN_MS = 5000;
const ENVIRONMENT = 'environment.yaml';

/** What is bound of a volume: a wiki, or what is not sessions and images in a shared space. No hidden names. */
const VOLUME = /^(?:wiki|home\/[0-9]+\/wiki|shared\/[^/.][^/]*\/(?!agent(?:\/|$)|image(?:\/|$))[^/.][^/]*)(?:\/[^/.][^/]*)*$/;

export class Bindings {
  readonly store: string;
  readonly session: Session;
  readonly owner: SessionOwner | undefined;
  readonly #policy: FileValue<readonly SessionMemory[]>;
  readonly #meta: FileValue<OciDigest | undefined>;
  readonly #views: ImageViews;
  #broken: { readonly digest: OciDigest; readonly untilMs: number } | undefined;
  #environment: { readonly view: ImageView; readonly text: Buffer | undefined } | undefined;

  constructor(session: Session) {
    const { directory, relative } = session;
    this.session = session;
    this.store = directory.slice(0, -relative.length - 1);
    const owner = parseSessionRelativePath(relative)?.owner;
    this.owner = owner;
    // Nobody named the wiki of a session without `memory`: it is packed, and binds nothing.
    this.#policy = new FileValue(`${directory}/context/policy.yaml`, [], (text) =>
      owner === undefined
        ? []
        : memoryMounts(parsePolicy(text).memory, owner).filter(({ assumed, refused }) => !assumed && refused === undefined),
    );
    this.#meta = new FileValue(`${directory}/meta.json`, undefined, imageDigest);
    this.#views = new ImageViews(`${this.store}/${relative.split('/').slice(0, 2).join('/')}/image/.store`);
  }

  memory(): readonly SessionMemory[] {
    return this.#policy.value();
  }

  /** Costs the image's manifest at the first look; after that, until meta.json names another, nothing. */
  #image(): ImageView | undefined {
    const digest = this.#meta.value();
    if (digest === undefined || (this.#broken?.digest === digest && Date.now() < this.#broken.untilMs)) return undefined;
    try {
      return this.#views.view({ mediaType: MEDIA.manifest, digest, size: 0 });
    } catch {
      // The image is gone, or is none: not looked at again at once.
      this.#broken = { digest, untilMs: Date.now() + BROKEN_MS };
      return undefined;
    }
  }

  /** IMG-96: lines for a shell; undefined: the image has none. */
  environment(): Buffer | undefined {
    const view = this.#image();
    if (view === undefined || !view.files.has(ENVIRONMENT)) return undefined;
    if (this.#environment?.view === view) return this.#environment.text;
    let text: Buffer | undefined;
    try {
      const bytes = view.read(ENVIRONMENT, MAX_CONTROL_BYTES);
      text = bytes === undefined ? undefined : Buffer.from(environmentText(bytes, ENVIRONMENT));
    } catch {
      // As with whatever else of an image that cannot be read.
    }
    this.#environment = { view, text };
    return text;
  }

  retrieval(): readonly RetrievalBinding[] {
    const view = this.#image();
    if (view === undefined) return [];
    return view.config.mounts.retrieval.flatMap(({ name, path }) => {
      const place = path === undefined ? undefined : this.#place(path, view);
      return place === undefined ? [] : [{ name, view, place }];
    });
  }

  #place(path: string, view: ImageView): RetrievalBinding['place'] | undefined {
    const { owner } = this;
    if (!VOLUME.test(path)) {
      const source = sourceOf(path, view);
      return source === undefined ? undefined : { source };
    }
    // MEM-2, as for memory.
    const mount = { name: '', path, mode: 'read-only', scope: 'user', share: undefined, plans: [], domain: undefined } as const;
    const [found] = owner === undefined ? [] : memoryMounts([mount], owner);
    return found === undefined || found.refused !== undefined || !isDirectory(`${this.store}/${found.path}`)
      ? undefined
      : { volume: found.path };
  }
}

/** Below `documents/`, as they are named in context.yaml; else as they are in the image. */
function sourceOf(path: string, { files }: ImageView): string | undefined {
  const plain = path.replace(/\/+$/, '');
  return [`documents/${plain}`, plain].find((directory) => [...files.keys()].some((file) => file.startsWith(`${directory}/`)));
}

/** What a small file says, read again when it is another. */
class FileValue<T> {
  readonly #path: string;
  readonly #none: T;
  readonly #read: (text: string) => T;
  #seen = '';
  #value: T;

  constructor(path: string, none: T, read: (text: string) => T) {
    this.#path = path;
    this.#none = none;
    this.#value = none;
    this.#read = read;
  }

  value(): T {
    const stat = lstat(this.#path);
    const seen = stat?.isFile() === true && stat.size <= BigInt(MAX_CONTROL_BYTES) ? `${stat.ino}:${stat.mtimeNs}:${stat.size}` : '';
    if (seen === this.#seen) return this.#value;
    this.#seen = seen;
    try {
      this.#value = seen === '' ? this.#none : this.#read(fs.readFileSync(this.#path, 'utf8'));
    } catch {
      this.#value = this.#none;
    }
    return this.#value;
  }
}

function imageDigest(text: string): OciDigest | undefined {
  const { image } = JSON.parse(text) as { readonly image?: { readonly digest?: unknown } };
  return typeof image?.digest === 'string' && /^sha256:[0-9a-f]{64}$/.test(image.digest) ? (image.digest as OciDigest) : undefined;
}
