// Which addresses are of the public internet. A public registry sends nobody to loopback or into a private network (IMG-57).
import { lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { registryError } from './failures.ts';

export function isPublicAddress(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'unicast';
}

export function isLoopbackHost(host: string): boolean {
  const bare = bareHost(host);
  if (isIP(bare) !== 0) return ipaddr.process(bare).range() === 'loopback';
  return bare === 'localhost' || bare.endsWith('.localhost');
}

/** Without the brackets of an IPv6 literal. */
export function bareHost(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1) : host;
}

/** Judged where it is connected to: a name that changes its address between two look-ups gains nothing. */
export function publicLookup(isPublic: (address: string) => boolean, where: string): LookupFunction {
  return (host, options, done) => {
    systemLookup(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return done(error, '');
      const inside = addresses.find(({ address }) => !isPublic(address));
      if (inside !== undefined) return done(insideNetwork(where, inside.address), '');
      if (options.all === true) return done(null, addresses);
      const [first] = addresses;
      return first === undefined ? done(insideNetwork(where, 'nowhere'), '') : done(null, first.address, first.family);
    });
  };
}

/** As what a look-up fails with. */
export function insideNetwork(where: string, address: string): NodeJS.ErrnoException {
  const error: Error = registryError('redirect', 'EACCES', `leads from a public registry to ${address}, which is not public`, where);
  return error;
}
