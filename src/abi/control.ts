// The control channel: `<mount>/.control` (answers by name, not listed). One open is one transaction:
// write one JSON request line, then read the JSON reply until end of file. The kernel tells who asks.

export type ControlRequest =
  | { readonly verb: 'status' }
  | { readonly verb: 'explain'; readonly session: string; readonly file: string }
  | { readonly verb: 'search'; readonly session: string; readonly query: string; readonly limit: number }
  | { readonly verb: 'pack-at'; readonly session: string; readonly at: string }
  | { readonly verb: 'gc'; readonly session: string; readonly dryRun: boolean }
  | { readonly verb: 'fork'; readonly from: string; readonly to: string; readonly at?: number }
  /** Makes all of the history immutable, and names its files (SealReply); `digest` also waits for every sha256. */
  | { readonly verb: 'seal'; readonly session: string }
  | { readonly verb: 'digest'; readonly session: string }
  /** Links what is sealed of a session, with its digests known, into the caller's image layout (ImageLinkReply). */
  | { readonly verb: 'image.link'; readonly session: string }
  | ImageStartRequest
  /** `session`, which image.start gave, is whole: from now on it is called `as`. */
  | { readonly verb: 'image.ready'; readonly session: string; readonly as: string }
  /** Removes what was being made or removed in the caller's home when its maker ended (SweepReply). */
  | { readonly verb: 'sweep'; readonly dryRun: boolean }
  /** Compiled state in the caller's image layout, for a session that came from its image; for who mounted the store alone. */
  | {
      readonly verb: 'image.adopt';
      readonly session: string;
      readonly fingerprint: Readonly<Record<string, unknown>>;
      readonly blobs: readonly { readonly sha256: string; readonly bytes: number }[];
    }
  /** Moves the session to `<store>/archive/…` (still readable there). */
  | { readonly verb: 'archive'; readonly session: string }
  /** Deletes history for good; refused unless gc.policy has keep_messages=0 and keep_events=0, or force. */
  | { readonly verb: 'rm'; readonly session: string; readonly force: boolean }
  /** Configured models; each of the four replies with ModelsReply as it is afterwards. */
  | { readonly verb: 'model.ls' }
  /** The model as it stands in models.json (abi-spec/schema/models.json); never a key. */
  | { readonly verb: 'model.add'; readonly model: Readonly<Record<string, unknown>>; readonly makeDefault: boolean }
  /** `provider/name`, or a name that only one provider has. */
  | { readonly verb: 'model.rm'; readonly model: string }
  | { readonly verb: 'model.use'; readonly model: string }
  /** The manifest of the session's compiled state, judged by what the engine says of itself now. */
  | { readonly verb: 'kv.inspect'; readonly session: string }
  /** Drops what is compiled of this session and used by no other. */
  | { readonly verb: 'kv.evict'; readonly session: string }
  /** Drops compiled state that no session of the store uses. */
  | { readonly verb: 'kv.gc'; readonly dryRun: boolean };

/** `file` is relative to the session's directory in the store. The first `bytes` of its `file_bytes` count. */
export interface SealReply {
  readonly session: string;
  readonly blobs: readonly {
    readonly journal: 'messages.jsonl' | 'events.jsonl' | 'order' | 'inputs';
    readonly file: string;
    readonly bytes: number;
    readonly file_bytes: number;
    /** null: not known yet. */
    readonly sha256: string | null;
    /** Lines or records, of `inputs` and `order`. */
    readonly count?: number;
  }[];
  /** Bytes of recorded inputs. */
  readonly inputs: readonly { readonly file: string; readonly bytes: number; readonly sha256: string }[];
  readonly elapsed_ms: number;
}

export interface ImageLinkReply {
  readonly session: string;
  readonly blobs: readonly (SealReply['blobs'][number] & {
    readonly sha256: string;
    /** false: the layout does not have it; who asks reads it through the mount. */
    readonly linked: boolean;
  })[];
  readonly inputs: SealReply['inputs'];
  /** What the session holds. */
  readonly lines: { readonly messages: number; readonly events: number };
  /** When its newest line came; 0 for an empty one. */
  readonly newest_ms: number;
  readonly elapsed_ms: number;
}

/** A new session whose history is blobs of the caller's image layout. Nobody sees it before image.ready. */
export interface ImageStartRequest {
  readonly verb: 'image.start';
  /** What it is to be called, to hear early that it cannot; left out for one that gets no name. */
  readonly session?: string;
  readonly blobs: readonly {
    readonly journal: 'messages.jsonl' | 'events.jsonl' | 'order' | 'inputs';
    readonly sha256: string;
    readonly bytes: number;
    readonly count?: number;
  }[];
  readonly inputs: readonly { readonly sha256: string; readonly bytes: number }[];
}

export interface ImageStartReply {
  /** Where it is until then: below `home/<uid>/agent/.start`. */
  readonly session: string;
  readonly elapsed_ms: number;
}

export interface SweepReply {
  readonly removed: readonly { readonly path: string; readonly bytes: number; readonly reason: string }[];
  /** Ask again: one request takes so long and no longer. */
  readonly more: boolean;
}

export interface ModelsReply {
  /** `provider/name` of the one that compiles; null: none. */
  readonly default: string | null;
  /** As in models.json. */
  readonly models: readonly Readonly<Record<string, unknown>>[];
}

/** Sessions are named by their path below the mount: `home/0/agent/coder/session/default`. */
export type ControlReply =
  | { readonly ok: true; readonly result: unknown }
  | {
      readonly ok: false;
      readonly error: {
        readonly code: string;
        readonly errno: string;
        readonly message: string;
        readonly where?: string;
        readonly next?: string;
      };
    };

export const CONTROL_FILE = '.control';
