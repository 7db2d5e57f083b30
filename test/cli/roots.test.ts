import { describe, expect, it } from 'vitest';

import { mountRoot, storeRoot } from '../../src/cli/roots.ts';
import type { Shell } from '../../src/cli/shell.ts';

function shell(uid: number, env: NodeJS.ProcessEnv): Shell {
  return { uid, env, terminal: undefined as never, exit: () => undefined };
}

describe('default places', () => {
  it('root mounts at /ctx and stores in /var/lib/ctxfs', () => {
    const root = shell(0, { HOME: '/root', XDG_DATA_HOME: '/elsewhere' });
    expect([mountRoot(root), storeRoot(root)]).toEqual(['/ctx', '/var/lib/ctxfs']);
  });

  it('a user mounts at ~/ctx and stores in the XDG data directory', () => {
    expect(mountRoot(shell(7, { HOME: '/home/u' }))).toBe('/home/u/ctx');
    expect(storeRoot(shell(7, { HOME: '/home/u' }))).toBe('/home/u/.local/share/ctxfs');
    expect(storeRoot(shell(7, { HOME: '/home/u', XDG_DATA_HOME: '/data' }))).toBe('/data/ctxfs');
  });

  it('a relative or empty XDG_DATA_HOME is ignored', () => {
    for (const value of ['', 'data'])
      expect(storeRoot(shell(7, { HOME: '/home/u', XDG_DATA_HOME: value }))).toBe('/home/u/.local/share/ctxfs');
  });

  it('CTX_ROOT and CTX_STORE come before the defaults, and options before both', () => {
    const set = shell(0, { CTX_ROOT: '/r', CTX_STORE: '/s' });
    expect([mountRoot(set), storeRoot(set)]).toEqual(['/r', '/s']);
    expect([mountRoot(set, '/x'), storeRoot(set, '/y')]).toEqual(['/x', '/y']);
    expect(mountRoot(shell(0, { CTX_ROOT: '' }))).toBe('/ctx');
  });
});
