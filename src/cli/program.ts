// The composition root: every verb, in the order that help shows them.
import { Command } from 'commander';

import { registerAppend } from './append.ts';
import { registerArchive } from './archive.ts';
import { registerBuild } from './build.ts';
import { registerCat } from './cat.ts';
import { registerCommit } from './commit.ts';
import { registerCompact } from './compact.ts';
import { registerCompletion } from './completion.ts';
import { registerDiff } from './diff.ts';
import { registerDoctor } from './doctor.ts';
import { registerEngine } from './engine.ts';
import { registerEvict } from './evict.ts';
import { registerExplain } from './explain.ts';
import { registerExport } from './export.ts';
import { registerFollow } from './follow.ts';
import { registerFork } from './fork.ts';
import { registerFsck } from './fsck.ts';
import { registerGate } from './gate.ts';
import { registerGc } from './gc.ts';
import { registerHistory } from './history.ts';
import { registerImages } from './images.ts';
import { registerImport } from './import.ts';
import { registerInspect } from './inspect.ts';
import { registerLogin } from './login.ts';
import { registerLogout } from './logout.ts';

import { registerKey } from './key.ts';
import { registerLs } from './ls.ts';
import { registerModel } from './model.ts';
import { registerMount } from './mount.ts';
import { registerNew } from './new.ts';
import { registerPack } from './pack.ts';
import { registerPs } from './ps.ts';
import { registerPull } from './pull.ts';
import { registerPush } from './push.ts';
import { registerRebuild } from './rebuild.ts';
import { registerResume } from './resume.ts';
import { registerRm } from './rm.ts';
import { registerRun } from './run.ts';
import { registerSearch } from './search.ts';
import { examples, type RegisterVerb, type Shell } from './shell.ts';
import { registerSign } from './sign.ts';
import { registerStatus } from './status.ts';
import { registerTag } from './tag.ts';
import { registerUmount } from './umount.ts';
import { registerVerify } from './verify.ts';
import { registerWiki } from './wiki.ts';

const VERBS: readonly RegisterVerb[] = [
  registerMount,
  registerUmount,
  registerStatus,
  registerLs,
  registerNew,
  registerAppend,
  registerCat,
  registerPack,
  registerExplain,
  registerInspect,
  registerSearch,
  registerRun,
  registerResume,
  registerCompact,
  registerModel,
  registerEngine,
  registerWiki,
  registerGate,
  registerBuild,
  registerImages,
  registerPs,
  registerCommit,
  registerRebuild,
  registerKey,
  registerSign,
  registerVerify,
  registerTag,
  registerHistory,
  registerDiff,
  registerImport,
  registerFollow,
  registerExport,
  registerFork,
  registerArchive,
  registerRm,
  registerPush,
  registerPull,
  registerLogin,
  registerLogout,
  registerEvict,
  registerGc,
  registerFsck,
  registerDoctor,
  registerCompletion,
];

export function createProgram(shell: Shell, version: string): Command {
  const program = new Command('ctx')
    .description('A filesystem in which a conversation is source and its context is a build product.')
    .version(version, '-V, --version')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .showHelpAfterError('(ctx --help shows what there is)')
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
  for (const register of VERBS) register(program, shell);
  return program;
}
