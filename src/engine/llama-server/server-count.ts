// Token counts of a llama-server, for the budget: as many as `serverTokens` gives, for less. What was counted before between two
// control tokens is not asked for again: a prompt that grew by a message costs its rendering and the count of that message.
import { createHash } from 'node:crypto';
import { canonicalDigest } from '../fingerprint.ts';
import { CountMemory } from '../llama/prompt-tokens.ts';
import { RemoteServer } from '../remote-server.ts';
import type { RemoteOptions } from '../remote-server.ts';
import type { ChatMessage, Fingerprint, ModelConfig, Prompt } from '../types.ts';
import { readProperties, serverAddress } from './properties.ts';
import { patternOf, promptPieces, specialTexts, tokenizePiece } from './server-prompt.ts';
import type { PromptPiece } from './server-prompt.ts';

/** Changes with how prompts are counted. */
const RULE = 'engine-tokens/1 llama-server';
/** Somebody waits: a server that is slow is one that does not count. */
const LIMITS = { connectMs: 1000, firstByteMs: 5000, idleMs: 2000, attempts: 1 };
const AT_ONCE = 8;
/** What only a vocabulary tells apart: words, signs, numbers, other scripts, white space. */
const PROBE =
  'The quick brown fox jumps over 1234567890 lazy dogs; naïve café Straße — 東京の天気は晴れ 안녕하세요 привет\n\n\tif (x != 0.5e-3) { return "€"; } 🦊';
/** What follows an answer is a question: no template renders an answer that is last as it renders it later. */
const QUESTION: ChatMessage = { role: 'user', content: '-' };
const CONVERSATION: readonly ChatMessage[] = [{ role: 'user', content: 'a' }, { role: 'assistant', content: 'b' }, QUESTION];

interface Known {
  readonly properties: string;
  readonly digest: string;
  /** Where a rendered prompt may be cut: before each control token. */
  readonly cuts: RegExp | undefined;
}

export class ServerCounter {
  readonly #server: RemoteServer;
  #counts: CountMemory = new CountMemory();
  /** Messages and tools whose special tokens are in #specials. */
  #looked: CountMemory = new CountMemory();
  readonly #specials: Set<string> = new Set();
  #known: Known | undefined;

  constructor(config: ModelConfig, options: RemoteOptions = {}) {
    this.#server = new RemoteServer(serverAddress(config), {
      ...options,
      limits: { ...LIMITS, ...options.limits },
      ...(config.apiKeyEnv === undefined ? {} : { keyEnv: config.apiKeyEnv }),
    });
  }

  /** `sha256-…` over vocabulary (by a probe), template and the server's build: what a count follows from. */
  async digest(): Promise<string> {
    const { fingerprint } = await readProperties(this.#server);
    const properties = canonicalDigest(fingerprint);
    if (this.#known?.properties !== properties) this.#known = await this.#learn(properties, fingerprint);
    return this.#known.digest;
  }

  /** Tokens of each text by itself. */
  async count(texts: readonly string[]): Promise<Uint32Array> {
    return this.#each(texts.map((text) => ({ text, literal: true, first: false })));
  }

  /** With the start of an answer. */
  async countPrompt({ messages, tools }: Prompt): Promise<number> {
    if (this.#known === undefined) await this.digest();
    const cuts = this.#known?.cuts;
    const asked = ['user', 'tool'].includes(messages.at(-1)?.role ?? '') ? messages : [...messages, QUESTION];
    const specials = await this.#specialsOf([...asked, ...tools]);
    const pieces = await promptPieces(this.#server, { messages: asked, tools }, true, specials);
    const counts = await this.#each(pieces.flatMap((piece) => (piece.literal ? [piece] : cutAt(piece, cuts))));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Another model: nothing that was counted holds. */
  async #learn(properties: string, fingerprint: Fingerprint): Promise<Known> {
    this.#counts = new CountMemory();
    this.#looked = new CountMemory();
    this.#specials.clear();
    const probe = await tokenizePiece(this.#server, { text: PROBE, literal: true, first: true });
    const rendered = await promptPieces(this.#server, { messages: CONVERSATION, tools: [] }, true, []);
    const text = rendered.map((piece) => piece.text).join('');
    const controls = await specialTexts(this.#server, text);
    const { chat_template_digest: template, vocabulary_tokens: size, engine_build: build } = fingerprint;
    const parts = JSON.stringify([RULE, template, size, build, [...probe], text]);
    return {
      properties,
      digest: `sha256-${createHash('sha256').update(parts).digest('hex')}`,
      cuts: controls.length === 0 ? undefined : patternOf(controls, 'u', '(?=', ')'),
    };
  }

  /** Two requests for all that is new. What only another prompt has does not occur in this one. */
  async #specialsOf(values: readonly unknown[]): Promise<readonly string[]> {
    const unknown = values
      .map((value) => ({ value, key: JSON.stringify(value) }))
      .filter(({ key }) => this.#looked.known(key) === undefined);
    if (unknown.length > 0) {
      const found = await specialTexts(
        this.#server,
        unknown.map(({ value }) => value),
      );
      for (const text of found) this.#specials.add(text);
      for (const { key } of unknown) this.#looked.of(key, () => 1);
    }
    return [...this.#specials];
  }

  async #each(pieces: readonly PromptPiece[]): Promise<Uint32Array> {
    const counts = new Uint32Array(pieces.length);
    const work = pieces.entries();
    const take = async (): Promise<void> => {
      for (const [index, piece] of work) {
        const key = `${piece.literal ? 'l' : 's'}${piece.first ? '^' : ' '}${piece.text}`;
        const length = this.#counts.known(key) ?? (await tokenizePiece(this.#server, piece)).length;
        counts[index] = this.#counts.of(key, () => length);
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, pieces.length) }, take));
    return counts;
  }
}

/** Control tokens cut a text into pieces that are tokenized each by itself. */
function cutAt(piece: PromptPiece, cuts: RegExp | undefined): readonly PromptPiece[] {
  if (cuts === undefined) return [piece];
  return piece.text.split(cuts).map((text, index) => ({ text, literal: false, first: piece.first && index === 0 }));
}
