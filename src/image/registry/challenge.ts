// WWW-Authenticate (RFC 9110, section 11.6.1), as far as registries use it.

export type Challenge =
  { readonly scheme: 'basic' } | { readonly scheme: 'bearer'; readonly realm: string; readonly service: string | undefined };

const PARAMETER = /([a-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/giy;

/** Bearer is preferred to Basic; undefined when neither is offered. */
export function parseChallenge(header: string | undefined): Challenge | undefined {
  if (header === undefined || header.length > 8192) return undefined;
  const bearer = /(?:^|,\s*)bearer\s+/i.exec(header);
  if (bearer !== null) {
    const parameters = parametersOf(header, bearer.index + bearer[0].length);
    const realm = parameters.get('realm');
    if (realm !== undefined) return { scheme: 'bearer', realm, service: parameters.get('service') };
  }
  return /(?:^|,\s*)basic\b/i.test(header) ? { scheme: 'basic' } : undefined;
}

function parametersOf(header: string, from: number): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  PARAMETER.lastIndex = from;
  for (;;) {
    const match = PARAMETER.exec(header);
    if (match === null) return found;
    const [, name = '', quoted, bare = ''] = match;
    if (!found.has(name.toLowerCase())) found.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? bare);
    const at = PARAMETER.lastIndex;
    const comma = /^\s*,\s*/.exec(header.slice(at, at + 64));
    if (comma === null) return found;
    PARAMETER.lastIndex = at + comma[0].length;
  }
}
