// What a pack is folded from beside messages, as recorded in the order log: policy, pinned files, tools, children, memory.
import { CtxError } from '../abi/errors.ts';
import type { LeftOut } from '../context/pack-epoch.ts';
import { readPackPolicy } from '../context/pack-policy.ts';
import { recallFrom, RecallMemory } from '../context/pack-search.ts';
import type { ChildResult, PackSource, PinnedFile } from '../context/pack-source.ts';
import { ENGINE } from '../context/policy.ts';
import type { TokenCounter } from '../tokens/types.ts';
import { ENGINE_TOKENIZER, UNPACKED } from './input-watch.ts';
import { recordedMemory } from './recorded-memory.ts';
import type { SectionFolds } from './section-folds.ts';
import type { DeriverServices } from './services.ts';
import type { SessionHistory } from './session-history.ts';

export class PackInputs {
  readonly #history: SessionHistory;
  readonly #folds: SectionFolds;
  readonly #services: DeriverServices;
  readonly #lost: Map<string, LeftOut> = new Map();
  /** INP-5. */
  #unpacked: readonly LeftOut[] = [];
  /** With its answers, folding an epoch again asks the index nothing. */
  readonly recalled: RecallMemory = new RecallMemory();

  constructor(history: SessionHistory, folds: SectionFolds, services: DeriverServices) {
    this.#history = history;
    this.#folds = folds;
    this.#services = services;
  }

  /** Files that are in no pack, with the reason. */
  get leftOut(): readonly LeftOut[] {
    return [...this.#unpacked, ...this.#lost.values()];
  }

  /** As of the order-log record that began the prefix (-1: the session's first). */
  sourceAt(resetIndex: number): PackSource {
    const history = this.#history;
    const { log } = history;
    const inputs = log.inputsAsOf(resetIndex + 1);
    const text = (path: string): string | undefined => {
      const digest = inputs.get(path);
      return digest === undefined ? undefined : this.#input(path, digest);
    };
    const policy = readPackPolicy(text('context/budget'), text('context/policy.yaml'));
    const counter =
      policy.tokenizer === ENGINE
        ? this.#engineCounter(text(ENGINE_TOKENIZER), policy.remoteAllowed)
        : this.#services.counter(policy.tokenizer);
    const files = [...inputs.keys()]
      .filter((path) => path.startsWith('context/pinned/') && path !== UNPACKED)
      .sort((a, b) => (a < b ? -1 : 1))
      .map((path) => ({ path, digest: inputs.get(path) as string, text: text(path) }))
      .filter((file): file is PinnedFile => file.text !== undefined);
    // INP-6: a picture would cost the whole budget and say nothing.
    const isBinary = (file: PinnedFile): boolean => file.text.includes('\0');
    const pinned = files.filter((file) => !isBinary(file));
    this.#unpacked = [
      ...unpackedFiles(text(UNPACKED)),
      ...files.filter(isBinary).map(({ path }) => ({ source: path, reason: 'binary: it holds NUL bytes' })),
    ];
    return {
      counter,
      policy,
      pinned,
      toolsJson: text('context/tools.json'),
      message: (line) => history.lines.at(line),
      lastUserLine: (line) => history.lastUserLine(line),
      section: (kind, cut, position, limitBytes) => this.#folds.text(kind, cut, position, limitBytes),
      eventDigest: (eventLine) => history.eventDigest(eventLine),
      children: (position) => {
        const asOf = log.inputsAsOf(position.order);
        return [...asOf.keys()]
          .sort((a, b) => (a < b ? -1 : 1))
          .map((path) => this.child(path, asOf.get(path) as string))
          .filter((child) => child !== undefined);
      },
      memory: (position) => recordedMemory(history, position.order),
      recall: this.recallWith(counter, this.recalled),
    };
  }

  /** Undefined for files of a child that are not packed. */
  child(path: string, digest: string): ChildResult | undefined {
    const kind = path.endsWith('/result.md') ? 'child_result' : path.endsWith('/refs.jsonl') ? 'child_refs' : undefined;
    if (kind === undefined || !path.startsWith('context/child/')) return undefined;
    const text = this.#input(path, digest);
    return text === undefined ? undefined : { path, kind, digest, text };
  }

  recallWith(counter: TokenCounter, memory: RecallMemory): PackSource['recall'] {
    const { lines } = this.#history;
    return (query, cut, limitTokens, except) =>
      recallFrom(
        { index: this.#history.indexThrough(cut - 1), message: (line) => lines.near(line), memory },
        counter,
        query,
        cut,
        limitTokens,
        except,
      );
  }

  /** INP-3: what is lost is left out by name, and fails no read. */
  #input(path: string, digest: string): string | undefined {
    const text = this.#history.input(path, digest)?.toString('utf8');
    if (text === undefined) this.#lost.set(path, { source: path, reason: 'its recorded bytes are damaged, and the file has others now' });
    else this.#lost.delete(path);
    return text;
  }

  /** Throws where it cannot count: never another tokenizer instead. */
  #engineCounter(recorded: string | undefined, remoteAllowed: boolean): TokenCounter {
    const { engine } = this.#services;
    if (engine === undefined)
      throw new CtxError('tokens.engine', 'ENODEV', 'there is no engine here', {
        where: 'tokenizer: engine',
        next: 'read the pack through a mount with a model, or name another tokenizer in context/policy.yaml',
      });
    // Nothing is recorded while the engine cannot be asked: it says why.
    return engine.counter(recorded === undefined ? engine.digest(remoteAllowed) : recorded.trim(), remoteAllowed);
  }
}

function unpackedFiles(text: string | undefined): readonly LeftOut[] {
  const lines = (text ?? '').split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [source, reason] = JSON.parse(line) as [string, string];
    return { source, reason };
  });
}
