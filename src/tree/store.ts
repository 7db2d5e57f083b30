// The backing directory as the tree sees it: where things lie, and one node for each place.
import * as fs from 'node:fs';
import { isObjectName } from '../abi/names.ts';
import { initialControls } from '../session/controls.ts';
import { lstatOrFail, toAttr } from './backing.ts';
import { OrdinaryArea } from './ordinary.ts';
import type { OrdinaryNode, PathParent } from './ordinary.ts';
import { SessionDirectory } from './session-dir.ts';
import type { Sessions } from './sessions.ts';
import { fail, S_IFDIR, TreeNode } from './types.ts';
import type { Attr, Caller } from './types.ts';
import { WikiArea } from './wiki-area.ts';

export class Store {
  readonly root: string;
  readonly sessions: Sessions;
  readonly isRoot: boolean = process.getuid?.() === 0;
  /** One inode table for everything ordinary outside sessions: hard links and renames may cross it. */
  readonly area: OrdinaryArea;
  readonly #sessionNodes: Map<string, SessionDirectory> = new Map();

  constructor(root: string, sessions: Sessions) {
    this.root = root;
    this.sessions = sessions;
    this.area = new OrdinaryArea(sessions.options.deriver);
    for (const name of ['home', 'shared', 'agent', 'tool']) fs.mkdirSync(`${root}/${name}`, { recursive: true, mode: 0o755 });
  }

  sessionNode(directory: string): SessionDirectory {
    let node = this.#sessionNodes.get(directory);
    if (node === undefined) this.#sessionNodes.set(directory, (node = new SessionDirectory(this.sessions.get(directory))));
    return node;
  }

  /** `wiki/` of a home or a shared space. `place`: its directory in the store. */
  wikiNode(parent: PathParent, place: string): OrdinaryNode {
    const node = this.area.nodeAt(parent, 'wiki', lstatOrFail(`${place}/wiki`));
    if (node.type === S_IFDIR)
      node.wiki ??= new WikiArea(this.sessions.options.deriver.wiki, this.root, `${place.slice(this.root.length + 1)}/wiki`);
    return node;
  }

  forgetSession(directory: string): void {
    this.#sessionNodes.delete(directory);
    this.sessions.remove(this.sessions.get(directory));
  }

  own(path: string, uid: number, gid: number): void {
    if (this.isRoot) fs.lchownSync(path, uid, gid);
  }

  makeDirectory(path: string, mode: number, uid: number, gid: number): void {
    fs.mkdirSync(path, { mode });
    this.own(path, uid, gid);
    fs.chmodSync(path, mode);
  }

  /** The agent and its session/, as mkdir would have made them. `directory`: of the session. */
  makeAgent(directory: string, caller: Caller): void {
    const sessions = directory.slice(0, directory.lastIndexOf('/'));
    const agent = sessions.slice(0, sessions.lastIndexOf('/'));
    const { uid, gid } = directory.startsWith(`${this.root}/home/`)
      ? fs.lstatSync(agent.slice(0, agent.lastIndexOf('/')))
      : { uid: caller.uid, gid: caller.gid };
    for (const path of [agent, sessions]) if (!fs.existsSync(path)) this.makeDirectory(path, 0o755, uid, gid);
  }

  /** A whole session at once: made aside, filled there, then renamed, so that nobody meets half of one, whatever ends the daemon. */
  makeSession(directory: string, mode: number, caller: Caller, cwd: string, fill: (aside: string) => void = () => {}): void {
    const parent = directory.slice(0, directory.lastIndexOf('/'));
    const owner = fs.lstatSync(parent);
    const aside = `${parent}/.new-${process.pid}-${Date.now().toString(36)}-${Math.floor(Math.random() * 1e9).toString(36)}`;
    const [uid, gid] = directory.startsWith(`${this.root}/home/`) ? [owner.uid, owner.gid] : [caller.uid, caller.gid];
    try {
      this.makeDirectory(aside, mode, uid, gid);
      for (const name of ['context', 'context/pinned', 'context/child']) this.makeDirectory(`${aside}/${name}`, mode | 0o700, uid, gid);
      const files = new Map<string, string>([['messages.jsonl', ''], ['events.jsonl', ''], ...initialControls(Date.now(), cwd)]);
      for (const [name, content] of files) {
        fs.writeFileSync(`${aside}/${name}`, content, { mode: 0o666 & mode, flag: 'wx' });
        this.own(`${aside}/${name}`, uid, gid);
      }
      fill(aside);
      fs.renameSync(aside, directory);
    } catch (error) {
      fs.rmSync(aside, { recursive: true, force: true });
      throw error;
    }
  }
}

/** A directory with a backing directory whose children have a meaning. */
export abstract class PlaceNode extends TreeNode {
  readonly store: Store;
  readonly backing: string;

  constructor(store: Store, backing: string) {
    super();
    this.store = store;
    this.backing = backing;
  }
  attr(): Attr {
    return toAttr(lstatOrFail(this.backing));
  }
}

export function checkObjectName(name: string): void {
  if (!isObjectName(name))
    throw fail('EINVAL', `${JSON.stringify(name)} is not a name: letters, digits and . _ + -, at most 64, starting with a letter or digit`);
}
