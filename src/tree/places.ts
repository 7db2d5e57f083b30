// home/<uid>/agent/<agent>/session/<session>, and the same below shared/<name>.
import * as fs from 'node:fs';
import { isObjectName, isReservedSession, isUidName, STARTING_AGENT } from '../abi/names.ts';
import { bytePath, isDirectory, lstat, lstatOrFail, restoreDirectory } from './backing.ts';
import { ImagesDirectory } from './image-dir.ts';
import { inodeKey, OrdinaryNode } from './ordinary.ts';
import type { PathParent } from './ordinary.ts';
import { SessionIndex } from './session-index.ts';
import { checkObjectName, PlaceNode } from './store.ts';
import type { Store } from './store.ts';
import { DirectoryHandle, fail, S_IFDIR, TreeNode } from './types.ts';
import type { Attr, Caller, DirectoryEntry } from './types.ts';

function directories(names: readonly string[]): readonly DirectoryEntry[] {
  return names.map((name) => ({ name, type: S_IFDIR, ino: 0xffff_ffff }));
}

/** `home/`: anyone may make the directory of their own uid, nothing else. */
export class HomeDirectory extends PlaceNode {
  readonly #users: Map<string, UserDirectory> = new Map();

  override attr(): Attr {
    return { ...super.attr(), mode: S_IFDIR | 0o1777 };
  }
  override lookup(name: string): TreeNode {
    if (!isUidName(name) || !isDirectory(`${this.backing}/${name}`)) throw fail('ENOENT', 'no such home');
    let node = this.#users.get(name);
    if (node === undefined) this.#users.set(name, (node = new UserDirectory(this.store, `${this.backing}/${name}`)));
    return node;
  }
  override mkdir(name: string, _mode: number, caller: Caller): TreeNode {
    if (!isUidName(name)) throw fail('EINVAL', 'a home is named by its uid');
    if (caller.uid !== 0 && name !== String(caller.uid)) throw fail('EPERM', 'a home belongs to its uid');
    if (lstat(`${this.backing}/${name}`) !== undefined) throw fail('EEXIST', 'exists');
    makeHome(this.store, Number(name), caller.uid === Number(name) ? caller.gid : Number(name));
    return this.lookup(name);
  }
  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return directories(fs.readdirSync(this.backing).filter(isUidName));
  }
}

const HOME_DIRECTORIES = ['agent', 'wiki', 'image'] as const;

export function makeHome(store: Store, uid: number, gid: number): void {
  // Made aside, then renamed: a crash in between leaves no half of a home.
  const aside = `${store.root}/home/.new-${process.pid}-${uid}-${Date.now()}`;
  try {
    store.makeDirectory(aside, 0o700, uid, gid);
    for (const name of HOME_DIRECTORIES) store.makeDirectory(`${aside}/${name}`, 0o755, uid, gid);
    fs.renameSync(aside, `${store.root}/home/${uid}`);
  } catch (error) {
    fs.rmSync(aside, { recursive: true, force: true });
    throw error;
  }
}

/** `home/<uid>`: agent/, wiki/, image/; mode 0700. */
class UserDirectory extends PlaceNode implements PathParent {
  readonly #agents: AgentsDirectory;
  readonly #images: ImagesDirectory;

  constructor(store: Store, backing: string) {
    super(store, backing);
    for (const name of HOME_DIRECTORIES) restoreDirectory(`${backing}/${name}`);
    this.#agents = new AgentsDirectory(store, `${backing}/agent`);
    this.#images = new ImagesDirectory(store, `${backing}/image`);
  }
  path(): string {
    return bytePath(this.backing);
  }
  changed(): void {}
  override attr(): Attr {
    return { ...super.attr(), mode: S_IFDIR | 0o700 };
  }
  override lookup(name: string): TreeNode {
    if (name === 'agent') return this.#agents;
    if (name === 'image') return this.#images;
    if (name === 'wiki') return this.store.wikiNode(this, this.backing);
    throw fail('ENOENT', 'no such directory');
  }
  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return directories(['agent', 'image', 'wiki']);
  }
}

/** `agent/` of a home or a shared space. */
export class AgentsDirectory extends PlaceNode {
  readonly #agents: Map<string, AgentDirectory> = new Map();

  override lookup(name: string): TreeNode {
    if ((!isObjectName(name) && name !== STARTING_AGENT) || !isDirectory(`${this.backing}/${name}`)) {
      this.#agents.delete(name);
      throw fail('ENOENT', 'no such agent');
    }
    let node = this.#agents.get(name);
    if (node === undefined) this.#agents.set(name, (node = new AgentDirectory(this.store, `${this.backing}/${name}`)));
    return node;
  }
  override mkdir(name: string, mode: number, caller: Caller): TreeNode {
    checkObjectName(name);
    const owner = lstatOrFail(this.backing);
    const [uid, gid] = this.backing.startsWith(`${this.store.root}/home/`)
      ? [Number(owner.uid), Number(owner.gid)]
      : [caller.uid, caller.gid];
    this.store.makeDirectory(`${this.backing}/${name}`, mode & 0o7777, uid, gid);
    this.store.makeDirectory(`${this.backing}/${name}/session`, mode & 0o7777, uid, gid);
    return this.lookup(name);
  }
  override rmdir(name: string): void {
    this.lookup(name);
    const sessions = `${this.backing}/${name}/session`;
    if (fs.existsSync(sessions)) fs.rmdirSync(sessions);
    fs.rmdirSync(`${this.backing}/${name}`);
    this.#agents.delete(name);
  }
  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return directories(fs.readdirSync(this.backing).filter(isObjectName));
  }
}

/** `agent/<agent>`: holds `session/`. */
class AgentDirectory extends PlaceNode {
  readonly #sessions: SessionsDirectory;
  constructor(store: Store, backing: string) {
    super(store, backing);
    restoreDirectory(`${backing}/session`);
    this.#sessions = new SessionsDirectory(store, `${backing}/session`);
  }
  override lookup(name: string): TreeNode {
    if (name !== 'session') throw fail('ENOENT', 'an agent has session/ only');
    if (!isDirectory(`${this.backing}/session`)) throw fail('ENOENT', 'no such directory');
    return this.#sessions;
  }
  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return directories(['session']);
  }
}

/** `session/`: mkdir makes a whole session; rm -r of one is refused. */
class SessionsDirectory extends PlaceNode {
  #index: SessionIndex | undefined;
  #listed: { readonly mtime: string; readonly entries: readonly DirectoryEntry[] } | undefined;

  override lookup(name: string): TreeNode {
    if (isReservedSession(name)) return this.#indexes().directory;
    const path = `${this.backing}/${name}`;
    if (!isObjectName(name) || !isDirectory(path)) throw fail('ENOENT', 'no such session');
    return this.store.sessionNode(path);
  }
  #indexes(): SessionIndex {
    return (this.#index ??= new SessionIndex(this.backing, this.attr(), this.store.sessions));
  }
  override mkdir(name: string, mode: number, caller: Caller): TreeNode {
    checkObjectName(name);
    if (isReservedSession(name) || lstat(`${this.backing}/${name}`) !== undefined) throw fail('EEXIST', 'exists');
    this.store.makeSession(`${this.backing}/${name}`, mode & 0o777, caller, callerDirectory(caller));
    return this.lookup(name);
  }
  override rmdir(name: string): void {
    this.lookup(name);
    throw fail('EPERM', 'history is removed with `ctx rm` or `ctx archive` only');
  }
  override rename(name: string, parent: TreeNode, newName: string, flags: number): void {
    const node = this.lookup(name);
    if (parent !== this || isReservedSession(name) || isReservedSession(newName))
      throw fail('EPERM', 'a session is renamed inside its agent only');
    checkObjectName(newName);
    if (lstat(`${this.backing}/${newName}`) !== undefined) throw fail((flags & 1) !== 0 ? 'EEXIST' : 'ENOTEMPTY', 'that session exists');
    const directory = `${this.backing}/${name}`;
    if (this.store.sessions.get(directory).handles > 0) throw fail('EBUSY', 'a journal of this session is open');
    this.store.forgetSession(directory);
    node.lookups = 0;
    fs.renameSync(directory, `${this.backing}/${newName}`);
  }
  override opendir(): DirectoryHandle {
    // The kernel keeps the listing while the backing directory has not changed.
    return new DirectoryHandle(this, { cacheDir: true, keepCache: this.#listed?.mtime === this.#mtime() });
  }
  #mtime(): string {
    return String(lstatOrFail(this.backing).mtimeNs);
  }
  override readdir(): readonly DirectoryEntry[] {
    const mtime = this.#mtime();
    if (this.#listed?.mtime === mtime) return this.#listed.entries;
    const names = fs.readdirSync(this.backing).filter(isObjectName);
    const session = (name: string): DirectoryEntry => ({
      name,
      type: S_IFDIR,
      ino: 0xffff_ffff,
      node: () => this.store.sessionNode(`${this.backing}/${name}`),
    });
    const entries = [...directories(['index']), ...names.map(session)];
    this.#listed = { mtime, entries };
    return entries;
  }
}

/** Working directory of whoever makes a session; `/` when it cannot be seen. */
function callerDirectory(caller: Caller): string {
  try {
    const cwd = fs.readlinkSync(`/proc/${caller.pid}/cwd`);
    return cwd.startsWith('/') && !cwd.includes('\n') && !cwd.endsWith(' (deleted)') ? cwd : '/';
  } catch {
    return '/';
  }
}

/** `shared/`: anyone may make a space; inside it `agent/` holds sessions, `image/` images, and the rest is ordinary. */
export class SharedDirectory extends PlaceNode implements PathParent {
  readonly #spaces: Map<string, SharedSpace> = new Map();

  path(): string {
    return bytePath(this.backing);
  }
  changed(): void {}
  override attr(): Attr {
    return { ...super.attr(), mode: S_IFDIR | 0o1777 };
  }
  override lookup(name: string): TreeNode {
    const stat = isObjectName(name) ? lstat(`${this.backing}/${name}`) : undefined;
    if (stat?.isDirectory() !== true) throw fail('ENOENT', 'no such shared space');
    const key = inodeKey(stat);
    let space = this.#spaces.get(name);
    if (space === undefined || space.key !== key) {
      space = new SharedSpace(this.store, key, this, name);
      this.#spaces.set(name, space);
    }
    return space;
  }
  override mkdir(name: string, mode: number, caller: Caller): TreeNode {
    checkObjectName(name);
    this.store.makeDirectory(`${this.backing}/${name}`, mode & 0o7777, caller.uid, caller.gid);
    return this.lookup(name);
  }
  override rmdir(name: string): void {
    this.lookup(name);
    fs.rmdirSync(`${this.backing}/${name}`);
    this.#spaces.delete(name);
  }
  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return directories(fs.readdirSync(this.backing).filter(isObjectName));
  }
}

class SharedSpace extends OrdinaryNode {
  readonly #store: Store;
  readonly #backing: string;
  #agents: AgentsDirectory | undefined;
  #images: ImagesDirectory | undefined;

  constructor(store: Store, key: string, parent: PathParent, name: string) {
    super(store.area, key, S_IFDIR, parent, name);
    this.#store = store;
    this.#backing = `${store.root}/shared/${name}`;
  }
  override lookup(name: string): TreeNode {
    if (name === 'wiki') return this.#store.wikiNode(this, this.#backing);
    if (!this.reserves(name)) return super.lookup(name);
    const path = `${this.#backing}/${name}`;
    if (!isDirectory(path)) throw fail('ENOENT', 'no such directory');
    return name === 'agent'
      ? (this.#agents ??= new AgentsDirectory(this.#store, path))
      : (this.#images ??= new ImagesDirectory(this.#store, path));
  }
  override mkdir(name: string, mode: number, caller: Caller): TreeNode {
    const made = super.mkdir(name, mode, caller);
    return this.reserves(name) ? this.lookup(name) : made;
  }
  /** Only mkdir makes `agent/`, `wiki/` and `image/`: what is below them is read by a process that may read more than their owner. */
  protected override reserves(name: string): boolean {
    return name === 'agent' || name === 'wiki' || name === 'image';
  }
  override readdir(): readonly DirectoryEntry[] {
    return super.readdir().map((entry) => (this.reserves(entry.name) ? { ...entry, node: () => this.lookup(entry.name) } : entry));
  }
}
