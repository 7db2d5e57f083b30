// The composition root: every verb, in the order that help shows them. A verb is loaded when it is asked for: all of them
// together cost a third of a second.
import { Command } from 'commander';

import { examples, type RegisterVerb, type Shell } from './shell.ts';

type LoadVerb = () => Promise<RegisterVerb>;

const VERBS: Readonly<Record<string, LoadVerb>> = {
  mount: async () => (await import('./mount.ts')).registerMount,
  umount: async () => (await import('./umount.ts')).registerUmount,
  status: async () => (await import('./status.ts')).registerStatus,
  ls: async () => (await import('./ls.ts')).registerLs,
  new: async () => (await import('./new.ts')).registerNew,
  append: async () => (await import('./append.ts')).registerAppend,
  cat: async () => (await import('./cat.ts')).registerCat,
  pack: async () => (await import('./pack.ts')).registerPack,
  explain: async () => (await import('./explain.ts')).registerExplain,
  inspect: async () => (await import('./inspect.ts')).registerInspect,
  search: async () => (await import('./search.ts')).registerSearch,
  run: async () => (await import('./run.ts')).registerRun,
  resume: async () => (await import('./resume.ts')).registerResume,
  compact: async () => (await import('./compact.ts')).registerCompact,
  model: async () => (await import('./model.ts')).registerModel,
  engine: async () => (await import('./engine.ts')).registerEngine,
  wiki: async () => (await import('./wiki.ts')).registerWiki,
  gate: async () => (await import('./gate.ts')).registerGate,
  build: async () => (await import('./build.ts')).registerBuild,
  images: async () => (await import('./images.ts')).registerImages,
  ps: async () => (await import('./ps.ts')).registerPs,
  commit: async () => (await import('./commit.ts')).registerCommit,
  rebuild: async () => (await import('./rebuild.ts')).registerRebuild,
  key: async () => (await import('./key.ts')).registerKey,
  sign: async () => (await import('./sign.ts')).registerSign,
  verify: async () => (await import('./verify.ts')).registerVerify,
  tag: async () => (await import('./tag.ts')).registerTag,
  history: async () => (await import('./history.ts')).registerHistory,
  diff: async () => (await import('./diff.ts')).registerDiff,
  import: async () => (await import('./import.ts')).registerImport,
  follow: async () => (await import('./follow.ts')).registerFollow,
  export: async () => (await import('./export.ts')).registerExport,
  fork: async () => (await import('./fork.ts')).registerFork,
  archive: async () => (await import('./archive.ts')).registerArchive,
  rm: async () => (await import('./rm.ts')).registerRm,
  push: async () => (await import('./push.ts')).registerPush,
  pull: async () => (await import('./pull.ts')).registerPull,
  login: async () => (await import('./login.ts')).registerLogin,
  logout: async () => (await import('./logout.ts')).registerLogout,
  evict: async () => (await import('./evict.ts')).registerEvict,
  gc: async () => (await import('./gc.ts')).registerGc,
  fsck: async () => (await import('./fsck.ts')).registerFsck,
  doctor: async () => (await import('./doctor.ts')).registerDoctor,
  completion: async () => (await import('./completion.ts')).registerCompletion,
};

/** With the verbs that the command line `args` is about: the one it names, none for the version, all for help and what is misspelt. */
export async function createProgram(shell: Shell, version: string, args: readonly string[]): Promise<Command> {
  const program = new Command('ctx')
    .description('A filesystem in which a conversation is source and its context is a build product.')
    .version(version, '-V, --version')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: false })
    .addHelpText(
      'after',
      examples(
        ['ctx mount', 'mount the store'],
        ['ctx new coder/default', 'make a session'],
        ['ctx append coder/default "hello"', 'add a message'],
        ['ctx pack coder/default', 'see what fills the context'],
      ) +
        `
Sessions are named AGENT/SESSION, session:AGENT/SESSION, by their path on the mount, or . inside one.
Environment: CTX_ROOT (mount point), CTX_STORE (backing directory), NO_COLOR.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not mounted, 4 not found, 5 problems found (fsck, doctor, lint, gate).
`,
    );
  const [verb = ''] = args;
  const all = verb === '-V' || verb === '--version' ? [] : Object.values(VERBS);
  const named = Object.hasOwn(VERBS, verb) && verb !== 'completion' ? [VERBS[verb] as LoadVerb] : all;
  for (const register of await Promise.all(named.map(async (load) => load()))) register(program, shell);
  return program;
}
