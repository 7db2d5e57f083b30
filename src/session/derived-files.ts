// Every derived file of a session by name: brought up to the order log, then answered by its rule. Called in a turn.
import { digestOf } from '../abi/digest.ts';
import { CtxError } from '../abi/errors.ts';
import { childRefRows, readChildren } from '../context/child.ts';
import type { ChildView } from '../context/child.ts';
import type { SectionKind } from '../context/pack-source.ts';
import type { Content, InputVersion } from '../derive/types.ts';
import { DAMAGED } from '../search/sums.ts';
import type { CachedParts } from './cached-parts.ts';
import type { MemoryChooser } from './memory-chooser.ts';
import { packChange } from './pack-run.ts';

type PackFile = 'pack.json' | 'pack.md' | 'prompt.json';
export const PACK_FILES: ReadonlySet<string> = new Set<PackFile>(['pack.json', 'pack.md', 'prompt.json']);
const SECTION_FILES: ReadonlyMap<string, SectionKind> = new Map([
  ['summary.md', 'summary'],
  ['facts.jsonl', 'facts'],
  ['decisions.jsonl', 'decisions'],
  ['todo.md', 'todo'],
  ['refs.jsonl', 'refs'],
]);

function messagesInput(lines: number): InputVersion {
  return {
    name: 'messages',
    version: `${lines} lines`,
    changed: (was) => `messages.jsonl grew from ${Number.parseInt(was, 10)} to ${lines} lines`,
  };
}

function contributionsInput(count: number): InputVersion {
  const changed = (was: string): string => {
    const added = count - Number(was);
    return added === 1 ? 'one contribution was added' : `${added} contributions were added`;
  };
  return { name: 'contributions', version: `${count}`, changed };
}

export interface FileHooks {
  /** A pack was asked for. */
  packAsked(): void;
  isClosed(): boolean;
  now(): number;
  log(line: string): void;
}

export class DerivedFiles {
  readonly #cached: CachedParts;
  readonly #memory: MemoryChooser | undefined;
  readonly #hooks: FileHooks;

  constructor(cached: CachedParts, memory: MemoryChooser | undefined, hooks: FileHooks) {
    this.#cached = cached;
    this.#memory = memory;
    this.#hooks = hooks;
  }

  fetch(name: string): Promise<Content> {
    if (PACK_FILES.has(name)) return this.#pack(name as PackFile);
    const section = SECTION_FILES.get(name);
    if (section !== undefined) return this.#section(name, section);
    if (name === 'swap/index.jsonl') return this.#swapIndex();
    if (name === 'dedup/index.jsonl') return this.#dedupIndex();
    if (name.startsWith('swap/chunk/')) return this.#chunk(name.slice('swap/chunk/'.length));
    if (name.startsWith('dedup/blob/')) return this.#blob(name.slice('dedup/blob/'.length));
    return Promise.reject(
      new CtxError('derive.unknown', 'ENOENT', 'no such derived file', {
        where: name,
        next: `name a file of context/, such as ${[...PACK_FILES].join(', ')}`,
      }),
    );
  }

  /** Every line of the history is read and understood. */
  async ready(): Promise<void> {
    const { history, pack } = this.#cached.now;
    // Before any block is folded: contributions come before the blocks that follow them.
    history.contributionLog.update();
    await history.prepare(() => pack.ahead());
    history.contributionLog.update();
  }

  /** The pack is folded as far as the order log goes. */
  async advancePack(): Promise<void> {
    try {
      await this.#advanceNow();
    } catch (error) {
      // IDX-5: the damaged segment is gone; it is built again, and the pack is folded with it.
      if (!(error instanceof CtxError) || error.code !== DAMAGED) throw error;
      this.#hooks.log(`derive.index: ${error.message}`);
      await this.#advanceNow();
    }
  }

  async #advanceNow(): Promise<void> {
    await this.ready();
    await this.#chooseMemory();
    const { history, pack, swap } = this.#cached.now;
    // As of now: what is committed while the fold gives way to others is not in it.
    const revision = history.log.revision();
    await pack.advance(history.log.length);
    this.#cached.stamp = { revision, version: pack.version };
    swap.cut = pack.epoch?.cut ?? 1;
  }

  /** In its own time: the pack goes on without it when it takes long. */
  async #chooseMemory(): Promise<void> {
    const { history, folds } = this.#cached.now;
    await this.#memory?.choose({
      history,
      todo: (limitBytes) => {
        const position = { line: history.messages.lines, eventLine: history.log.last()?.eventLines ?? 0, order: history.log.length };
        return folds.text('todo', position.line + 1, position, limitBytes);
      },
      record: (versions) => {
        if (!this.#hooks.isClosed()) this.#cached.now.history.log.recordInputs(versions, this.#hooks.now());
      },
    });
  }

  async #pack(name: PackFile): Promise<Content> {
    const { engine, history, pack } = this.#cached.now;
    const inputs = (): readonly InputVersion[] => {
      const { version } = this.#cached.stamp;
      return [{ name: 'pack', version, changed: (was) => packChange(was, version, pack.epoch?.reason ?? '') }];
    };
    if (this.#cached.stamp.revision === history.log.revision() && this.#memory?.isDue !== true) {
      const fresh = engine.fresh(name, inputs());
      if (fresh !== undefined) {
        if (pack.epoch === undefined) this.#hooks.packAsked();
        return fresh;
      }
    }
    this.#hooks.packAsked();
    await this.advancePack();
    // Someone deleted the epoch's files under us: fold the epoch again, into new ones.
    if (!pack.intact) {
      pack.reset();
      await this.advancePack();
    }
    return engine.fetch({ name, inputs, run: () => pack.content(name) });
  }

  /** The file shows everything there is now; the pack's sections show what lies below its cut. */
  async #section(name: string, kind: SectionKind): Promise<Content> {
    await this.ready();
    const { engine, history, folds, blobs } = this.#cached.now;
    const { lines } = history.messages;
    return engine.fetch({
      name,
      inputs: () => [
        messagesInput(lines),
        contributionsInput(history.contributions().length),
        ...(kind === 'refs'
          ? [{ name: 'children', version: this.#childrenVersion(), changed: () => 'files of a child agent changed' }]
          : []),
      ],
      run: () => {
        const position = { line: lines, eventLine: history.log.last()?.eventLines ?? 0, order: history.log.length };
        const text =
          kind === 'refs' ? folds.refsFile(lines + 1, position, childRefRows(this.#children())) : folds.text(kind, lines + 1, position);
        return blobs.content(text, this.#timeMs());
      },
    });
  }

  /** Files of children as recorded, by path. */
  #childFiles(): readonly (readonly [path: string, digest: string])[] {
    return [...this.#cached.now.history.log.inputsAsOf()].filter(([path]) => path.startsWith('context/child/'));
  }

  #childrenVersion(): string {
    const files = this.#childFiles();
    return files.length === 0 ? 'none' : `${files.length} files ${digestOf(JSON.stringify(files)).slice(7, 19)}`;
  }

  #children(): readonly ChildView[] {
    const { history } = this.#cached.now;
    // A damaged one counts as missing: what is lost does not take the rest with it.
    const files = this.#childFiles().map(([path, digest]) => [path, history.input(path, digest)] as const);
    return readChildren(new Map(files.filter((file): file is readonly [string, Buffer] => file[1] !== undefined)));
  }

  async #swapIndex(): Promise<Content> {
    await this.advancePack();
    const { engine, swap } = this.#cached.now;
    return engine.fetch({
      name: 'swap/index.jsonl',
      inputs: () => [
        { name: 'cut', version: `${swap.cut}`, changed: (was) => `the pack's tail now begins at message ${swap.cut} (before: ${was})` },
      ],
      run: () => swap.index(swap.cut, this.#timeMs()),
    });
  }

  async #dedupIndex(): Promise<Content> {
    await this.ready();
    const { engine, history, swap } = this.#cached.now;
    return engine.fetch({
      name: 'dedup/index.jsonl',
      inputs: () => [messagesInput(history.messages.lines)],
      run: () => swap.dedupIndex(this.#timeMs()),
    });
  }

  async #chunk(id: string): Promise<Content> {
    await this.ready();
    let found = this.#cached.now.swap.chunk(id);
    if (found === undefined) {
      await this.advancePack();
      found = this.#cached.now.swap.chunk(id);
    }
    if (found === undefined) throw new CtxError('swap.unknown', 'ENOENT', 'no such chunk', { where: `context/swap/chunk/${id}` });
    return { ...found, modifiedMs: this.#timeMs() };
  }

  async #blob(id: string): Promise<Content> {
    await this.ready();
    const found = this.#cached.now.swap.blob(id, this.#timeMs());
    if (found === undefined) throw new CtxError('dedup.unknown', 'ENOENT', 'no such content', { where: `context/dedup/blob/${id}` });
    return found;
  }

  #timeMs(): number {
    return this.#cached.now.history.log.last()?.timeMs ?? 0;
  }
}
