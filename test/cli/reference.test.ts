import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { CtxError } from '../../src/abi/errors.ts';
import { isObjectName, sessionRelativePath } from '../../src/abi/names.ts';
import { parseReference, referenceOf, type Where } from '../../src/cli/reference.ts';

const where: Where = { root: '/ctx', cwd: '/srv', uid: 1000 };
const name = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9._+-]{0,20}$/).filter(isObjectName);

describe('session references', () => {
  it('AGENT/SESSION names a session in the home of the caller', () => {
    expect(parseReference('coder/default', where)).toEqual({
      session: { owner: { home: 1000 }, agent: 'coder', session: 'default' },
      path: 'home/1000/agent/coder/session/default',
      rest: '',
    });
  });

  it('session: makes a reference explicit', () => {
    expect(parseReference('session:coder/default', where)).toEqual(parseReference('coder/default', where));
  });

  it('a path on the mount names its session, and the file below it', () => {
    const { path, rest } = parseReference('/ctx/shared/team/agent/rev/session/s1/context/pack.json', where);
    expect([path, rest]).toEqual(['shared/team/agent/rev/session/s1', 'context/pack.json']);
  });

  it('. names the session that the working directory lies in', () => {
    const inside = { ...where, cwd: '/ctx/home/1000/agent/coder/session/default/context' };
    expect(parseReference('.', inside)).toMatchObject({ path: 'home/1000/agent/coder/session/default', rest: 'context' });
    expect(parseReference('..', inside)).toMatchObject({ path: 'home/1000/agent/coder/session/default', rest: '' });
    expect(parseReference('./pack.json', inside)).toMatchObject({ rest: 'context/pack.json' });
  });

  it('a path below the mount point may be written without it', () => {
    expect(parseReference('shared/team/agent/rev/session/s1', where).path).toBe('shared/team/agent/rev/session/s1');
  });

  it.each([
    '',
    'coder',
    'coder/',
    '/etc/passwd',
    '.',
    '../x',
    'a/b/c',
    'image:base',
    'coder/x.sock',
    'session:.',
    '/ctx/status',
    '-a/b',
    'coder/..',
  ])('%j names no session and is a usage error', (text) => {
    const error = attempt(() => parseReference(text, where));
    expect(error).toBeInstanceOf(CtxError);
    expect((error as CtxError).code).toBe('cli.reference');
  });

  it('every session is found again by the reference written for it, whoever asks', () => {
    const owner = fc.oneof(
      fc.nat(5).map((home) => ({ home })),
      name.map((shared) => ({ shared })),
    );
    const law = fc.property(owner, name, name, fc.nat(5), (of, agent, session, uid) => {
      const path = { owner: of, agent, session };
      expect(parseReference(referenceOf(path, uid), { ...where, uid }).session).toEqual(path);
      expect(parseReference(`/ctx/${sessionRelativePath(path)}/x/y`, { ...where, uid })).toMatchObject({ session: path, rest: 'x/y' });
    });
    fc.assert(law);
  });

  it('no text makes a reference lead out of the tree', () => {
    const law = fc.property(
      fc.array(fc.constantFrom('..', '.', '', 'ctx', 'home', '0', 'agent', 'a', 'session', 's', 'shared'), { maxLength: 12 }),
      (parts) => {
        const found = attempt(() => parseReference(parts.join('/'), where));
        if (found instanceof CtxError) return;
        const { path, rest } = found as { path: string; rest: string };
        expect(`${path}/${rest}`.split('/')).not.toContain('..');
      },
    );
    fc.assert(law);
  });
});

function attempt(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}
