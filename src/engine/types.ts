// What passes between the rooms of the engine: prompts, fingerprints, artifacts, drivers. Types only.
export type DriverKind = 'llama' | 'llama-server' | 'openai';

/** One message of prompt.json: OpenAI chat completions. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly name?: string;
  readonly tool_calls?: readonly unknown[];
  readonly tool_call_id?: string;
}

export interface Prompt {
  readonly messages: readonly ChatMessage[];
  /** Tool schemas of context/tools.json; none: []. */
  readonly tools: readonly unknown[];
}

/** One configured model. */
export interface ModelConfig {
  readonly provider: string;
  readonly name: string;
  readonly driver: DriverKind;
  /** llama: the GGUF file. */
  readonly path?: string;
  /** llama-server, openai: base URL. */
  readonly url?: string;
  /** openai: the server's name of the model. */
  readonly model?: string;
  /** Name of the environment variable that holds the key; the key itself is never stored. */
  readonly apiKeyEnv?: string;
  /** Tokens of context; absent: what the model was trained for, at most 32,768. */
  readonly contextTokens?: number;
  readonly threads?: number;
  readonly gpu?: boolean;
  readonly kvKeyType?: KvType;
  readonly kvValueType?: KvType;
  readonly flashAttention?: boolean;
  /** Bytes of private memory that the child process may take. */
  readonly memoryLimitBytes?: number;
}

export type KvType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0';

/** Every field that says whether compiled state still fits: name to value (fingerprint.ts lists them with their level). */
export type Fingerprint = Readonly<Record<string, string | number | boolean | null>>;

export interface ModelDescription {
  readonly id: string;
  readonly driver: DriverKind;
  readonly contextTokens: number;
  readonly fingerprint: Fingerprint;
  /** Bytes of saved state for each token; undefined where the driver saves none here. */
  readonly bytesPerToken?: number;
}

/** Saved state on disk. */
export interface ArtifactFile {
  readonly path: string;
  readonly bytes: number;
  /** `sha256-…` of the whole file. */
  readonly digest: string;
  /** Token ids whose state it holds. */
  readonly tokens: Uint32Array;
  /** How it looked when the digest was taken (state-seal.ts). */
  readonly look?: string;
}

/** What a driver wrote. */
export interface SavedFile {
  readonly bytes: number;
  readonly digest: string;
  /** Inode, size and mtime when the digest was taken. */
  readonly written?: string;
}

export interface CompileJob {
  readonly prompt: Prompt;
  /** What `tokenize` said; undefined where the server keeps its tokenizer to itself. */
  readonly tokens: Uint32Array | undefined;
  /** Saved state whose tokens share the longest prefix; the driver verifies it before it is loaded. */
  readonly base?: ArtifactFile;
  /** Where the driver that saves files is to write; a partial file never stays there. */
  readonly saveTo: string;
  readonly signal: AbortSignal;
  readonly onProgress: (doneTokens: number, totalTokens: number) => void;
}

export interface CompileOutcome {
  readonly tokens: number;
  /** Tokens taken from saved, live or cached state. */
  readonly reusedTokens: number;
  readonly evaluatedTokens: number;
  /** Absent where state stays in the server. */
  readonly file?: SavedFile;
  /** Why a base that was offered was not used: shown in the manifest. */
  readonly baseRefused?: string;
}

export interface GenerateJob {
  readonly prompt: Prompt;
  readonly base?: ArtifactFile;
  readonly maxTokens: number;
  /** 0: greedy. */
  readonly temperature: number;
  readonly seed?: number;
  /** Output must be JSON of this schema. */
  readonly schema?: unknown;
  readonly signal: AbortSignal;
}

export type GenerateEvent =
  | { readonly kind: 'start'; readonly restoredTokens: number; readonly evaluatedTokens: number }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tool_call'; readonly id: string; readonly name: string; readonly arguments: string };

export interface GenerateOutcome {
  readonly text: string;
  readonly toolCalls: readonly { readonly id: string; readonly name: string; readonly arguments: string }[];
  readonly stop: 'end' | 'length' | 'tool_calls' | 'aborted';
  readonly restoredTokens: number;
  readonly evaluatedTokens: number;
  readonly generatedTokens: number;
}

/** One backing engine. Calls are serialized by the driver; every failure is a CtxError `engine.*` that says what to do. */
export interface EngineDriver {
  readonly kind: DriverKind;
  describe(): Promise<ModelDescription>;
  /** Token ids of the prompt as the model's chat template renders it; undefined where only the server can count. */
  tokenize(prompt: Prompt, generationPrompt: boolean): Promise<Uint32Array | undefined>;
  compile(job: CompileJob): Promise<CompileOutcome>;
  generate(job: GenerateJob): AsyncGenerator<GenerateEvent, GenerateOutcome, void>;
  close(): Promise<void>;
}
