// Packages that take long to load, loaded when they are first used: a daemon, and most verbs, start without them.
// Not libsql: its loader asks Node for a report, which waits for every thread, and a serving thread may be in read(2) for ever.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

export const loadAjv = (): typeof import('ajv') => require('ajv') as typeof import('ajv');
export const loadCroner = (): typeof import('croner') => require('croner') as typeof import('croner');
export const loadTarStream = (): typeof import('tar-stream') => require('tar-stream') as typeof import('tar-stream');
export const loadYaml = (): typeof import('yaml') => require('yaml') as typeof import('yaml');
